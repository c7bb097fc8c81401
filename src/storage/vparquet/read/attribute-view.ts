/** Owns one level's attributes as the engine asks for them: a column a key and type, out of own columns and generic lists alike. */
import type { AnyColumn, AttributeColumn, AttributeKey, BoolColumn, FloatColumn, IntColumn, StringColumn, ValueType } from '../../../otlp/columns.js' // prettier-ignore
import { ArrayWriter, valueOfJson } from './any-value.js'
import { AttributeList, type ListValues } from './attribute-list.js'
import { ChunkDictionary, JoinedDictionary } from './dictionary.js'
import type { GroupColumns } from './group-columns.js'
import type { Strings, Words } from './join.js'
import { arraysOf, numbersOf, readOwn, textBytes, textsOf, type OwnValues } from './own-column.js'
import { GROUP_OF, LIST_OF, type AttributeLevel, type OwnColumn } from './paths.js'

const TYPES: readonly ValueType[] = ['string', 'int', 'float', 'bool', 'any']

export class AttributeView {
  readonly list: AttributeList
  readonly #own = new Map<string, Promise<OwnValues | undefined>>()

  constructor(
    readonly columns: GroupColumns,
    readonly level: AttributeLevel,
    readonly rows: number,
    readonly owned: readonly OwnColumn[],
  ) {
    this.list = new AttributeList(columns, `${GROUP_OF[level]}.Attrs`, rows)
  }

  async column(key: string, type: ValueType): Promise<AttributeColumn | undefined> {
    const own = this.owned.find((column) => column.key === key && this.#holds(column, type))
    const [values, code] = await Promise.all([own && this.#valuesOf(own), this.list.codeOf(key)])
    switch (type) {
      case 'string':
        return this.#strings(values && textsOf(values, this.rows), code)
      case 'int':
        return this.#ints(values && numbersOf(values, this.rows), code)
      case 'float':
        return this.#floats(code)
      case 'bool':
        return this.#bools(code)
      case 'any':
        return this.#anys(values, code)
    }
  }

  /** Every key with the types that its values have. */
  async keys(): Promise<AttributeKey[]> {
    const { level } = this
    const found = new Map<string, AttributeKey>()
    const add = (key: string, type: ValueType) => {
      const name = `${type} ${key}`
      if (!found.has(name)) found.set(name, { level, key, type })
    }
    for (const own of this.owned) {
      const values = await this.#valuesOf(own)
      if (!values) continue
      const { rows, strings, hasArrays } = values
      if (hasArrays) add(own.key, 'any')
      const column = strings && textsOf(values, this.rows)
      if (column ? column.codes.some((code) => code !== 0) : numbersOf(values, this.rows)?.present?.includes(1) ?? rows.length > 0) add(own.key, own.type)
    }
    const { codes, dictionary } = await this.list.keys()
    const types = await this.#types(codes.length)
    const seen = new Uint8Array(dictionary.size + 1)
    for (let i = 0; i < codes.length; i++) seen[codes[i]!]! |= types[i]!
    for (let code = 1; code < seen.length; code++) {
      for (const [i, type] of TYPES.entries()) {
        if (seen[code]! & (1 << i)) add(dictionary.text(code), type)
      }
    }
    return [...found.values()]
  } // prettier-ignore

  /** Whether rows may have the text as a value of the key, without reading the values. */
  async mayHaveText(key: string, text: Uint8Array): Promise<boolean> {
    const own = this.owned.find((column) => column.key === key)
    if (own?.type === 'string' && (await mayHoldText(this.columns, own.path, text))) return true
    return (await this.list.codeOf(key)) !== 0 && this.list.mayHaveText(text)
  }

  /** Arrays stand in columns that can have several values a row. */
  #holds({ path, type }: OwnColumn, wanted: ValueType): boolean {
    if (wanted !== 'any') return wanted === type
    return (this.columns.leaf(path)?.maxRepetition ?? 0) > LIST_OF[this.level]
  }

  #valuesOf(own: OwnColumn): Promise<OwnValues | undefined> {
    let values = this.#own.get(own.path)
    if (!values) {
      values = readOwn(this.columns, own, LIST_OF[this.level])
      this.#own.set(own.path, values)
      values.catch(() => this.#own.delete(own.path))
    }
    return values
  }

  /** A bit for each type that an attribute has, by its place in the list. */
  async #types(count: number): Promise<Uint8Array> {
    const { list } = this
    const [arrays, strings, ints, floats, bools, unsupported] = await Promise.all([
      list.arrays(), list.strings(), list.ints(), list.floats(), list.bools(), list.unsupported(),
    ]) // prettier-ignore
    const types = new Uint8Array(count)
    const mark = (values: ListValues<unknown> | undefined, bit: number) => {
      if (values) for (const attr of values.attrs) types[attr]! |= bit
    }
    mark(strings, 1)
    mark(ints, 2)
    mark(floats, 4)
    mark(bools, 8)
    mark(unsupported, 16)
    if (arrays) for (let i = 0; i < count; i++) if (arrays[i] === 1) types[i] = 16
    return types
  }

  /** Calls `take` with each value of a key that is a scalar: its place and its row. A row's first value counts. */
  async #scalars(
    values: ListValues<unknown> | undefined,
    code: number,
    take: (place: number, row: number) => void,
  ): Promise<void> {
    if (!values) return
    const [{ owners }, arrays, places] = await Promise.all([
      this.list.keys(),
      this.list.arrays(),
      this.list.valuesOf(values.attrs, code),
    ])
    for (let i = places.length - 1; i >= 0; i--) {
      const attr = values.attrs[places[i]!]!
      if (arrays?.[attr] !== 1) take(places[i]!, owners[attr]!)
    }
  }

