/**
 * Owns the catalog: the list, in shared memory, of every block that a partition holds before the backend does.
 *
 * One entry per block UUID. A block is a live head, then a cut head, then a local block under the *same* UUID and in the
 * same entry, and each step is one atomic store of the state word: a reader on any thread sees it in exactly one state,
 * and a writer that dies leaves a whole entry or none. Only the partition's owner writes; frontends and queriers read.
 *
 *     HEADER   0 magic u32 | version u32 | capacity u32 | partition u32          64 bytes
 *             16 end u32: no entry from here on was ever used; readers look no further
 *     ENTRY    0 state i32: generation << 8 | state      256 bytes each
 *              4 head chunk u32 | 8 segment u32 | 12 spans u32
 *             16 block UUID, 16 bytes
 *             32 min start lo hi | 40 max end lo hi (ns) | 48 size f64 (bytes)
 *             56 tenant length u32 | 60 flushed i32 | 64 tenant, UTF-8, at most 150 bytes
 */
import { fromHex, toHex } from '../lib/bytes.js'
import { assert } from '../lib/assert.js'

const MAGIC = 0x43544c47
const VERSION = 1
const HEADER_BYTES = 64
const ENTRY_BYTES = 256
const ENTRY_WORDS = ENTRY_BYTES / 4
/** Tempo's limit on a tenant id. */
export const TENANT_BYTES_MAX = 150

/** In words of the header. */
const END = 4

const STATE = 0
const HEAD_CHUNK = 1
const SEGMENT = 2
const SPANS = 3
const UUID_BYTE = 16
const MIN_START = 8
const MAX_END = 10
const SIZE_F64 = 6
const TENANT_LENGTH = 14
const FLUSHED = 15
const TENANT_BYTE = 64

const FREE = 0
const HEAD = 1
const CUT = 2
const LOCAL = 3
const NAMES = ['free', 'head', 'cut', 'local'] as const

export interface CatalogEntry {
  readonly partition: number
  readonly blockId: string
  readonly tenant: string
  /** head: taking spans; cut: closed, being built; local: a complete block on local disk. */
  readonly state: 'head' | 'cut' | 'local'
  /** Header chunk in the head arena; meaningful until the state is local. */
  readonly headChunk: number
  readonly segment: number
  /** Known once local. */
  readonly spans: number
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  readonly size_bytes: number
  /** True once the backend has it. */
  readonly isFlushed: boolean
}

export interface LocalFacts {
  spans: number
  minStart_ns: bigint
  maxEnd_ns: bigint
  size_bytes: number
}

export class Catalog {
  readonly partition: number
  readonly capacity: number
  readonly #header: Int32Array
  readonly #words: Int32Array
  readonly #floats: Float64Array
  readonly #bytes: Uint8Array
  #free = 0

  static create(partition: number, capacity: number): SharedArrayBuffer {
    const memory = new SharedArrayBuffer(HEADER_BYTES + capacity * ENTRY_BYTES)
    new Uint32Array(memory, 0, 4).set([MAGIC, VERSION, capacity, partition])
    return memory
  }

  constructor(memory: SharedArrayBuffer) {
    const [magic, version, capacity, partition] = new Uint32Array(memory, 0, 4)
    assert(
      magic === MAGIC && version === VERSION,
      `not a catalog of version ${VERSION}: magic=${magic} version=${version}`,
    )
    this.capacity = capacity!
    this.partition = partition!
    this.#header = new Int32Array(memory, 0, HEADER_BYTES / 4)
    this.#words = new Int32Array(memory, HEADER_BYTES)
    this.#floats = new Float64Array(memory, HEADER_BYTES)
    this.#bytes = new Uint8Array(memory, HEADER_BYTES)
  }

  /** False while every entry is taken: then nothing can be listed before a block leaves. */
  get hasRoom(): boolean {
    return this.#firstFree() >= 0
  }

