/**
 * Owns the dead letters of a partition: records that killed their consumer three times, kept until a person has looked at them.
 * What they are is in memory, their bytes are on disk only. Two entries of the state's LMDB file each:
 *
 *   05 | id    JSON: what it is, where it came from, why it is here
 *   06 | id    the bytes of the record
 */
import { assert } from '../../lib/assert.js'
import type { WriteOp } from './lmdb.js'

/** The topic whose consumer it killed. */
export type DeadLetterTopic = 'ingress' | 'traces'

export interface DeadLetter {
  /** `<topic>-<partition>-<begin of identity>`: the same bytes are the same letter. */
  readonly id: string
  /** A hash of topic, tenant and bytes. */
  readonly identity: string
  readonly topic: DeadLetterTopic
  readonly partition: number
  readonly offset: number
  readonly tenant: string
  /** When the record came. */
  readonly timestamp_ms: number
  readonly spans: number
  readonly length_bytes: number
  /** Deaths of its consumer. */
  readonly tries: number
  /** The kind of the last death, and the last death in words. */
  readonly reason: string
  readonly why: string
  /** True when its spans had been acknowledged: it killed the replay of the write-ahead log. */
  readonly wasAcknowledged: boolean
  readonly quarantinedAt_ms: number
}

/** Each took three deaths of an actor: with so many, something is wrong that no room will cure. */
export const MAX_DEAD_LETTERS = 1000
export const MAX_DEAD_LETTER_BYTES = 64 * 1024 * 1024

export const DEAD_LETTER = 5
const DEAD_LETTER_BYTES = 6

const encoder = new TextEncoder()

export class DeadLetters {
  readonly #letters = new Map<string, DeadLetter>()
  #size_bytes = 0

  /** Oldest first. */
  list(): DeadLetter[] {
    return [...this.#letters.values()].sort((a, b) => a.quarantinedAt_ms - b.quarantinedAt_ms)
  }

  get(id: string): DeadLetter | undefined {
    return this.#letters.get(id)
  }

  get count(): number {
    return this.#letters.size
  }

  get size_bytes(): number {
    return this.#size_bytes
  }

  /** True when a letter of that size may be added; one that replaces itself always may. */
  hasRoom(id: string, length_bytes: number): boolean {
    if (this.#letters.has(id)) return true
    return (
      this.#letters.size < MAX_DEAD_LETTERS &&
      this.#size_bytes + length_bytes <= MAX_DEAD_LETTER_BYTES
    )
  }

  /** Notes a letter that is on disk. */
  set(letter: DeadLetter): void {
    this.delete(letter.id)
    this.#letters.set(letter.id, letter)
    this.#size_bytes += letter.length_bytes
  }

  delete(id: string): void {
    const letter = this.#letters.get(id)
    if (!letter) return
    this.#letters.delete(id)
    this.#size_bytes -= letter.length_bytes
  }
}

export function deadLetterId(topic: DeadLetterTopic, partition: number, identity: string): string {
  return `${topic}-${partition}-${identity.slice(0, 16)}`
}

/** Writes a letter; the bytes must stay as they are until the commit. */
export function puttingDeadLetter(letter: DeadLetter, bytes: Uint8Array): WriteOp[] {
  assert(letter.length_bytes === bytes.length, `dead letter ${letter.id} of another length`)
  return [
    { key: keyOf(DEAD_LETTER, letter.id), value: encoder.encode(JSON.stringify(letter)) },
    { key: deadLetterBytesKey(letter.id), value: bytes },
  ]
}

export function removingDeadLetter(id: string): WriteOp[] {
  return [
    { key: keyOf(DEAD_LETTER, id), value: undefined },
    { key: deadLetterBytesKey(id), value: undefined },
  ]
}

export function deadLetterBytesKey(id: string): Uint8Array {
  return keyOf(DEAD_LETTER_BYTES, id)
}

function keyOf(first: number, id: string): Uint8Array {
  const text = encoder.encode(id)
  const key = new Uint8Array(1 + text.length)
  key[0] = first
  key.set(text, 1)
  return key
}
