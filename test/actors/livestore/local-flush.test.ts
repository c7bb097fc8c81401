import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { CompleteBlock } from '../../../src/actors/livestore/complete-block-lifecycle.js'
import { LocalFlush, type LocalFlushOptions } from '../../../src/actors/livestore/local-flush.js'
import { LivestoreMetrics } from '../../../src/actors/livestore/metrics.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { createLog } from '../../../src/lib/log.js'
import { Metrics, MetricsPage } from '../../../src/lib/metrics.js'
import { MemoryBackend } from '../../support/memory-backend.js'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function block(n: number, more: Partial<CompleteBlock> = {}): CompleteBlock {
  return {
    blockId: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    tenant: 'acme',
    partition: 0,
    spans: 10,
    size_bytes: 100,
    completedAt_ms: 1000 + n,
    isFlushed: false,
    ...more,
  }
}

function made(more: Partial<LocalFlushOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-flush-'))
  folders.push(folder)
  const names = ['meta.json', 'data.bin', 'index.bin']
  for (const name of names) writeFileSync(join(folder, name), name)
  const backend = new MemoryBackend()
  const clock = new FakeClock()
  const flushed: string[] = []
  const failures: string[] = []
  const flush = new LocalFlush({
    backend,
    clock,
    log: createLog({ level: 'warn', write: (line) => failures.push(line) }),
    metrics: new LivestoreMetrics(new Metrics(MetricsPage.create())).flush,
    concurrency: 1,
    opTimeout_ms: 300_000,
    completeBlockTimeout_ms: 60_000,
    filesOf: () => Promise.resolve(names.map((name) => ({ name, path: join(folder, name) }))),
    onFlushed: (done) => Promise.resolve(void flushed.push(done.blockId)),
    random: () => 0.5,
    ...more,
  })
  return { flush, backend, clock, flushed, failures }
}