  async #strings(own: Strings | undefined, code: number): Promise<StringColumn | undefined> {
    const values = code === 0 ? undefined : await this.list.strings()
    const codes = new Uint32Array(this.rows)
    let count = 0
    await this.#scalars(values, code, (place, row) => {
      codes[row] = values!.values.codes[place]!
      count++
    })
    if (count === 0) return own && { type: 'string', ...own }
    const { dictionary } = values!.values
    if (!own) return { type: 'string', codes, dictionary }
    const joined = new JoinedDictionary(own.dictionary, dictionary)
    const known = new Map<number, number>()
    for (let row = 0; row < codes.length; row++) {
      const generic = codes[row]!
      if (own.codes[row] !== 0) codes[row] = own.codes[row]!
      else if (generic !== 0) {
        let here = known.get(generic)
        if (here === undefined) known.set(generic, (here = joined.codeOfSecond(generic)))
        codes[row] = here
      }
    }
    return { type: 'string', codes, dictionary: joined }
  }

  async #ints(own: IntColumn | undefined, code: number): Promise<IntColumn | undefined> {
    const values = code === 0 ? undefined : await this.list.ints()
    const out: Words & { present: Uint8Array } = {
      lo: new Uint32Array(this.rows),
      hi: new Uint32Array(this.rows),
      present: new Uint8Array(this.rows),
    }
    let count = 0
    await this.#scalars(values, code, (place, row) => {
      out.lo[row] = values!.values.lo[place]!
      out.hi[row] = values!.values.hi[place]!
      out.present[row] = 1
      count++
    })
    if (count === 0) return own
    for (let row = 0; own && row < this.rows; row++) {
      if (own.present?.[row] === 0) continue
      out.lo[row] = own.lo[row]!
      out.hi[row] = own.hi[row]!
      out.present[row] = 1
    }
    return { type: 'int', ...out }
  }

  async #floats(code: number): Promise<FloatColumn | undefined> {
    const values = code === 0 ? undefined : await this.list.floats()
    if (!values) return undefined
    const out = new Float64Array(this.rows)
    const present = new Uint8Array(this.rows)
    await this.#scalars(values, code, (place, row) => {
      out[row] = values.values[place]!
      present[row] = 1
    })
    return present.includes(1) ? { type: 'float', values: out, present } : undefined
  }

  async #bools(code: number): Promise<BoolColumn | undefined> {
    const values = code === 0 ? undefined : await this.list.bools()
    if (!values) return undefined
    const out = new Uint8Array(this.rows)
    let count = 0
    await this.#scalars(values, code, (place, row) => {
      out[row] = 1 + values.values[place]!
      count++
    })
    return count > 0 ? { type: 'bool', values: out } : undefined
  }

  async #anys(own: OwnValues | undefined, code: number): Promise<AnyColumn | undefined> {
    const dictionary = new ChunkDictionary(undefined)
    const codes = new Uint32Array(this.rows)
    if (code !== 0) {
      await this.#unsupported(code, codes, dictionary)
      await this.#arrays(code, codes, dictionary)
    }
    if (own) arraysOf(own, codes, dictionary)
    return dictionary.size > 0 ? { type: 'any', codes, dictionary } : undefined
  }

  async #unsupported(code: number, codes: Uint32Array, dictionary: ChunkDictionary): Promise<void> {
    const values = await this.list.unsupported()
    const known = new Map<number, number>()
    await this.#scalars(values, code, (place, row) => {
      const json = values!.values.codes[place]!
      let here = known.get(json)
      if (here === undefined) {
        const bytes = valueOfJson(textBytes(values!.values, place))
        known.set(json, (here = dictionary.intern(bytes, 0, bytes.length)))
      }
      codes[row] = here
    })
  }

  async #arrays(code: number, codes: Uint32Array, dictionary: ChunkDictionary): Promise<void> {
    const arrays = await this.list.arrays()
    if (!arrays) return
    const { list } = this
    const [{ owners }, attrs] = await Promise.all([list.keys(), list.attributesOf(code)])
    const marked = attrs.filter((attr) => arrays[attr] === 1)
    if (marked.length === 0) return
    const [strings, ints, floats, bools] = await Promise.all([list.strings(), list.ints(), list.floats(), list.bools()]) // prettier-ignore
    const elements = new ArrayElements({ strings, ints, floats, bools })
    for (let i = marked.length - 1; i >= 0; i--) {
      const bytes = elements.of(marked[i]!)
      codes[owners[marked[i]!]!] = dictionary.intern(bytes, 0, bytes.length)
    }
  }
}

