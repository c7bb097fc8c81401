/**
 * Owns the published state of a head: how many rows of each table exist, and what goes with them. Two records take turns;
 * the version word says which one holds, so a writer that dies while it writes the other one leaves the last state whole.
 */
import type { HeadArena } from './arena.js'
import { ENTRY, HEAD, SNAPSHOT, SNAPSHOT_WORDS, WORD_SHIFT } from './layout.js'

/** A consistent copy of a published state. */
export class Snapshot {
  version = 0
  readonly words = new Int32Array(SNAPSHOT_WORDS)

  count(table: number): number {
    return this.words[SNAPSHOT.counts + table]!
  }

  get appliedOffset(): number {
    return this.#number(SNAPSHOT.appliedOffset)
  }

  /** OTLP bytes of the head's spans. */
  get otlpBytes(): number {
    return this.#number(SNAPSHOT.otlpBytes)
  }

  get duplicates(): number {
    return this.words[SNAPSHOT.duplicates]!
  }

  get minStart_ns(): bigint {
    return this.#big(SNAPSHOT.minStart)
  }

  get maxEnd_ns(): bigint {
    return this.#big(SNAPSHOT.maxEnd)
  }

  setNumber(at: number, value: number): void {
    this.words[at] = value | 0
    this.words[at + 1] = Math.floor(value / 2 ** 32) | 0
  }

  #number(at: number): number {
    return (this.words[at + 1]! >>> 0) * 2 ** 32 + (this.words[at]! >>> 0)
  }

  #big(at: number): bigint {
    return (BigInt(this.words[at + 1]! >>> 0) << 32n) | BigInt(this.words[at]! >>> 0)
  }
}

/** The version of a head's published state; it grows by one with each. */
export function publishedVersion(arena: HeadArena, headerChunk: number): number {
  return Atomics.load(arena.words, (headerChunk << WORD_SHIFT) + HEAD.version)
}

/** Writes the record that is not in force, then turns to it. Only the head's writer may call it. */
export function publishSnapshot(arena: HeadArena, headerChunk: number, snapshot: Snapshot): void {
  const header = headerChunk << WORD_SHIFT
  const version = (Atomics.load(arena.words, header + HEAD.version) + 1) | 0
  const at = recordAt(header, version)
  for (let i = 0; i < SNAPSHOT_WORDS; i++) {
    // Atomic, so that a reader's copy cannot be reordered around its check of the version.
    Atomics.store(arena.words, at + i, snapshot.words[i]!)
  }
  Atomics.store(arena.words, header + HEAD.version, version)
  snapshot.version = version
}

/** Copies the published state into `into`. */
export function readSnapshot(
  arena: HeadArena,
  headerChunk: number,
  into = new Snapshot(),
): Snapshot {
  const header = headerChunk << WORD_SHIFT
  for (;;) {
    const version = Atomics.load(arena.words, header + HEAD.version)
    const at = recordAt(header, version)
    for (let i = 0; i < SNAPSHOT_WORDS; i++) into.words[i] = Atomics.load(arena.words, at + i)
    into.version = version
    // The writer may be at work on this record only once the version has moved on.
    if (Atomics.load(arena.words, header + HEAD.version) === version) return into
  }
}

function recordAt(header: number, version: number): number {
  return header + HEAD.snapshots + (version & 1) * SNAPSHOT_WORDS
}

/** Rows that a table must have pages for: the dictionary's last entry needs its end. */
export function reservedRows(snapshot: Snapshot, table: number): number {
  return snapshot.count(table) + (table === ENTRY ? 1 : 0)
}
