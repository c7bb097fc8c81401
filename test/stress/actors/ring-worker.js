/** Owns the three threads of the ring's stress test: a producer, a reader with a store of its own, a lossy reader. */
import process from 'node:process'
import { setTimeout } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { Consumer } from '../../../dist/bus/consumer.js'
import { Ring } from '../../../dist/bus/ring.js'

const { role, actorId, epoch, seed, ringBuffer, controlBuffer, storeBuffer } = workerData
const ring = new Ring(ringBuffer)
/** [0] stop | [1] lossy records seen | [2] first failure | [3] lossy laps, then one count of acknowledged appends an incarnation. */
const control = new Int32Array(controlBuffer)
const ACKED = 16
const NO_KEY = new Uint8Array(0)

parentPort.on('message', () => {}) // a parked waitAsync does not keep a thread alive
parentPort.postMessage({ running: true })

const byteOf = (n, i) => (n * 31 + i * 7) & 0xff

function fail(text) {
  parentPort.postMessage({ failure: `${role} ${actorId}: ${text}` })
  throw new Error(text)
}

/** Writes byte by byte, so that most of its life is spent holding the lock. */
async function produce() {
  let state = seed
  const random = (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return (state >>> 8) % bound
  }
  for (let n = 0; Atomics.load(control, 0) === 0;) {
    const length = 8 + random(random(8) === 0 ? 24_000 : 4_000)
    const head = { type: 1, correlation: n, key: NO_KEY, timestamp_ms: 0 }
    const end = ring.append(actorId, head, length, (target, start) => {
      const view = new DataView(target.buffer, target.byteOffset + start, 8)
      view.setUint32(0, actorId, true)
      view.setUint32(4, n, true)
      for (let i = 8; i < length; i++) target[start + i] = byteOf(n, i)
    })
    if (end > 0) Atomics.store(control, ACKED + actorId, ++n)
    else await ring.waitForSpace(0, length, { timeout_ms: 2000 })
  }
}

function check(record) {
  const { value } = record
  const producer = value.readUInt32LE(0)
  const n = value.readUInt32LE(4)
  if (n !== record.correlation)
    fail(`offset ${record.offset}: n=${n}, head says ${record.correlation}`)
  for (let i = 8; i < value.length; i++) {
    if (value[i] !== byteOf(n, i))
      fail(`offset ${record.offset}: byte ${i} of record ${producer}/${n}`)
  }
  return producer
}

/**
 * Applies each record to a store with transactions: two copies of the state, and a word that says which one holds.
 *   copy: applied offset f64, then how many records of each incarnation were applied, i32
 */
async function consume() {
  const selector = new Int32Array(storeBuffer, 0, 1)
  const half = (storeBuffer.byteLength - 64) / 2
  const offsets = [0, 1].map((k) => new Float64Array(storeBuffer, 64 + k * half, 1))
  const counts = [0, 1].map((k) => new Int32Array(storeBuffer, 64 + k * half + 8, (half - 8) / 4))
  const applied = offsets[Atomics.load(selector, 0)][0]
  const from = Math.max(ring.committed(0), applied)
  const consumer = new Consumer(ring, 0, { actorId, epoch, from })
  if (from > consumer.committed) consumer.commit(from)
  for (;;) {
    const batch = consumer.poll({ max_bytes: 65_536 })
    if (batch === undefined) {
      if (Atomics.load(control, 0) === 2 && consumer.cursor === ring.tail) break
      await consumer.wait({ timeout_ms: 100 })
      continue
    }
    const active = Atomics.load(selector, 0)
    const next = counts[1 - active]
    next.set(counts[active])
    for (const record of batch.records) {
      const producer = check(record)
      if (record.correlation !== next[producer]) {
        fail(`record ${producer}/${record.correlation} applied as number ${next[producer]}`)
      }
      next[producer]++
    }
    offsets[1 - active][0] = batch.end
    Atomics.store(selector, 0, 1 - active)
    consumer.commit(batch.end)
  }
}

/** Reads at leisure, is overrun again and again, and must never see a byte of another record. */
async function sample() {
  const consumer = new Consumer(ring, 1, { actorId, epoch })
  const last = new Map()
  while (Atomics.load(control, 0) === 0) {
    const batch = consumer.poll({ max_bytes: 131_072 })
    if (batch === undefined) {
      await consumer.wait({ timeout_ms: 100 })
      continue
    }
    for (const record of batch.records) {
      const producer = check(record)
      if (record.correlation <= (last.get(producer) ?? -1))
        fail(`record ${producer}/${record.correlation} again`)
      last.set(producer, record.correlation)
      Atomics.add(control, 1, 1)
    }
    consumer.commit(consumer.cursor)
    await setTimeout(1 + (Atomics.load(control, 1) % 7))
  }
}

const roles = { producer: produce, reader: consume, sampler: sample }
roles[role]().then(
  () => process.exit(0),
  (error) => {
    parentPort.postMessage({ failure: `${role} ${actorId}: ${error.stack}` })
    process.exit(1)
  },
)
