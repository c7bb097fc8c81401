/** Owns one life of a log's owner in the death test: open, check all that is there, then append, rotate, drop and note until death comes. */
import { performance } from 'node:perf_hooks'
import { setImmediate } from 'node:timers'
import { crc32 } from 'node:zlib'
import { LivestoreState } from '../../../dist/storage/wal/state.js'
import { Wal } from '../../../dist/storage/wal/wal.js'
import { createLog } from '../../../dist/lib/log.js'
import { systemClock } from '../../../dist/lib/time.js'

const MAX_IN_FLIGHT = 4
const KEPT_SEGMENTS = 2
const KEPT_BLOCKS = 4

/** mulberry32. */
export function seeded(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The one content the ring can have at an offset, so that whoever reads the log can tell what must be there. */
export function recordAt(startOffset, blockOf) {
  const random = seeded(startOffset / 32)
  const kind = random()
  const length = Math.floor(random() * (kind < 0.7 ? 4_000 : kind < 0.97 ? 100_000 : 400_000))
  const tenant = `tenant-${Math.floor(random() * 3)}`
  const words = new Uint32Array(Math.ceil(length / 4))
  let word = startOffset >>> 0
  for (let i = 0; i < words.length; i++)
    words[i] = word = (Math.imul(word, 1664525) + 1013904223) >>> 0
  return {
    tenant,
    blockId: blockOf(tenant),
    startOffset,
    endOffset: startOffset + 32 * Math.ceil((32 + length) / 32),
    timestamp_ms: startOffset,
    bytes: new Uint8Array(words.buffer, 0, length),
  }
}

const hex12 = (n) => n.toString(16).padStart(12, '0')
const blockOfSegment = (seq) => (tenant) =>
  `00000000-0000-4000-8${tenant.slice(-1)}00-${hex12(seq)}`
const stateBlock = (n) => ({
  blockId: `00000000-0000-4000-9000-${hex12(n)}`,
  tenant: 'tenant-0',
  segment: n,
  spans: n,
  size_bytes: n,
  state: 'completed',
  attempts: 0,
  completedAt_ms: n,
  flushedAt_ms: undefined,
  meta: { n },
})

function must(condition, text) {
  if (!condition) throw new Error(`DEFECT: ${text}`)
}

/** Words shared with the driver: what was acknowledged outlives this thread. */
export const Word = {
  acknowledged: 0,
  notes: 1,
  records: 2,
  bytes: 3,
  rotations: 4,
  drops: 5,
  inFlight: 6,
  appends: 7,
}

export class Life {
  constructor({ path, seed, sync, words }) {
    Object.assign(this, { path, sync, words, random: seeded(seed), inFlight: 0, deaths: undefined })
  }

  async open() {
    const began = performance.now()
    const log = createLog({ level: 'error' })
    const options = { path: this.path, partition: 0, sync: this.sync, clock: systemClock, log }
    this.wal = await Wal.open(options)
    this.state = await LivestoreState.open(options)
    this.opened_ms = performance.now() - began
  }

  /** Nothing acknowledged may be missing, nothing may be there twice, and all bytes must be right. */
  async verify() {
    const acknowledged = Number(this.words.get(Word.acknowledged))
    must(
      this.wal.appliedOffset >= acknowledged,
      `applied ${this.wal.appliedOffset} < acknowledged ${acknowledged}`,
    )
    const segments = this.wal.segments()
    let at = segments[0].baseOffset
    for (const info of segments) {
      must(info.baseOffset === at, `segment ${info.seq} begins at ${info.baseOffset}, not ${at}`)
      let count = 0
      for await (const records of this.wal.replay(info.seq)) {
        for (const found of records) {
          const expected = recordAt(at, blockOfSegment(info.seq))
          must(
            found.startOffset === at,
            `found ${found.startOffset} in segment ${info.seq}, not ${at}`,
          )
          must(
            found.endOffset === expected.endOffset && found.tenant === expected.tenant,
            `wrong record at ${at}`,
          )
          must(
            found.blockId === info.blocks.get(found.tenant),
            `wrong block of ${found.tenant} at ${at}`,
          )
          must(found.blockId === expected.blockId, `wrong block at ${at}`)
          must(found.bytes.length === expected.bytes.length, `wrong length at ${at}`)
          must(crc32(found.bytes) === crc32(expected.bytes), `wrong bytes at ${at}`)
          at = found.endOffset
          count++
        }
      }
      must(
        info.appliedOffset === at,
        `segment ${info.seq} says ${info.appliedOffset}, its records end at ${at}`,
      )
      must(
        info.recordCount === count,
        `segment ${info.seq} counts ${info.recordCount} records, has ${count}`,
      )
    }
    this.#verifyState()
    this.words.add(
      Word.records,
      segments.reduce((sum, { recordCount }) => sum + recordCount, 0),
    )
    this.offset = this.wal.appliedOffset
  }

  #verifyState() {
    const acknowledged = Number(this.words.get(Word.notes))
    const blocks = this.state.blocks()
    const newest = blocks.at(-1)?.segment ?? 0
    must(newest >= acknowledged, `state holds block ${newest}, ${acknowledged} was acknowledged`)
    for (let n = Math.max(1, acknowledged - KEPT_BLOCKS + 2); n <= acknowledged; n++) {
      const block = this.state.block(stateBlock(n).blockId)
      must(
        block?.meta.n === n,
        `block ${n} is missing from the state, ${acknowledged} was acknowledged`,
      )
      if (n < acknowledged)
        must(block.state === 'flushed', `block ${n} was acknowledged as flushed`)
    }
    must(blocks.length <= KEPT_BLOCKS + 2, `${blocks.length} blocks in the state`)
    // What was found is durable; from here on it counts as acknowledged.
    this.words.set(Word.notes, newest)
    this.note = newest
  }

  /** Appends until `deaths(life)` ends it: it is asked after every append, while up to four are in flight. */
  async work(deaths) {
    for (;;) {
      if (this.random() < 0.04) await this.#rotate()
      if (this.random() < 0.06) void this.#changeState()
      this.#append()
      const end = deaths(this)
      if (end) return end
      while (this.inFlight >= MAX_IN_FLIGHT) await this.pending
      if (this.random() < 0.3) await new Promise(setImmediate)
    }
  }

  async stop() {
    await this.state.close()
    await this.wal.quiesce()
    await this.wal.close()
  }

  #append() {
    const records = []
    const count = 1 + Math.floor(this.random() * 5)
    for (let i = 0; i < count; i++) {
      const record = recordAt(this.offset, blockOfSegment(this.wal.current.seq))
      records.push(record)
      this.offset = record.endOffset
    }
    const end = this.offset
    this.inFlight++
    this.words.set(Word.inFlight, this.inFlight)
    this.pending = this.wal.append(records, end).then(() => {
      this.inFlight--
      this.words.set(Word.acknowledged, end)
      this.words.set(Word.inFlight, this.inFlight)
      this.words.add(Word.appends, 1)
      this.words.add(
        Word.bytes,
        records.reduce((sum, { bytes }) => sum + bytes.length, 0),
      )
    })
  }

  async #rotate() {
    await this.wal.quiesce()
    await this.wal.rotate()
    this.words.add(Word.rotations, 1)
    const closed = this.wal.segments().filter(({ isClosed }) => isClosed)
    for (const { seq } of closed.slice(0, -KEPT_SEGMENTS)) {
      await this.wal.drop(seq)
      this.words.add(Word.drops, 1)
    }
  }

  async #changeState() {
    if (this.changing) return
    this.changing = true
    const n = ++this.note
    const previous = stateBlock(n - 1).blockId
    if (this.state.block(previous)) void this.state.markFlushed(previous, n)
    const old = this.state.blocks().slice(0, -KEPT_BLOCKS + 1)
    for (const { blockId } of old) void this.state.removeBlock(blockId)
    await this.state.putBlock(stateBlock(n))
    this.words.set(Word.notes, n)
    this.changing = false
  }
}
