/**
 * Owns the generic attributes of one level: a list of keys, each with values in one of four columns, or in none. A value column
 * is a list of its own; what is kept of it is which attribute each value is of.
 */
import { Malformed } from '../../block/codec/bytes.js'
import { ChunkDictionary } from './dictionary.js'
import type { GroupColumns } from './group-columns.js'
import {
  joinBools,
  joinFloats,
  joinInts,
  joinStrings,
  valueCount,
  type Strings,
  type Words,
} from './join.js'
import { childOffsets, rowsOfValues } from './levels.js'

/** Questions about single keys that are answered by looking at every value, before values are put in the order of keys. */
const SCANS_BEFORE_INDEX = 3

export interface Keys extends Strings {
  readonly count: number
  /** Where each row of the level has its attributes: rows + 1 offsets. */
  readonly offsets: Uint32Array
  /** The row of each attribute. */
  readonly owners: Uint32Array
}

/** Values of one type; value i is of attribute attrs[i], which never decreases. */
export interface ListValues<T> {
  readonly attrs: Uint32Array
  readonly values: T
}

export class AttributeList {
  readonly #columns: GroupColumns
  readonly #prefix: string
  /** Repetition level of the list of attributes. */
  readonly #list: number
  readonly #rows: number
  readonly #kept = new Map<string, Promise<unknown>>()
  readonly #orders = new Map<Uint32Array, KeyOrder>()

  /** `prefix`: the list's path, as `rs.ss.Spans.Attrs`; `rows`: of the table around it. */
  constructor(columns: GroupColumns, prefix: string, rows: number) {
    this.#columns = columns
    this.#prefix = prefix
    this.#rows = rows
    this.#list = columns.leaf(`${prefix}.Key`)?.maxRepetition ?? 0
  }

  keys(): Promise<Keys> {
    return this.#once('Key', async () => {
      const keys = await this.#columns.read(`${this.#prefix}.Key`, true, ({ data, leaf }) => {
        const offsets = childOffsets(data, leaf, this.#list, this.#rows)
        const strings = joinStrings(data, false)
        const count = strings.codes.length
        if (offsets[this.#rows] !== count) throw new Malformed(0, `${offsets[this.#rows]!} attributes have ${count} keys`)
        return { ...strings, count, offsets, owners: ownersOf(offsets, count) }
      })
      return keys ?? noKeys(this.#rows)
    })
  } // prettier-ignore

