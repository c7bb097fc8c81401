/**
 * Owns the memory of all live heads: one SharedArrayBuffer in fixed chunks, who owns each, and when it may be reused.
 *
 * The owner word of a chunk *is* the allocator: taking a chunk is one compare-and-swap that also says for whom, so a
 * thread that dies can at no instant leave a chunk that nobody knows of. Heads are reclaimed by epochs: a retired head
 * keeps its chunks until every thread that may have opened it has left.
 */
import { randomInt } from 'node:crypto'
import { assert } from '../../lib/assert.js'
import {
  ARENA,
  ARENA_BYTES_MAX,
  ARENA_MAGIC,
  ARENA_VERSION,
  CHUNK_BYTES,
  CHUNK_SHIFT,
  FREE,
  GENERATION_MASK,
  HEADER_OWNER,
  OPEN,
  PINS,
  READER_WORDS,
  RETIRED,
  RETIRING,
  ownerTag,
  taggedHead,
} from './layout.js'

export interface HeadArenaOptions {
  /** Of the chunks; the arena's own header comes on top. */
  bytes: number
  /** Threads that open heads; each has a slot. */
  readers: number
}

export interface ArenaHead {
  readonly headerChunk: number
  readonly partition: number
  readonly state: 'open' | 'retired'
}

export class HeadArena {
  readonly memory: SharedArrayBuffer
  readonly words: Int32Array
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Of all strings' hashes; random, so that nobody outside can choose strings that collide. */
  readonly seed: number
  readonly chunkCount: number
  readonly readerCount: number
  readonly #first: number
  readonly #owner: number
  readonly #state: number
  readonly #retired: number

  static create(options: HeadArenaOptions): HeadArena {
    const { readers } = options
    const chunks = Math.floor(options.bytes / CHUNK_BYTES)
    assert(chunks >= 1, `arena of ${options.bytes} bytes, at least ${CHUNK_BYTES}`)
    assert(readers >= 1 && readers <= 4096, `arena with ${readers} readers, 1 to 4096`)
    let first = 1
    while (tablesWord(readers) + 3 * (first + chunks) > first << (CHUNK_SHIFT - 2)) first++
    const total = (first + chunks) * CHUNK_BYTES
    assert(total <= ARENA_BYTES_MAX, `arena of ${total} bytes, at most ${ARENA_BYTES_MAX}`)
    const memory = new SharedArrayBuffer(total)
    const words = new Int32Array(memory)
    words[ARENA.version] = ARENA_VERSION
    words[ARENA.chunkCount] = first + chunks
    words[ARENA.readerCount] = readers
    words[ARENA.seed] = randomInt(2 ** 31)
    words[ARENA.epoch] = 1
    words[ARENA.hint] = first
    words[ARENA.firstChunk] = first
    words[ARENA.magic] = ARENA_MAGIC
    return new HeadArena(memory)
  }

  constructor(memory: SharedArrayBuffer) {
    const words = new Int32Array(memory)
    const magic = words[ARENA.magic]!
    const version = words[ARENA.version]!
    assert(
      magic === ARENA_MAGIC && version === ARENA_VERSION,
      `not a head arena of version ${ARENA_VERSION}: magic=${magic} version=${version}`,
    )
    assert(
      new Uint8Array(new Uint32Array([1]).buffer)[0] === 1,
      'heads need a little-endian machine',
    )
    this.memory = memory
    this.words = words
    this.bytes = new Uint8Array(memory)
    this.view = new DataView(memory)
    this.seed = words[ARENA.seed]!
    this.chunkCount = words[ARENA.chunkCount]!
    this.readerCount = words[ARENA.readerCount]!
    this.#first = words[ARENA.firstChunk]!
    this.#owner = tablesWord(this.readerCount)
    this.#state = this.#owner + this.chunkCount
    this.#retired = this.#state + this.chunkCount
  }

