/** Owns the columns of one list of attributes while a row group's part is put together: keys, and values by type. */
import type { Dictionary } from '../../../otlp/columns.js'
import type { ChunkWriter } from '../../parquet/write-chunk.js'
import type { Levels } from '../../parquet/write-levels.js'
import { KIND, type ArrayValue, type Kind } from './any-value.js'
import type { Chunks } from './columns.js'
import { BytesList, Uint32List } from './growing.js'

const TYPED = [KIND.string, KIND.int, KIND.float, KIND.bool] as const

export class AttributeSink {
  readonly #key: ChunkWriter
  readonly #isArrayChunk: ChunkWriter
  readonly #typed: Readonly<Record<number, ChunkWriter>>
  readonly #unsupportedChunk: ChunkWriter
  /** One a attribute. */
  #keys = new Uint32Array(0)
  #kinds = new Uint8Array(0)
  #isArray = new Uint8Array(0)
  #at = 0
  /** Values back to back. */
  readonly #strings = new Uint32List()
  readonly #intLo = new Uint32List()
  readonly #intHi = new Uint32List()
  readonly #floatLo = new Uint32List()
  readonly #floatHi = new Uint32List()
  readonly #bools = new Uint32List()
  readonly #unsupported = new BytesList()
  /** By kind: which attributes have more than one value, and how many. */
  readonly #lists = new Map<Kind, { at: number; length: number }[]>()

  constructor(chunks: Chunks, prefix: string) {
    const chunk = (name: string) => chunks.get(`${prefix}.${name}`)!
    this.#key = chunk('Key')
    this.#isArrayChunk = chunk('IsArray')
    this.#typed = {
      [KIND.string]: chunk('Value'),
      [KIND.int]: chunk('ValueInt'),
      [KIND.float]: chunk('ValueDouble'),
      [KIND.bool]: chunk('ValueBool'),
    }
    this.#unsupportedChunk = chunk('ValueUnsupported')
  }

  keyIndex(key: string): number {
    return this.#key.dictionary!.ofText(key)
  }

  stringIndex(code: number, dictionary: Dictionary): number {
    return this.#typed[KIND.string]!.dictionary!.ofCode(code, dictionary)
  }

  /** Begins with no attributes; `total` will come. */
  begin(total: number): void {
    this.#keys = new Uint32Array(total)
    this.#kinds = new Uint8Array(total)
    this.#isArray = new Uint8Array(total)
    this.#at = 0
    for (const list of [this.#strings, this.#intLo, this.#intHi, this.#floatLo, this.#floatHi, this.#bools]) list.clear() // prettier-ignore
    this.#unsupported.clear()
    this.#lists.clear()
  }

  scalar(key: number, kind: Kind, lo: number, hi: number): void {
    const at = this.#at++
    this.#keys[at] = key
    this.#kinds[at] = kind
    switch (kind) {
      case KIND.string:
        this.#strings.push(lo)
        return
      case KIND.int:
        this.#intLo.push(lo)
        this.#intHi.push(hi)
        return
      case KIND.float:
        this.#floatLo.push(lo)
        this.#floatHi.push(hi)
        return
      default:
        this.#bools.push(lo)
    }
  }

  array(key: number, value: ArrayValue): void {
    const at = this.#at++
    this.#keys[at] = key
    this.#kinds[at] = value.kind
    if (value.kind === KIND.unsupported) {
      this.#unsupported.push(value.json)
      return
    }
    this.#isArray[at] = 1
    const dictionary = this.#typed[KIND.string]!.dictionary!
    for (const bytes of value.strings) this.#strings.push(dictionary.ofBytes(bytes))
    for (const int of value.ints) {
      this.#intLo.push(Number(int & 0xffffffffn))
      this.#intHi.push(Number(int >> 32n))
    }
    const [lo, hi] = wordsOf(value.floats)
    for (const word of lo) this.#floatLo.push(word)
    for (const word of hi) this.#floatHi.push(word)
    for (const bool of value.bools) this.#bools.push(bool ? 1 : 0)
    const length = value.strings.length + value.ints.length + value.floats.length + value.bools.length // prettier-ignore
    if (length < 2) return
    const lists = this.#lists.get(value.kind) ?? []
    lists.push({ at, length })
    this.#lists.set(value.kind, lists)
  }

  /** Writes what came as pages under these levels. */
  write(levels: Levels): void {
    this.#key.add(levels, { kind: 'indexes', indexes: this.#keys })
    this.#isArrayChunk.add(levels, { kind: 'bool', values: this.#isArray })
    for (const kind of TYPED) this.#typed[kind]!.add(this.#valueLevels(levels, kind), this.#values(kind)) // prettier-ignore
    const { bytes, ends } = this.#unsupported
    const unsupported = levels.optional(this.#kinds, KIND.unsupported, false)
    this.#unsupportedChunk.add(unsupported, { kind: 'bytes', bytes, ends })
  }

  #valueLevels(levels: Levels, kind: Kind): Levels {
    const lists = this.#lists.get(kind)
    if (!lists) return levels.optional(this.#kinds, kind, true)
    const counts = new Uint32Array(this.#kinds.length)
    for (let i = 0; i < counts.length; i++) counts[i] = this.#kinds[i] === kind ? 1 : 0
    for (const { at, length } of lists) counts[at] = length
    return levels.alignedList(counts)
  }

  #values(kind: Kind) {
    switch (kind) {
      case KIND.string:
        return { kind: 'indexes', indexes: this.#strings.view() } as const
      case KIND.int:
        return { kind: 'int64', lo: this.#intLo.view(), hi: this.#intHi.view() } as const
      case KIND.float:
        return { kind: 'double', values: doublesOf(this.#floatLo.view(), this.#floatHi.view()) } as const // prettier-ignore
      default:
        return { kind: 'bool', values: Uint8Array.from(this.#bools.view()) } as const
    }
  }
}

function wordsOf(values: readonly number[]): [Uint32Array, Uint32Array] {
  const words = new Uint32Array(Float64Array.from(values).buffer)
  return [words.filter((_, i) => i % 2 === 0), words.filter((_, i) => i % 2 === 1)]
}

function doublesOf(lo: Uint32Array, hi: Uint32Array): Float64Array {
  const values = new Float64Array(lo.length)
  const words = new Uint32Array(values.buffer)
  for (let i = 0; i < lo.length; i++) {
    words[2 * i] = lo[i]!
    words[2 * i + 1] = hi[i]!
  }
  return values
}