export interface ListColumns {
  readonly strings: ListValues<Strings> | undefined
  readonly ints: ListValues<Words> | undefined
  readonly floats: ListValues<Float64Array> | undefined
  readonly bools: ListValues<Uint8Array> | undefined
}

/** The AnyValue of an attribute that is an array. */
export class ArrayElements {
  readonly #writer = new ArrayWriter()
  constructor(readonly columns: ListColumns) {}

  /** Valid until the next one. */
  of(attr: number): Uint8Array {
    const { strings, ints, floats, bools } = this.columns
    const writer = this.#writer
    writer.begin()
    // An array is of one type; the first that has elements is it.
    if (strings && each(strings, attr, (i) => { writer.string(textBytes(strings.values, i)) })) return writer.finish()
    if (ints && each(ints, attr, (i) => { writer.int(ints.values.lo[i]!, ints.values.hi[i]!) })) return writer.finish()
    if (floats && each(floats, attr, (i) => { writer.double(floats.values[i]!) })) return writer.finish()
    if (bools) each(bools, attr, (i) => { writer.bool(bools.values[i] === 1) })
    return writer.finish()
  } // prettier-ignore
}

function each({ attrs }: ListValues<unknown>, attr: number, take: (i: number) => void): boolean {
  const from = firstOf(attrs, attr)
  let i = from
  for (; attrs[i] === attr; i++) take(i)
  return i > from
}

/** The first value of the attribute, or where it would be. */
export function firstOf(attrs: Uint32Array, attr: number): number {
  let low = 0
  let high = attrs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (attrs[middle]! < attr) low = middle + 1
    else high = middle
  }
  return low
}

/** Whether a text column may hold the text, by its bounds and its dictionary. */
export async function mayHoldText(
  columns: GroupColumns,
  path: string,
  text: Uint8Array,
): Promise<boolean> {
  if (columns.isEmpty(path)) return false
  const { minValue, maxValue } = columns.statistics(path) ?? {}
  if (minValue && maxValue && (Buffer.compare(text, minValue) < 0 || Buffer.compare(text, maxValue) > 0)) return false
  const reader = columns.reader(path)
  if (!reader?.isAllInDictionary) return true
  const page = await columns.ask(path, () => reader.dictionary())
  return page?.kind !== 'bytes' || new ChunkDictionary(page).findBytes(text) !== 0
} // prettier-ignore