  /** Lists a new head; the entry's number, or -1 when the catalog is full (the caller pushes back). */
  addHead(blockId: string, tenant: string, headChunk: number, segment: number): number {
    const entry = this.#claim(blockId, tenant, segment)
    if (entry < 0) return entry
    this.#words[entry * ENTRY_WORDS + HEAD_CHUNK] = headChunk
    this.#store(entry, HEAD)
    return entry
  }

  /** Lists a block that was found complete on local disk at start; -1 when the catalog is full. */
  addLocal(blockId: string, tenant: string, facts: LocalFacts, isFlushed: boolean): number {
    const entry = this.#claim(blockId, tenant, 0)
    if (entry < 0) return entry
    this.#setFacts(entry, facts)
    this.#words[entry * ENTRY_WORDS + FLUSHED] = isFlushed ? 1 : 0
    this.#store(entry, LOCAL)
    return entry
  }

  markCut(entry: number): void {
    this.#expect(entry, HEAD)
    this.#store(entry, CUT)
  }

  /** The block is complete on local disk: readers go there from now on. */
  markLocal(entry: number, facts: LocalFacts): void {
    this.#expect(entry, CUT)
    this.#setFacts(entry, facts)
    this.#store(entry, LOCAL)
  }

  markFlushed(entry: number): void {
    this.#expect(entry, LOCAL)
    Atomics.store(this.#words, entry * ENTRY_WORDS + FLUSHED, 1)
  }

  /** Takes an entry off the list: the backend has the block, or the head never held a span. */
  remove(entry: number): void {
    const word = Atomics.load(this.#words, entry * ENTRY_WORDS)
    assert(
      (word & 0xff) !== FREE,
      `catalog entry ${entry} of partition ${this.partition} is already free`,
    )
    Atomics.store(this.#words, entry * ENTRY_WORDS, ((word >> 8) + 1) << 8)
    this.#free = Math.min(this.#free, entry)
  }

  /** Every entry of a tenant (all tenants when undefined); each is a consistent copy. */
  list(tenant?: string): CatalogEntry[] {
    const found: CatalogEntry[] = []
    for (let entry = 0, end = this.#end; entry < end; entry++) {
      const copy = this.read(entry)
      if (copy && (tenant === undefined || copy.tenant === tenant)) found.push(copy)
    }
    return found
  }

  /** Entries with their numbers, for a new owner that takes the partition over. */
  entries(): { entry: number; facts: CatalogEntry }[] {
    const found: { entry: number; facts: CatalogEntry }[] = []
    for (let entry = 0, end = this.#end; entry < end; entry++) {
      const facts = this.read(entry)
      if (facts) found.push({ entry, facts })
    }
    return found
  }

  /** The entry of a block; undefined when this partition does not hold it. */
  find(blockId: string): CatalogEntry | undefined {
    const id = uuidBytes(blockId)
    const end = this.#end
    for (let entry = 0; entry < end; entry++) {
      if ((Atomics.load(this.#words, entry * ENTRY_WORDS) & 0xff) === FREE) continue
      if (!this.#hasId(entry, id)) continue
      const copy = this.read(entry)
      if (copy?.blockId === blockId) return copy
    }
    return undefined
  }

  /** A consistent copy of one entry; undefined when it is free. */
  read(entry: number): CatalogEntry | undefined {
    const word = entry * ENTRY_WORDS
    for (;;) {
      const before = Atomics.load(this.#words, word + STATE)
      const state = before & 0xff
      if (state === FREE) return undefined
      const byte = entry * ENTRY_BYTES
      const tenantEnd = byte + TENANT_BYTE + this.#words[word + TENANT_LENGTH]!
      const copy: CatalogEntry = {
        partition: this.partition,
        blockId: uuidText(this.#bytes.slice(byte + UUID_BYTE, byte + UUID_BYTE + 16)),
        tenant: Buffer.from(this.#bytes.slice(byte + TENANT_BYTE, tenantEnd)).toString('utf8'),
        state: NAMES[state] as CatalogEntry['state'],
        headChunk: this.#words[word + HEAD_CHUNK]! >>> 0,
        segment: this.#words[word + SEGMENT]! >>> 0,
        spans: this.#words[word + SPANS]! >>> 0,
        minStart_ns: this.#big(word + MIN_START),
        maxEnd_ns: this.#big(word + MAX_END),
        size_bytes: this.#floats[entry * (ENTRY_BYTES / 8) + SIZE_F64]!,
        isFlushed: Atomics.load(this.#words, word + FLUSHED) === 1,
      }
      // Same generation and state as before the copy: nothing of it was recycled in between. A load-acquire would let
      // the plain loads of the copy pass it on ARM; a read-modify-write does not.
      if (Atomics.add(this.#words, word + STATE, 0) === before) return copy
    }
  }

  get #end(): number {
    return Atomics.load(this.#header, END)
  }

  #claim(blockId: string, tenant: string, segment: number): number {
    const name = Buffer.from(tenant, 'utf8')
    assert(
      name.length <= TENANT_BYTES_MAX,
      `tenant id of ${name.length} bytes, at most ${TENANT_BYTES_MAX}`,
    )
    const entry = this.#firstFree()
    if (entry < 0) return -1
    const word = entry * ENTRY_WORDS
    // Orders the writes behind the store that freed the entry, for a reader that is still at its copy.
    Atomics.add(this.#words, word + STATE, 0)
    this.#words.fill(0, word + 1, word + ENTRY_WORDS)
    this.#words[word + SEGMENT] = segment
    this.#bytes.set(uuidBytes(blockId), entry * ENTRY_BYTES + UUID_BYTE)
    this.#words[word + TENANT_LENGTH] = name.length
    this.#bytes.set(name, entry * ENTRY_BYTES + TENANT_BYTE)
    this.#free = entry + 1
    // Before the state is stored: whoever starts to look after that looks this far.
    if (entry >= this.#end) Atomics.store(this.#header, END, entry + 1)
    return entry
  }

  #firstFree(): number {
    for (let entry = this.#free; entry < this.capacity; entry++) {
      if ((this.#words[entry * ENTRY_WORDS]! & 0xff) === FREE) return (this.#free = entry)
    }
    return -1
  }

  #store(entry: number, state: number): void {
    const generation = Atomics.load(this.#words, entry * ENTRY_WORDS) >> 8
    Atomics.store(this.#words, entry * ENTRY_WORDS, (generation << 8) | state)
  }

  #expect(entry: number, state: number): void {
    const found = Atomics.load(this.#words, entry * ENTRY_WORDS) & 0xff
    assert(
      found === state,
      `catalog entry ${entry} of partition ${this.partition} is ${NAMES[found] ?? found}, expected ${NAMES[state]!}`,
    )
  }

  #setFacts(entry: number, facts: LocalFacts): void {
    const word = entry * ENTRY_WORDS
    this.#words[word + SPANS] = facts.spans
    this.#setBig(word + MIN_START, facts.minStart_ns)
    this.#setBig(word + MAX_END, facts.maxEnd_ns)
    this.#floats[entry * (ENTRY_BYTES / 8) + SIZE_F64] = facts.size_bytes
  }

  #hasId(entry: number, id: Uint8Array): boolean {
    const at = entry * ENTRY_BYTES + UUID_BYTE
    for (let i = 0; i < 16; i++) if (this.#bytes[at + i] !== id[i]) return false
    return true
  }

  #big(word: number): bigint {
    return (BigInt(this.#words[word + 1]! >>> 0) << 32n) | BigInt(this.#words[word]! >>> 0)
  }

  #setBig(word: number, value: bigint): void {
    this.#words[word] = Number(value & 0xffffffffn) | 0
    this.#words[word + 1] = Number((value >> 32n) & 0xffffffffn) | 0
  }
}

function uuidBytes(text: string): Uint8Array {
  const bytes = fromHex(text.replaceAll('-', ''))
  assert(bytes?.length === 16, `not a UUID: ${text}`)
  return bytes
}

function uuidText(bytes: Uint8Array): string {
  const hex = toHex(bytes)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