  get capacity_bytes(): number {
    return (this.chunkCount - this.#first) * CHUNK_BYTES
  }

  /** Bytes of chunks in use, counted (tens of microseconds): for metrics, not for every append. */
  used_bytes(): number {
    let used = 0
    for (let chunk = this.#first; chunk < this.chunkCount; chunk++) {
      if (this.words[this.#owner + chunk] !== 0) used++
    }
    return used * CHUNK_BYTES
  }

  /** Takes the lowest free chunk (low ones are already committed by the OS) for an owner word; 0 = none is free. */
  take(ownerWord: number): number {
    const { words, chunkCount } = this
    const owner = this.#owner
    const hint = Atomics.load(words, ARENA.hint)
    const start = hint < this.#first || hint > chunkCount ? this.#first : hint
    for (let chunk = start; chunk < chunkCount; chunk++) {
      if (words[owner + chunk] !== 0) continue
      if (Atomics.compareExchange(words, owner + chunk, 0, ownerWord) !== 0) continue
      Atomics.compareExchange(words, ARENA.hint, hint, chunk + 1)
      return chunk
    }
    // The hint is only a hint: a chunk freed while it moved lies below it.
    for (let chunk = this.#first; chunk < start; chunk++) {
      if (words[owner + chunk] !== 0) continue
      if (Atomics.compareExchange(words, owner + chunk, 0, ownerWord) === 0) return chunk
    }
    return 0
  }

  /** Frees a chunk when it still belongs to this owner word; false when it did not. */
  free(chunk: number, ownerWord: number): boolean {
    const { words } = this
    if (Atomics.compareExchange(words, this.#owner + chunk, ownerWord, 0) !== ownerWord)
      return false
    for (let hint = Atomics.load(words, ARENA.hint); chunk < hint;) {
      const found = Atomics.compareExchange(words, ARENA.hint, hint, chunk)
      if (found === hint) break
      hint = found
    }
    return true
  }

  /** Takes a header chunk for a new head of a partition; 0 = none is free. It is nobody's head until `open`. */
  takeHeader(partition: number): number {
    assert(partition >= 0 && partition < HEADER_OWNER, `partition ${partition} out of range`)
    return this.take(HEADER_OWNER | partition)
  }

  /** Makes an initialised header chunk a head that readers can open. */
  open(headerChunk: number): void {
    const word = Atomics.load(this.words, this.#state + headerChunk)
    assert((word & 0xff) === FREE, `head ${headerChunk} is already open (state ${word & 0xff})`)
    Atomics.store(this.words, this.#state + headerChunk, (word & ~0xff) | OPEN)
  }

  /** The state word of an open head: equal words mean the same head; 0 = not open (retired, or freed). */
  identity(headerChunk: number): number {
    if (headerChunk < this.#first || headerChunk >= this.chunkCount) return 0
    const word = Atomics.load(this.words, this.#state + headerChunk)
    return (word & 0xff) === OPEN ? word : 0
  }

  /** The owner word of the chunks that serve a head. */
  tag(headerChunk: number): number {
    return ownerTag(headerChunk, Atomics.load(this.words, this.#state + headerChunk) >>> 8)
  }

  partition(headerChunk: number): number {
    return Atomics.load(this.words, this.#owner + headerChunk) & ~HEADER_OWNER
  }

  /** Every head of a partition (of all when undefined), for a new owner to compare with its catalog. */
  heads(partition?: number): ArenaHead[] {
    const found: ArenaHead[] = []
    for (let chunk = this.#first; chunk < this.chunkCount; chunk++) {
      const owner = Atomics.load(this.words, this.#owner + chunk)
      if (!isHeader(owner) || (partition !== undefined && owner !== (HEADER_OWNER | partition)))
        continue
      const state = Atomics.load(this.words, this.#state + chunk) & 0xff
      if (state === FREE) continue
      const name = state === OPEN ? 'open' : 'retired'
      found.push({ headerChunk: chunk, partition: owner & ~HEADER_OWNER, state: name })
    }
    return found
  }

  /**
   * Closes a head to new readers and queues its chunks for `reclaim`. Only the partition's owner may call it; calling
   * again is harmless. The head's writer must not be used afterwards.
   */
  retire(headerChunk: number): void {
    const { words } = this
    const at = this.#state + headerChunk
    const word = Atomics.load(words, at)
    const generation = word & ~0xff
    if ((word & 0xff) === OPEN) Atomics.store(words, at, generation | RETIRING)
    else if ((word & 0xff) !== RETIRING) return
    // After this, whoever enters reads a later epoch, and finds the head closed.
    const epoch = Atomics.add(words, ARENA.epoch, 1) + 1
    Atomics.store(words, this.#retired + headerChunk, epoch)
    Atomics.store(words, at, generation | RETIRED)
  }

  /** Frees the chunks of retired heads that no reader can still see; returns the bytes freed. Any thread may call it. */
  reclaim(): number {
    const { words } = this
    const oldest = this.#oldestPin()
    let freed = 0
    for (let chunk = this.#first; chunk < this.chunkCount; chunk++) {
      const word = Atomics.load(words, this.#state + chunk)
      if (words[this.#owner + chunk]! < 0 && this.#freeStray(chunk)) freed++
      if ((word & 0xff) !== RETIRED) continue
      if (Atomics.load(words, this.#retired + chunk) > oldest) continue
      freed += this.#freeHead(chunk, word)
    }
    return freed * CHUNK_BYTES
  }

  /** Finishes what a dead owner of the partition left half done: a head never opened, a retirement not completed. */
  sweep(partition: number): void {
    const mine = HEADER_OWNER | partition
    for (let chunk = this.#first; chunk < this.chunkCount; chunk++) {
      if (this.words[this.#owner + chunk] !== mine) continue
      const state = Atomics.load(this.words, this.#state + chunk) & 0xff
      if (state === FREE) this.free(chunk, mine)
      else if (state === RETIRING) this.retire(chunk)
    }
  }

  /** Frees every chunk of a head that `isUsed` does not know; for an adopter, after its predecessor died. */
  freeUnused(headerChunk: number, isUsed: (chunk: number) => boolean): number {
    const tag = this.tag(headerChunk)
    let freed = 0
    for (let chunk = this.#first; chunk < this.chunkCount; chunk++) {
      if (this.words[this.#owner + chunk] === tag && !isUsed(chunk) && this.free(chunk, tag))
        freed++
    }
    return freed
  }

  /** The calling thread's slot. One object a thread: it holds counts. */
  reader(slot: number): ArenaReader {
    assert(slot >= 0 && slot < this.readerCount, `reader ${slot} of ${this.readerCount}`)
    return new ArenaReader(this, ARENA.readers + slot * READER_WORDS)
  }

  /** Forgets what a dead thread was reading; the supervisor calls it after the thread has ended. */
  clearReader(slot: number): void {
    const at = ARENA.readers + slot * READER_WORDS
    for (let pin = 0; pin < PINS; pin++) Atomics.store(this.words, at + pin, 0)
  }

  #oldestPin(): number {
    let oldest = 2 ** 31 - 1
    for (let slot = 0; slot < this.readerCount; slot++) {
      const at = ARENA.readers + slot * READER_WORDS
      for (let pin = 0; pin < PINS; pin++) {
        const epoch = Atomics.load(this.words, at + pin)
        if (epoch !== 0 && epoch < oldest) oldest = epoch
      }
    }
    return oldest
  }

  /**
   * The header chunk goes last, by way of the head's own tag: that word never comes back, so a reclaimer that was slow
   * cannot take the chunk from a later head, and one that died leaves a word that `#freeStray` knows.
   */
  #freeHead(headerChunk: number, word: number): number {
    const { words } = this
    const tag = ownerTag(headerChunk, word >>> 8)
    let freed = 0
    for (let chunk = this.#first; chunk < this.chunkCount; chunk++) {
      if (chunk === headerChunk || words[this.#owner + chunk] !== tag) continue
      if (this.free(chunk, tag)) freed++
    }
    const owner = Atomics.load(words, this.#owner + headerChunk)
    if (isHeader(owner)) Atomics.compareExchange(words, this.#owner + headerChunk, owner, tag)
    const next = (((word >>> 8) + 1) & GENERATION_MASK) << 8
    Atomics.compareExchange(words, this.#state + headerChunk, word, next | FREE)
    return this.free(headerChunk, tag) ? freed + 1 : freed
  }

  /** Frees a chunk whose head is gone: its tag names a generation that has passed. */
  #freeStray(chunk: number): boolean {
    const owner = Atomics.load(this.words, this.#owner + chunk)
    if (owner >= 0) return false
    const head = taggedHead(owner)
    const current = ownerTag(head, Atomics.load(this.words, this.#state + head) >>> 8)
    return owner !== current && this.free(chunk, owner)
  }
}

/** One thread's say in what may not be reclaimed yet. */
export class ArenaReader {
  readonly #arena: HeadArena
  readonly #at: number
  readonly #epochs = new Int32Array(PINS)
  readonly #counts = new Int32Array(PINS)

  constructor(arena: HeadArena, at: number) {
    this.#arena = arena
    this.#at = at
  }

  /** From now until `leave` with the pin returned, no head opened since is reclaimed. Check a head's identity afterwards. */
  enter(): number {
    const epoch = Atomics.load(this.#arena.words, ARENA.epoch)
    let pin = -1
    let newest = 0
    for (let i = 0; i < PINS; i++) {
      if (this.#counts[i] === 0) {
        pin = i
      } else if (this.#epochs[i] === epoch) {
        this.#counts[i]!++
        return i
      } else if (this.#counts[newest] === 0 || this.#epochs[i]! > this.#epochs[newest]!) {
        newest = i
      }
    }
    if (pin < 0) {
      // All pins hold other epochs: sharing an older one holds more back, never less.
      this.#counts[newest]!++
      return newest
    }
    this.#counts[pin] = 1
    this.#epochs[pin] = epoch
    Atomics.store(this.#arena.words, this.#at + pin, epoch)
    return pin
  }

  leave(pin: number): void {
    assert(this.#counts[pin]! > 0, `pin ${pin} left more often than entered`)
    if (--this.#counts[pin]! === 0) Atomics.store(this.#arena.words, this.#at + pin, 0)
  }
}

function tablesWord(readers: number): number {
  return ARENA.readers + readers * READER_WORDS
}

function isHeader(owner: number): boolean {
  return owner > 0 && (owner & HEADER_OWNER) !== 0
}