  /** The code of a key, 0 when no attribute has it; from the dictionary alone where that is enough. */
  async codeOf(key: string): Promise<number> {
    const path = `${this.#prefix}.Key`
    if (this.#columns.isEmpty(path)) return 0
    if (this.#columns.reader(path)?.isAllInDictionary !== true) {
      return (await this.keys()).dictionary.find(key)
    }
    const dictionary = await this.#once('Key dictionary', () => this.#dictionary(path))
    return dictionary.find(key)
  }

  /** Whether a text may be among the values. */
  async mayHaveText(text: Uint8Array): Promise<boolean> {
    const path = `${this.#prefix}.Value`
    if (this.#columns.isEmpty(path)) return false
    if (this.#columns.reader(path)?.isAllInDictionary !== true) return true
    const dictionary = await this.#once('Value dictionary', () => this.#dictionary(path))
    return dictionary.findBytes(text) !== 0
  }

  async #dictionary(path: string): Promise<ChunkDictionary> {
    const page = await this.#columns.ask(path, (reader) => reader.dictionary())
    return new ChunkDictionary(page?.kind === 'bytes' ? page : undefined)
  }

  /** 1 for attributes that are arrays; undefined when none is. */
  arrays(): Promise<Uint8Array | undefined> {
    return this.#once('IsArray', async () => {
      const path = `${this.#prefix}.IsArray`
      if (this.#columns.isZero(path)) return undefined
      const { count } = await this.keys()
      const flags = await this.#columns.read(path, false, ({ data }) => {
        const found = valueCount(data)
        if (found !== count) throw new Malformed(0, `${found} values for ${count} attributes`)
        return joinBools(data)
      })
      return flags?.includes(1) ? flags : undefined
    })
  }

  strings(): Promise<ListValues<Strings> | undefined> {
    return this.#values('Value', (data) => joinStrings(data, false))
  }
  ints(): Promise<ListValues<Words> | undefined> {
    return this.#values('ValueInt', (data) => joinInts(data, true))
  }
  floats(): Promise<ListValues<Float64Array> | undefined> {
    return this.#values('ValueDouble', joinFloats)
  }
  /** 0 and 1. */
  bools(): Promise<ListValues<Uint8Array> | undefined> {
    return this.#values('ValueBool', joinBools)
  }
  /** JSON of what is neither a scalar nor a list of one type. */
  unsupported(): Promise<ListValues<Strings> | undefined> {
    return this.#values('ValueUnsupported', (data) => joinStrings(data, false))
  }

  #values<T>(
    name: string,
    join: (data: Parameters<typeof joinStrings>[0]) => T,
  ): Promise<ListValues<T> | undefined> {
    return this.#once(name, async () => {
      const values = await this.#columns.read(`${this.#prefix}.${name}`, true, ({ data, leaf }) => ({
        attrs: rowsOfValues(data, leaf, this.#list),
        values: join(data),
      }))
      if (!values || values.attrs.length === 0) return undefined
      const { count } = await this.keys()
      const last = values.attrs.at(-1)!
      if (last >= count) this.#columns.corrupt(`${this.#prefix}.${name}`, `a value of attribute ${last}, there are ${count}`)
      return values
    })
  } // prettier-ignore

  /** The values (as places in `attrs`) whose attribute has this key, ascending. */
  async valuesOf(attrs: Uint32Array, keyCode: number): Promise<Uint32Array> {
    const { codes, dictionary } = await this.keys()
    let order = this.#orders.get(attrs)
    if (!order) this.#orders.set(attrs, (order = new KeyOrder(attrs, codes, dictionary.size)))
    return order.of(keyCode)
  }

  /** The attributes that have this key, ascending. */
  async attributesOf(keyCode: number): Promise<Uint32Array> {
    const { codes, dictionary } = await this.keys()
    let order = this.#orders.get(codes)
    if (!order) this.#orders.set(codes, (order = new KeyOrder(undefined, codes, dictionary.size)))
    return order.of(keyCode)
  }

  #once<T>(name: string, make: () => Promise<T>): Promise<T> {
    const known = this.#kept.get(name)
    if (known) return known as Promise<T>
    const made = make()
    this.#kept.set(name, made)
    made.catch(() => this.#kept.delete(name))
    return made
  }
}

/** Which values are of which key: found by looking at all of them, and from the fourth question on by an index. */
class KeyOrder {
  #scans = 0
  #starts: Uint32Array | undefined
  #order = new Uint32Array(0)
  constructor(
    /** Undefined: the values are the attributes themselves. */
    readonly attrs: Uint32Array | undefined,
    readonly codes: Uint32Array,
    readonly keyCount: number,
  ) {}

  of(keyCode: number): Uint32Array {
    if (!this.#starts && this.#scans++ < SCANS_BEFORE_INDEX) return this.#scan(keyCode)
    const starts = (this.#starts ??= this.#index())
    return this.#order.subarray(starts[keyCode], starts[keyCode + 1])
  }

  #scan(keyCode: number): Uint32Array {
    const { attrs, codes } = this
    const count = attrs ? attrs.length : codes.length
    let found = new Uint32Array(64)
    let size = 0
    for (let i = 0; i < count; i++) {
      if (codes[attrs ? attrs[i]! : i] !== keyCode) continue
      if (size === found.length) {
        const grown = new Uint32Array(2 * size)
        grown.set(found)
        found = grown
      }
      found[size++] = i
    }
    return found.subarray(0, size)
  }

  /** Counting sort by key. */
  #index(): Uint32Array {
    const { attrs, codes, keyCount } = this
    const count = attrs ? attrs.length : codes.length
    const starts = new Uint32Array(keyCount + 2)
    for (let i = 0; i < count; i++) starts[codes[attrs ? attrs[i]! : i]! + 1]!++
    for (let key = 1; key < starts.length; key++) starts[key]! += starts[key - 1]!
    this.#order = new Uint32Array(count)
    const next = starts.slice()
    for (let i = 0; i < count; i++) this.#order[next[codes[attrs ? attrs[i]! : i]!]!++] = i
    return starts
  }
}

function ownersOf(offsets: Uint32Array, count: number): Uint32Array {
  const owners = new Uint32Array(count)
  for (let row = 0; row + 1 < offsets.length; row++)
    owners.fill(row, offsets[row], offsets[row + 1])
  return owners
}

const noKeys = (rows: number): Keys => ({
  codes: new Uint32Array(0),
  dictionary: new ChunkDictionary(undefined),
  count: 0,
  offsets: new Uint32Array(rows + 1),
  owners: new Uint32Array(0),
})
