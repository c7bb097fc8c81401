/**
 * Owns the livestore's durable state of one partition: its flush queue (which blocks are complete, which are flushed), and small notes
 * such as attempts of poison records, the replay marker and dead letters. Each change is synced to disk: they are few, and what they say
 * decides what may be deleted.
 */
import { join } from 'node:path'
import { assert } from '../../lib/assert.js'
import { makeFoldersSync, syncUpwards } from '../../lib/durable-folders.js'
import type { Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import {
  DEAD_LETTER,
  deadLetterBytesKey,
  DeadLetters,
  puttingDeadLetter,
  removingDeadLetter,
  type DeadLetter,
} from './dead-letters.js'
import { WalCorrupt, WalVersionUnsupported, type WalFailed } from './errors.js'
import { isUuid } from './keys.js'
import { LmdbEnv, type WriteOp } from './lmdb.js'

export interface BlockState {
  blockId: string
  tenant: string
  /** The WAL segment its records came from. */
  segment: number
  spans: number
  size_bytes: number
  state: 'completed' | 'flushed'
  /** Attempts to flush it that failed. */
  attempts: number
  completedAt_ms: number
  flushedAt_ms: number | undefined
  /** The block's meta.json, as an object. */
  meta: unknown
}

export interface StateOptions {
  /** `live_store.wal.path`; the state lives in `state/p<partition>` below it. */
  path: string
  partition: number
  clock: Clock
  log: Log
  /** Given: an open waits for the disk to have room, until the signal. Otherwise it fails. */
  waitForRoom?: AbortSignal
}

interface Change {
  ops: WriteOp[]
  apply: () => void
}

export const STATE_VERSION = 1

const VERSION_KEY = Uint8Array.of(1)
const BLOCK = 2
const NOTE = 3 // 4 was never written; 5 and 6 are in dead-letters.ts

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export class LivestoreState {
  readonly #env: LmdbEnv
  readonly #blocks = new Map<string, BlockState>()
  readonly #notes = new Map<string, unknown>()
  readonly #deadLetters = new DeadLetters()
  #tail: Promise<void> = Promise.resolve()

  private constructor(env: LmdbEnv) {
    this.#env = env
  }

  static async open(options: StateOptions): Promise<LivestoreState> {
    const path = join(options.path, 'state', `p${options.partition}`)
    makeFoldersSync(path)
    const env = await LmdbEnv.openWhenRoom({ ...options, path, fsync: true }, options.waitForRoom)
    try {
      const state = new LivestoreState(env)
      await state.#load(path)
      return state
    } catch (error) {
      await env.close()
      throw error
    }
  }

  get failure(): WalFailed | undefined {
    return this.#env.failure
  }

  /** All blocks that are held locally, as last committed, oldest completion first. */
  blocks(): BlockState[] {
    return [...this.#blocks.values()].sort((a, b) => a.completedAt_ms - b.completedAt_ms)
  }

  block(blockId: string): BlockState | undefined {
    return this.#blocks.get(blockId)
  }

  /** Adds or replaces a block. */
  putBlock(block: BlockState): Promise<void> {
    assert(isUuid(block.blockId), `block id "${block.blockId}" is no UUID`)
    const copy = { ...block }
    return this.#change(() => this.#putting(copy))
  }

  /** The block is in the backend: its local copy may go once its time is up. */
  markFlushed(blockId: string, flushedAt_ms: number): Promise<void> {
    return this.#change(() =>
      this.#putting({ ...this.#mustHave(blockId), state: 'flushed', flushedAt_ms }),
    )
  }

  /** One more attempt to flush it has failed. */
  addAttempt(blockId: string): Promise<void> {
    return this.#change(() => {
      const block = this.#mustHave(blockId)
      return this.#putting({ ...block, attempts: block.attempts + 1 })
    })
  }

  /** Forgets a block whose local copy is deleted. */
  removeBlock(blockId: string): Promise<void> {
    return this.#change(() => ({
      ops: [{ key: blockKey(blockId), value: undefined }],
      apply: () => this.#blocks.delete(blockId),
    }))
  }

  /** A small JSON value under a name: tries of a suspected record, the replay marker. */
  note(name: string): unknown {
    return this.#notes.get(name)
  }

  /** Sets a note, or removes it when the value is undefined. */
  setNote(name: string, value: unknown): Promise<void> {
    const key = concat(NOTE, encoder.encode(name))
    const bytes = value === undefined ? undefined : json(value)
    return this.#change(() => ({
      ops: [{ key, value: bytes }],
      apply: () => (bytes ? this.#notes.set(name, value) : this.#notes.delete(name)),
    }))
  }

  /** Names and values of the notes whose names begin so. */
  notes(prefix: string): [name: string, value: unknown][] {
    return [...this.#notes].filter(([name]) => name.startsWith(prefix))
  }

  /** Records that are put aside, as last committed. */
  get deadLetters(): Pick<DeadLetters, 'list' | 'get' | 'hasRoom' | 'count' | 'size_bytes'> {
    return this.#deadLetters
  }

  /** The record of a dead letter. */
  deadLetterBytes(id: string): Uint8Array | undefined {
    return this.#env.get(deadLetterBytesKey(id))
  }

  /** Puts a record aside, or writes its letter anew. The bytes must stay as they are until it resolves. */
  putDeadLetter(letter: DeadLetter, bytes: Uint8Array): Promise<void> {
    return this.#change(() => ({
      ops: puttingDeadLetter(letter, bytes),
      apply: () => this.#deadLetters.set(letter),
    }))
  }

  removeDeadLetter(id: string): Promise<void> {
    return this.#change(() => ({
      ops: removingDeadLetter(id),
      apply: () => this.#deadLetters.delete(id),
    }))
  }

  /** Resolves when no change is in flight. */
  async quiesce(): Promise<void> {
    if (this.#env.isDiskFull) await this.#env.quiesce()
    await this.#tail.catch(() => {})
    await this.#env.quiesce()
  }

  async close(): Promise<void> {
    await this.quiesce()
    await this.#env.close()
  }

  /** Changes are made up and committed one after another; memory follows the disk, never the other way round. */
  #change(make: () => Change): Promise<void> {
    const done = this.#tail
      .catch(() => {})
      .then(async () => {
        const { ops, apply } = make()
        await this.#env.commit(ops)
        apply()
      })
    this.#tail = done
    return done
  }

  #putting(block: BlockState): Change {
    return {
      ops: [{ key: blockKey(block.blockId), value: json(block) }],
      apply: () => this.#blocks.set(block.blockId, block),
    }
  }

  #mustHave(blockId: string): BlockState {
    const block = this.#blocks.get(blockId)
    assert(block !== undefined, `block ${blockId} is not in ${this.#env.path}`)
    return block
  }

  async #load(path: string): Promise<void> {
    const version = this.#env.get(VERSION_KEY)
    if (!version) {
      // Before the version: a state that has one is sure to be found after a power cut.
      syncUpwards(path)
      return this.#env.commit([{ key: VERSION_KEY, value: json(STATE_VERSION) }])
    }
    const found = parse(version, path)
    if (!Number.isInteger(found)) throw new WalCorrupt(path, 'its version is no number')
    if (Number(found) > STATE_VERSION) {
      throw new WalVersionUnsupported(path, Number(found), STATE_VERSION)
    }
    for (const { value } of this.#env.entries(BLOCK)) {
      const block = parse(value, path) as BlockState
      this.#blocks.set(block.blockId, block)
    }
    for (const { key, value } of this.#env.entries(NOTE)) {
      this.#notes.set(decoder.decode(key.subarray(1)), parse(value, path))
    }
    for (const { value } of this.#env.entries(DEAD_LETTER)) {
      this.#deadLetters.set(parse(value, path) as DeadLetter)
    }
  }
}

function blockKey(blockId: string): Uint8Array {
  return concat(BLOCK, encoder.encode(blockId))
}

function concat(first: number, rest: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + rest.length)
  bytes[0] = first
  bytes.set(rest, 1)
  return bytes
}

function json(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value))
}

function parse(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(decoder.decode(bytes)) as unknown
  } catch {
    throw new WalCorrupt(path, `an entry is no JSON: ${decoder.decode(bytes.subarray(0, 40))}`)
  }
}
