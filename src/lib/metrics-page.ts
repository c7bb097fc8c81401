/**
 * Owns the bytes of a metrics page: the series of one actor in shared memory, so that they go on counting where
 * they stood when the actor is replaced, and anyone may read them while it works, hangs or is dead.
 *
 *      0  magic u32 | version u32 | slots u32 | textBytes u32
 *     16  usedText u32 | dropped u32        usedText is published last: an entry beyond it does not exist
 *     32  values f64 x slots                the first SINK_SLOTS take what found no room
 *     ..  entries: textLength u32 | firstSlot u32 | slotCount u32 | JSON text, zero to 4
 *
 * Entries are only appended: a family is ["F", type, name, help, labelNames, buckets], a series is
 * ["S", number of its family, label values]. A replacement reads them and finds its slots again.
 *
 * One writer. Values are plain aligned 8-byte loads and stores: the language allows a reader to see half of one, the
 * 64-bit processors that Node runs on don't do that. A reader may see a histogram's sum before its bucket.
 */
import { assert } from './assert.js'

const MAGIC = 0x3154454d // "MET1"
const VERSION = 1
const HEADER_LENGTH = 32
const ENTRY_HEADER_LENGTH = 12
const USED_TEXT = 4
const DROPPED = 5

/** More slots than any one series takes. */
export const SINK_SLOTS = 64
export const SERIES_SLOTS_MAX = SINK_SLOTS
const PAGE_SLOTS_DEFAULT = 8192
const PAGE_TEXT_BYTES_DEFAULT = 256 * 1024

export interface MetricsPageSpec {
  slots?: number // default 8192; a counter takes one, a histogram its buckets + 2
  text_bytes?: number // default 256 KiB for names, help and labels
}

/** One entry as it stands in the page. */
export interface MetricsEntry {
  text: string
  slot: number
  slotCount: number
}

export class MetricsPage {
  readonly values: Float64Array<SharedArrayBuffer>
  readonly #words: Uint32Array<SharedArrayBuffer>
  readonly #text: Uint8Array<SharedArrayBuffer>
  readonly #textStart: number
  #usedSlots = SINK_SLOTS

  /** Makes the memory of an empty page. */
  static create(spec: MetricsPageSpec = {}): SharedArrayBuffer {
    const { slots = PAGE_SLOTS_DEFAULT, text_bytes = PAGE_TEXT_BYTES_DEFAULT } = spec
    assert(
      slots > SINK_SLOTS && text_bytes >= 0 && text_bytes % 4 === 0,
      `metrics page: more than ${SINK_SLOTS} slots, text in words of 4: slots=${slots}, text=${text_bytes}`,
    )
    const buffer = new SharedArrayBuffer(HEADER_LENGTH + slots * 8 + text_bytes)
    new Uint32Array(buffer).set([MAGIC, VERSION, slots, text_bytes])
    return buffer
  }

  constructor(buffer: SharedArrayBuffer) {
    const words = new Uint32Array(buffer)
    const [magic = 0, version = 0, slots = 0] = words
    assert(
      magic === MAGIC && version === VERSION,
      `not a metrics page of version ${VERSION}: magic=0x${magic.toString(16)}, version=${version}`,
    )
    this.#words = words
    this.values = new Float64Array(buffer, HEADER_LENGTH, slots)
    this.#textStart = HEADER_LENGTH + slots * 8
    this.#text = new Uint8Array(buffer, this.#textStart)
    for (const { slot, slotCount } of this.entries()) this.#usedSlots = slot + slotCount
  }

  /** How many series found no room, each time they were asked for. */
  get dropped(): number {
    return Atomics.load(this.#words, DROPPED)
  }

  /** All entries that are published, in the order in which they were made. */
  *entries(): Generator<MetricsEntry> {
    const used = Atomics.load(this.#words, USED_TEXT)
    for (let at = 0; at < used;) {
      const word = (this.#textStart + at) >> 2
      const length = this.#words[word]!
      const start = at + ENTRY_HEADER_LENGTH
      // Copied out first: decoders refuse shared memory.
      const text = Buffer.from(this.#text.subarray(start, start + length)).toString('utf8')
      yield { text, slot: this.#words[word + 1]!, slotCount: this.#words[word + 2]! }
      at = start + align4(length)
    }
  }

  /** Appends an entry with so many slots; answers the first of them, or undefined when the page is full. */
  append(text: string, slotCount: number): number | undefined {
    assert(slotCount <= SERIES_SLOTS_MAX, `metrics page: a series of ${slotCount} slots`)
    const bytes = Buffer.from(text)
    const at = Atomics.load(this.#words, USED_TEXT)
    const end = at + ENTRY_HEADER_LENGTH + align4(bytes.length)
    const slot = this.#usedSlots
    if (end > this.#text.length || slot + slotCount > this.values.length) {
      this.drop()
      return undefined
    }
    const word = (this.#textStart + at) >> 2
    this.#words[word] = bytes.length
    this.#words[word + 1] = slot
    this.#words[word + 2] = slotCount
    this.#text.set(bytes, at + ENTRY_HEADER_LENGTH)
    this.#usedSlots += slotCount
    Atomics.store(this.#words, USED_TEXT, end)
    return slot
  }

  /** Counts one that found no room. */
  drop(): void {
    Atomics.add(this.#words, DROPPED, 1)
  }
}

function align4(length: number): number {
  return (length + 3) & ~3
}