/** Waits for real file reads, which the fake clock does not see. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2000 && !condition(); turn++)
    await new Promise((resolve) => setTimeout(resolve, 1))
  expect(condition()).toBe(true)
}

const named = ({ calls }: MemoryBackend) =>
  calls.map((call) => call.replace(/acme\/0+-0+-4000-8000-0+(\d+)/, '$1'))

describe('flushing a block', () => {
  it('writes data first, then the flag, and meta.json last: before that the block does not exist', async () => {
    const { flush, backend } = made()
    flush.start()
    flush.completed(block(1))
    await flush.drained()
    expect(named(backend)).toEqual([
      'putFile 1/data.bin',
      'putFile 1/index.bin',
      'put 1/nocompact.flg',
      'putFile 1/meta.json',
    ])
    await flush.stop()
  })

  it('tells nobody of a block whose meta.json was not written', async () => {
    const { flush, backend, flushed } = made()
    backend.fault = (_, path) => {
      if (path.endsWith('meta.json')) throw new Error('403')
    }
    flush.start()
    flush.completed(block(1))
    await until(() => backend.calls.length === 4)
    expect(flushed).toEqual([])
    expect(flush.length).toBe(1)
    await flush.stop()
  })

  it('is not done before onFlushed is: a note that could not be made is a flush that failed', async () => {
    let notes = 0
    const { flush, clock, failures } = made({
      onFlushed: () => (++notes === 1 ? Promise.reject(new Error('disk')) : Promise.resolve()),
    })
    flush.start()
    flush.completed(block(1))
    await until(() => failures.length === 1)
    expect(flush.length).toBe(1)
    await clock.advance(500)
    await flush.drained()
    expect(notes).toBe(2)
    await flush.stop()
  })

  it('never gives up, backs off to half a minute, and goes on at once when the backend is back', async () => {
    const { flush, backend, clock, flushed, failures } = made()
    let isDown = true
    const tries: number[] = []
    backend.fault = () => {
      tries.push(clock.monotonic())
      if (isDown) throw new Error('connection refused')
    }
    flush.start()
    flush.completed(block(1))
    for (let step = 0; step < 200; step++) {
      await until(() => failures.length === tries.length)
      await clock.advance(5000)
    }
    const gaps = tries.slice(1).map((at, i) => at - tries[i]!)
    expect(gaps.length).toBeGreaterThan(30)
    expect(gaps[1]!).toBeGreaterThan(gaps[0]!)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(30_000)
    isDown = false
    await clock.advance(30_000)
    await flush.drained()
    expect(flushed).toHaveLength(1)
    await flush.stop()
  })

  it('one block that fails does not hold up the others, and it keeps its place', async () => {
    const { flush, backend, clock, flushed } = made()
    let isDown = true
    backend.fault = (_, path) => {
      if (isDown && path.includes('000000000001/')) throw new Error('500')
    }
    flush.start()
    for (const n of [1, 2, 3]) flush.completed(block(n))
    await until(() => flushed.length === 2)
    expect(flushed).toEqual([block(2).blockId, block(3).blockId])
    isDown = false
    await clock.advance(1000)
    await flush.drained()
    expect(flushed).toHaveLength(3)
    await flush.stop()
  })

  it('flushes the oldest first and no more at once than it is told', async () => {
    const { flush, backend, flushed } = made({ concurrency: 2 })
    let running = 0
    let most = 0
    backend.fault = async (operation) => {
      if (operation !== 'putFile') return
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
    }
    for (const n of [5, 3, 1, 4, 2]) flush.completed(block(n))
    expect(flush.length).toBe(5)
    flush.start()
    await flush.drained()
    expect(most).toBe(2)
    expect(flushed.slice(0, 2).sort()).toEqual([block(1).blockId, block(2).blockId])
    expect(flushed).toHaveLength(5)
    await flush.stop()
  })

  it('a try that takes too long is given up and made again', async () => {
    const { flush, backend, clock, flushed, failures } = made({ opTimeout_ms: 1000 })
    let isSlow = true
    backend.fault = () => (isSlow ? clock.sleep(2000) : undefined)
    flush.start()
    flush.completed(block(1))
    await until(() => backend.calls.length === 1)
    await clock.advance(1000)
    await until(() => failures.length === 1)
    expect(failures[0]).toContain('flush_op_timeout of 1000 ms')
    expect(flushed).toEqual([])
    isSlow = false
    await clock.advance(1000)
    await flush.drained()
    expect(flushed).toHaveLength(1)
    await flush.stop()
  })

  it('a try that hangs for ever does not keep its place: others are flushed meanwhile', async () => {
    const { flush, backend, clock, flushed } = made({ opTimeout_ms: 1000 })
    let hangs = 1
    backend.fault = () => (hangs-- > 0 ? new Promise<void>(() => undefined) : undefined)
    flush.start()
    flush.completed(block(1))
    flush.completed(block(2))
    await until(() => backend.calls.length === 1)
    await clock.advance(1000)
    await until(() => flushed.length === 1)
    await clock.advance(1000)
    await flush.drained()
    expect(flushed).toHaveLength(2)
    await flush.stop()
  })
})

describe('the queue', () => {
  it('takes up at boot exactly what was not flushed', async () => {
    const { flush, flushed } = made()
    flush.reloaded(block(1, { isFlushed: true }))
    flush.reloaded(block(2))
    expect(flush.length).toBe(1)
    flush.start()
    await flush.drained()
    expect(flushed).toEqual([block(2).blockId])
    await flush.stop()
  })

  it('flushes nothing before it is started and nothing new after it was told to stop', async () => {
    const { flush, backend, clock } = made()
    flush.completed(block(1))
    await clock.settle()
    expect(backend.calls).toEqual([])
    const stopped = flush.stop()
    flush.start()
    await stopped
    await clock.advance(60_000)
    expect(backend.calls).toEqual([])
    expect(clock.sleeping).toBe(0)
  })

  it('stops after the upload in flight, not in the middle of it', async () => {
    const { flush, backend, flushed } = made()
    let go: () => void = () => undefined
    backend.fault = (operation) =>
      operation === 'put' ? new Promise<void>((resolve) => (go = resolve)) : undefined
    flush.start()
    flush.completed(block(1))
    flush.completed(block(2))
    await until(() => backend.calls.length === 3)
    const stopped = flush.stop()
    go()
    await stopped
    expect(flushed).toEqual([block(1).blockId])
    expect(backend.objects.has(`acme/${block(1).blockId}/meta.json`)).toBe(true)
  })

  it('allows no deletion before the flush, however old, nor before the time, however flushed', async () => {
    const { flush, clock } = made()
    const completedAt_ms = clock.now()
    const is = (isFlushed: boolean) => flush.mayDelete(block(1, { isFlushed, completedAt_ms }))
    expect(is(true)).toBe(false)
    await clock.advance(59_999)
    expect(is(true)).toBe(false)
    await clock.advance(1)
    expect(is(true)).toBe(true)
    await clock.advance(1e9)
    expect(is(false)).toBe(false)
  })

  it('lets compaction have the block once the local copy is gone', async () => {
    const { flush, backend } = made()
    flush.start()
    flush.completed(block(1))
    await flush.drained()
    const flag = `acme/${block(1).blockId}/nocompact.flg`
    expect(backend.objects.has(flag)).toBe(true)
    await flush.deleted(block(1))
    await flush.deleted(block(1))
    expect(backend.objects.has(flag)).toBe(false)
    await flush.stop()
  })
})
