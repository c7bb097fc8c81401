/** Owns the proof that a ring survives the death of its users: threads are terminated at random instants, mid-append included. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, it } from 'vitest'
import { assignGroup, countAttempt, groupState } from '../../src/bus/group.js'
import { lockHolder } from '../../src/bus/lock.js'
import { releaseDeadOwner, Ring } from '../../src/bus/ring.js'
import { Random } from '../support/random.js'

const DURATION_MS = Number(process.env.STRESS_MS ?? 10_000)
/** A slow machine goes on until enough has happened, but not for ever. */
const DURATION_MS_MAX = DURATION_MS * 12
const DEATHS_MIN = { producer: 20, reader: 10, sampler: 5 }
const SEED = Number(process.env.STRESS_SEED ?? 1)
const CAPACITY_BYTES = 256 * 1024
const BASE_OFFSET = 2 ** 32 - CAPACITY_BYTES // offsets pass 2^32 on the way
const INCARNATIONS_MAX = 8192
const ACKED = 16
const STOP_PRODUCERS = 1
const STOP_READER = 2
const SCRIPT = new URL('./actors/ring-worker.js', import.meta.url)

type Role = 'producer' | 'reader' | 'sampler'

interface Thread {
  role: Role
  actorId: number
  worker: Worker
  exited: Promise<unknown>
  isRunning: boolean // what dies while it loads its modules proves nothing
}

/** The supervisor of the test: what it does at a death is all that the real one does for the ring. */
class Stage {
  readonly ring = new Ring(
    Ring.create({
      topic: 'traces',
      partition: 0,
      capacity_bytes: CAPACITY_BYTES,
      baseOffset: BASE_OFFSET,
      groups: [
        { name: 'store', mode: 'gating' },
        { name: 'sampler', mode: 'lossy' },
      ],
    }),
  )
  readonly control = new Int32Array(new SharedArrayBuffer(4 * (ACKED + INCARNATIONS_MAX)))
  readonly store = new SharedArrayBuffer(64 + 2 * (8 + 4 * INCARNATIONS_MAX))
  readonly failures: string[] = []
  readonly killed = { producer: 0, reader: 0, sampler: 0 }
  holdingLock = 0
  #lastId = 0

  start(role: Role): Thread {
    const actorId = ++this.#lastId
    let epoch = 0
    if (role !== 'producer') {
      const group = role === 'reader' ? 0 : 1
      epoch = assignGroup(this.ring, group, actorId)
      countAttempt(this.ring, group)
    }
    const { ring, control, store: storeBuffer } = this
    const buffers = { ringBuffer: ring.buffer, controlBuffer: control.buffer, storeBuffer }
    const workerData = { role, actorId, epoch, seed: SEED * 7919 + actorId, ...buffers }
    const worker = new Worker(SCRIPT, { workerData })
    const thread = { role, actorId, worker, exited: once(worker, 'exit'), isRunning: false }
    worker.on('message', ({ failure }: { failure?: string }) => {
      thread.isRunning = true
      if (failure !== undefined) this.failures.push(failure)
    })
    worker.on('error', (error) => this.failures.push(`${role} ${actorId}: ${String(error)}`))
    return thread
  }

  async kill(thread: Thread): Promise<void> {
    await thread.worker.terminate()
    await thread.exited
    this.killed[thread.role]++
    if (releaseDeadOwner(this.ring.buffer, thread.actorId)) this.holdingLock++
  }

  /** Enough deaths of each kind, one at least with the append lock in hand. */
  get isProof(): boolean {
    const roles = ['producer', 'reader', 'sampler'] as const
    return this.holdingLock > 0 && roles.every((role) => this.killed[role] >= DEATHS_MIN[role])
  }

  /** How many records of each incarnation the store has applied. */
  applied(): { offset: number; counts: Int32Array } {
    const half = (this.store.byteLength - 64) / 2
    const start = 64 + new Int32Array(this.store)[0]! * half
    const offset = new Float64Array(this.store, start, 1)[0]!
    return { offset, counts: new Int32Array(this.store, start + 8, INCARNATIONS_MAX) }
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

it('loses, repeats and corrupts nothing while its users are terminated at random', async () => {
  const random = new Random(SEED)
  const stage = new Stage()
  const threads = (['producer', 'producer', 'reader', 'sampler'] as const).map((r) =>
    stage.start(r),
  )
  const start = performance.now()
  for (let took_ms = 0; stage.failures.length === 0; took_ms = performance.now() - start) {
    if (took_ms > DURATION_MS_MAX || (took_ms > DURATION_MS && stage.isProof)) break
    await sleep(random.below(40))
    const victim = random.below(threads.length)
    if (!threads[victim]!.isRunning) continue
    await stage.kill(threads[victim]!)
    threads[victim] = stage.start(threads[victim]!.role)
  }
  Atomics.store(stage.control, 0, STOP_PRODUCERS)
  const [a, b, reader, sampler] = threads
  await Promise.all([a!.exited, b!.exited, sampler!.exited])
  Atomics.store(stage.control, 0, STOP_READER)
  await reader!.exited
  const { ring, killed, control } = stage
  const { offset, counts } = stage.applied()
  let applied = 0
  let unacknowledged = 0
  for (let id = 0; id < INCARNATIONS_MAX; id++) {
    const extra = counts[id]! - control[ACKED + id]!
    // An append may be published and its producer die before it knows; nothing else may differ.
    if (extra !== 0 && extra !== 1)
      stage.failures.push(`producer ${id}: ${extra} more than acknowledged`)
    applied += counts[id]!
    unacknowledged += extra
  }
  const mib = (offset - BASE_OFFSET) / 2 ** 20
  const { lapped, lostRecords } = groupState(ring, 1)
  console.log(
    `seed ${SEED}: ${applied} records, ${mib.toFixed(0)} MiB; terminated ${killed.producer} producers ` +
      `(${stage.holdingLock} holding the lock, ${unacknowledged} between publish and return), ` +
      `${killed.reader} readers, ${killed.sampler} samplers; the sampler saw ${control[1]!}, ` +
      `was overrun ${lapped} times and lost ${lostRecords}`,
  )
  expect(stage.failures).toEqual([])
  expect(lockHolder(ring.words)).toBe(0)
  expect(offset).toBe(ring.tail)
  expect(ring.committed(0)).toBe(ring.tail)
  expect(ring.appendedRecords).toBe(applied)
  expect(ring.lag(0).records).toBe(0)
  expect(stage.isProof).toBe(true)
  expect(applied).toBeGreaterThan(1000)
})
