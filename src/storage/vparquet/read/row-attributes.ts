/** Owns writing the attributes of one row as OTLP KeyValues, straight from the columns of a trace's pages. */
import { ByteWriter } from '../../block/codec/bytes.js'
import {
  bytesField,
  valueOfJson,
  writeBool,
  writeDouble,
  writeInt,
  writeString,
} from './any-value.js'
import { AttributeList, type Keys, type ListValues } from './attribute-list.js'
import { ArrayElements, firstOf, type ListColumns } from './attribute-view.js'
import type { GroupColumns } from './group-columns.js'
import type { Strings } from './join.js'
import { readOwn, textBytes, writeArray, type OwnValues } from './own-column.js'
import { ArrayWriter } from './any-value.js'
import { GROUP_OF, LIST_OF, type AttributeLevel, type OwnColumn } from './paths.js'

interface Own {
  readonly key: Uint8Array
  readonly emptyIsAbsent: boolean
  readonly values: OwnValues
}

interface Loaded extends ListColumns {
  readonly keys: Keys
  readonly arrays: Uint8Array | undefined
  readonly unsupported: ListValues<Strings> | undefined
  readonly own: readonly Own[]
}

export class RowAttributes {
  readonly #loaded: Loaded
  readonly #elements: ArrayElements
  readonly #writer = new ArrayWriter()
  readonly #pair = new ByteWriter()
  readonly #value = new ByteWriter()

  private constructor(loaded: Loaded) {
    this.#loaded = loaded
    this.#elements = new ArrayElements(loaded)
  }

  static async load(
    columns: GroupColumns,
    level: AttributeLevel,
    rows: number,
    owned: readonly OwnColumn[],
  ): Promise<RowAttributes> {
    const list = new AttributeList(columns, `${GROUP_OF[level]}.Attrs`, rows)
    const readOwned = owned.map(async (column) => {
      const values = await readOwn(columns, column, LIST_OF[level])
      const { emptyIsAbsent } = column
      return values ? [{ key: Buffer.from(column.key), emptyIsAbsent, values }] : []
    })
    const [keys, arrays, strings, ints, floats, bools, unsupported, own] = await Promise.all([
      list.keys(), list.arrays(), list.strings(), list.ints(), list.floats(), list.bools(), list.unsupported(),
      Promise.all(readOwned),
    ]) // prettier-ignore
    return new RowAttributes({ keys, arrays, strings, ints, floats, bools, unsupported, own: own.flat() })
  } // prettier-ignore

  /** Each attribute of the row as a field of `out`. */
  write(out: ByteWriter, field: number, row: number): void {
    const { keys, own } = this.#loaded
    for (let attr = keys.offsets[row]!; attr < keys.offsets[row + 1]!; attr++) {
      const value = this.#generic(attr)
      if (value) this.#put(out, field, keys.dictionary.bytes(keys.codes[attr]!), value)
    }
    for (const { key, emptyIsAbsent, values } of own) {
      const value = this.#own(values, row, emptyIsAbsent)
      if (value) this.#put(out, field, key, value)
    }
  }

  #put(out: ByteWriter, field: number, key: Uint8Array, value: Uint8Array): void {
    this.#pair.clear()
    if (key.length > 0) bytesField(this.#pair, 1, key)
    bytesField(this.#pair, 2, value)
    bytesField(out, field, this.#pair.view())
  }

  /** Undefined for an attribute that has no value in any column, which Tempo leaves out. */
  #generic(attr: number): Uint8Array | undefined {
    const { arrays, strings, ints, floats, bools, unsupported } = this.#loaded
    if (arrays?.[attr] === 1) return this.#elements.of(attr)
    const out = this.#value
    out.clear()
    let i = placeOf(strings, attr)
    if (i >= 0) {
      writeString(out, textBytes(strings!.values, i))
      return out.view()
    }
    if ((i = placeOf(ints, attr)) >= 0) {
      writeInt(out, ints!.values.lo[i]!, ints!.values.hi[i]!)
      return out.view()
    }
    if ((i = placeOf(floats, attr)) >= 0) {
      writeDouble(out, floats!.values[i]!)
      return out.view()
    }
    if ((i = placeOf(bools, attr)) >= 0) {
      writeBool(out, bools!.values[i] === 1)
      return out.view()
    }
    i = placeOf(unsupported, attr)
    return i < 0 ? undefined : valueOfJson(textBytes(unsupported!.values, i))
  }

  #own(values: OwnValues, row: number, emptyIsAbsent: boolean): Uint8Array | undefined {
    const { rows, strings, ints } = values
    const from = firstOf(rows, row)
    if (rows[from] !== row) return undefined
    let to = from + 1
    while (rows[to] === row) to++
    if (to > from + 1) {
      writeArray(this.#writer, values, from, to)
      return this.#writer.finish()
    }
    const out = this.#value
    out.clear()
    if (ints) writeInt(out, ints.lo[from]!, ints.hi[from]!)
    else if (strings && !(emptyIsAbsent && strings.codes[from] === 0)) writeString(out, textBytes(strings, from))
    else return undefined
    return out.view()
  } // prettier-ignore
}

/** The attribute's first value; -1 when it has none of this type. */
function placeOf(values: ListValues<unknown> | undefined, attr: number): number {
  if (!values) return -1
  const i = firstOf(values.attrs, attr)
  return values.attrs[i] === attr ? i : -1
}
