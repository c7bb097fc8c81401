import { Worker } from 'node:worker_threads'
import { expect, it } from 'vitest'
import { HeadArena } from '../../src/storage/head/arena.js'
import { Random, shopRequests } from '../support/otlp-gen.js'

const RUN_MS = 10_000
const READERS = 2
const STOP = 2

interface Tally {
  scans: number
  misses: number
  spans: number
  traces: number
}

it('readers see whole snapshots while writers and readers are terminated at random and heads are retired', async () => {
  const random = new Random(7)
  const arena = HeadArena.create({ bytes: 24 << 20, readers: READERS })
  const control = new Int32Array(new SharedArrayBuffer(64))
  const requests = shopRequests({ traces: 250, batch: 200 }).map(({ bytes }) => bytes)
  const failures: unknown[] = []
  const total: Tally = { scans: 0, misses: 0, spans: 0, traces: 0 }

  const spawn = (role: string, slot: number) => {
    const worker = new Worker(new URL('./head-worker.js', import.meta.url), {
      workerData: { role, slot, control, requests, memory: arena.memory },
    })
    worker.on('error', (error) => failures.push(error))
    const ready = new Promise<void>((resolve) => {
      worker.on('exit', () => resolve())
      worker.on('message', (message: Tally | { ready: true }) => {
        if ('ready' in message) {
          resolve()
          return
        }
        for (const key of Object.keys(total) as (keyof Tally)[]) total[key] += message[key]
      })
    })
    return {
      worker,
      ready,
      ended: new Promise<void>((resolve) => worker.on('exit', () => resolve())),
    }
  }

  let writer = spawn('writer', -1)
  const readers = Array.from({ length: READERS }, (_, slot) => spawn('reader', slot))
  await Promise.all(readers.map(({ ready }) => ready))
  const end = performance.now() + RUN_MS
  let killed = 0
  for (let round = 1; performance.now() < end && failures.length === 0; round++) {
    await writer.ready
    await new Promise((resolve) => setTimeout(resolve, random.below(60)))
    await writer.worker.terminate()
    killed++
    writer = spawn('writer', -1)
    if (round % 16 === 0) {
      const slot = random.below(READERS)
      await readers[slot]!.worker.terminate()
      arena.clearReader(slot)
      readers[slot] = spawn('reader', slot)
    }
  }
  Atomics.store(control, STOP, 1)
  await Promise.all([writer, ...readers].map(({ ended }) => ended))

  expect(failures).toEqual([])
  console.log({ killed, published: control[3], heads: control[1], adopted: control[4], ...total })
  expect(total.scans).toBeGreaterThan(50)
  expect(killed).toBeGreaterThan(10)
  expect(control[4]).toBeGreaterThan(5)
  for (const head of arena.heads()) arena.retire(head.headerChunk)
  arena.sweep(1)
  arena.reclaim()
  expect(arena.used_bytes()).toBe(0)
})
