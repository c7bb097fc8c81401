import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { silentLog } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import {
  BackendError,
  ObjectNotFound,
  type BackendReader,
  type ReadWatch,
} from '../../../src/storage/backend/backend.js'
import { FURTHER_MAX, hedged } from '../../../src/storage/backend/hedged.js'
import { LocalBackend } from '../../../src/storage/backend/local.js'
import { describeBackendContract } from '../../support/backend-contract.js'
import { readingThrough } from '../../support/reading-through.js'

const AFTER_MS = 500

/** A request that the test answers by hand. */
interface Asked {
  readonly call: string
  readonly watch: ReadWatch
  readonly answer: (bytes: Uint8Array) => void
  readonly fail: (error: unknown) => void
}

/** Requests end when they are aborted, as those of S3 do. */
class SlowStore implements BackendReader {
  readonly asked: Asked[] = []

  get(path: string, _max?: number, watch: ReadWatch = {}): Promise<Uint8Array> {
    return this.#ask(`get ${path}`, watch)
  }

  getRange(path: string, offset: number, length: number, watch: ReadWatch = {}) {
    return this.#ask(`getRange ${path} ${offset} ${length}`, watch)
  }

  get aborted(): boolean[] {
    return this.asked.map(({ watch }) => watch.signal!.aborted)
  }

  #ask(call: string, watch: ReadWatch): Promise<Uint8Array> {
    return new Promise((answer, fail) => {
      const giveUp = () => fail(new BackendError('given up', false))
      if (watch.signal?.aborted) giveUp()
      else watch.signal?.addEventListener('abort', giveUp)
      this.asked.push({ call, watch, answer, fail })
    })
  }
}

function made(upTo = 2) {
  const clock = new FakeClock()
  const store = new SlowStore()
  const counts = { further: 0 }
  const reader = hedged(store, {
    clock,
    after_ms: AFTER_MS,
    upTo,
    onFurther: () => counts.further++,
  })
  return { clock, store, reader, counts }
}

/** What became of a read by now; `settle` first. */
function outcome(read: Promise<Uint8Array>) {
  const seen: { bytes?: Uint8Array; error?: unknown } = {}
  read.then(
    (bytes) => (seen.bytes = bytes),
    (error: unknown) => (seen.error = error),
  )
  return seen
}

const ONE = Uint8Array.of(1)
const TWO = Uint8Array.of(2)
const slowDown = () => new BackendError('slow down', true)

describe('a hedged read', () => {
  it('is one request when that is answered in time', async () => {
    const { clock, store, reader, counts } = made()
    const seen = outcome(reader.get('t/b/data'))
    await clock.advance(AFTER_MS - 1)
    store.asked[0]!.answer(ONE)
    await clock.advance(10 * AFTER_MS)
    expect(seen.bytes).toBe(ONE)
    expect([store.asked.length, counts.further, clock.sleeping]).toEqual([1, 0, 0])
  })

  it('asks again once the first request is late, and takes what comes first', async () => {
    const { clock, store, reader, counts } = made()
    const seen = outcome(reader.getRange('t/b/data', 3, 4))
    await clock.advance(AFTER_MS)
    expect(store.asked.map(({ call }) => call)).toEqual([
      'getRange t/b/data 3 4',
      'getRange t/b/data 3 4',
    ])
    store.asked[1]!.answer(TWO)
    await clock.settle()
    expect(seen.bytes).toBe(TWO)
    expect(store.aborted).toEqual([true, false])
    expect([counts.further, clock.sleeping]).toEqual([1, 0])
  })

  it('ends the further request when the first answers after all', async () => {
    const { clock, store, reader } = made()
    const seen = outcome(reader.get('t/b/data'))
    await clock.advance(AFTER_MS)
    store.asked[0]!.answer(ONE)
    await clock.settle()
    expect(seen.bytes).toBe(ONE)
    expect(store.aborted).toEqual([false, true])
  })

  it('never has more requests under way than it may', async () => {
    const { clock, store, reader, counts } = made(3)
    const seen = outcome(reader.get('t/b/data'))
    await clock.advance(100 * AFTER_MS)
    expect([store.asked.length, counts.further]).toEqual([3, 2])
    store.asked[2]!.answer(ONE)
    await clock.settle()
    expect(seen.bytes).toBe(ONE)
    expect(store.aborted).toEqual([true, true, false])
  })

  it('sends none for a body that is long in coming, and drops the others at its first byte', async () => {
    const { clock, store, reader } = made(3)
    const seen = outcome(reader.get('t/b/data'))
    await clock.advance(AFTER_MS)
    store.asked[0]!.watch.onAnswer!()
    await clock.advance(10 * AFTER_MS)
    expect(store.asked).toHaveLength(2)
    expect(store.aborted).toEqual([false, true])
    store.asked[0]!.answer(ONE)
    await clock.settle()
    expect(seen.bytes).toBe(ONE)
  })

  it('fails as the request did that had begun to answer', async () => {
    const { clock, store, reader } = made()
    const seen = outcome(reader.get('t/b/data'))
    await clock.advance(AFTER_MS)
    store.asked[1]!.watch.onAnswer!()
    const error = slowDown()
    store.asked[1]!.fail(error)
    await clock.settle()
    expect(seen.error).toBe(error)
  })

  it('waits for the other when one fails', async () => {
    for (const failing of [0, 1]) {
      const { clock, store, reader } = made()
      const seen = outcome(reader.get('t/b/data'))
      await clock.advance(AFTER_MS)
      store.asked[failing]!.fail(slowDown())
      await clock.settle()
      expect(seen).toEqual({})
      store.asked[1 - failing]!.answer(TWO)
      await clock.settle()
      expect(seen.bytes).toBe(TWO)
    }
  })

  it('fails when all have failed, and at once when none other is under way', async () => {
    const { clock, store, reader } = made()
    const both = outcome(reader.get('t/b/data'))
    await clock.advance(AFTER_MS)
    const [first, second] = [slowDown(), slowDown()]
    store.asked[0]!.fail(first)
    store.asked[1]!.fail(second)
    await clock.settle()
    expect(both.error).toBe(second)
    const alone = outcome(reader.get('t/b/data'))
    store.asked[2]!.fail(first)
    await clock.advance(10 * AFTER_MS)
    expect(alone.error).toBe(first)
    expect([store.asked.length, clock.sleeping]).toEqual([3, 0])
  })

  it('tells of the answer once, and of a failure not as if it were one', async () => {
    const { clock, store, reader } = made()
    let answers = 0
    const onAnswer = () => answers++
    const failed = outcome(reader.get('t/b/data', undefined, { onAnswer }))
    store.asked[0]!.fail(slowDown())
    await clock.settle()
    expect([failed.error instanceof BackendError, answers]).toEqual([true, 0])
    void reader.get('t/b/data', undefined, { onAnswer })
    store.asked[1]!.watch.onAnswer!()
    store.asked[1]!.answer(ONE)
    await clock.settle()
    expect(answers).toBe(1)
  })

  it('believes a refusal that no second try would change', async () => {
    const { clock, store, reader } = made()
    const seen = outcome(reader.get('t/b/data'))
    await clock.advance(AFTER_MS)
    store.asked[1]!.fail(new ObjectNotFound('t/b/data'))
    await clock.settle()
    expect(seen.error).toBeInstanceOf(ObjectNotFound)
    expect(store.aborted).toEqual([true, false])
    expect(clock.sleeping).toBe(0)
  })

  it('ends all of its requests when who asked gives up', async () => {
    const { clock, store, reader } = made()
    const asker = new AbortController()
    const seen = outcome(reader.get('t/b/data', undefined, { signal: asker.signal }))
    await clock.advance(AFTER_MS)
    asker.abort()
    await clock.settle()
    expect(seen.error).toMatchObject({ message: 'given up' })
    expect(store.aborted).toEqual([true, true])
    expect(clock.sleeping).toBe(0)
    const late = outcome(reader.get('t/b/data', undefined, { signal: asker.signal }))
    await clock.advance(10 * AFTER_MS)
    expect(late.error).toMatchObject({ message: 'given up' })
    expect(store.asked).toHaveLength(3)
  })
})

describe('all hedged reads together', () => {
  it('ask no more often again than is bearable, and go on when there is room', async () => {
    const { clock, store, reader, counts } = made()
    const reads = Array.from({ length: FURTHER_MAX + 1 }, (_, i) => outcome(reader.get(`t/b/${i}`)))
    await clock.advance(10 * AFTER_MS)
    expect([store.asked.length, counts.further]).toEqual([2 * FURTHER_MAX + 1, FURTHER_MAX])
    store.asked[0]!.answer(ONE)
    await clock.advance(AFTER_MS)
    expect(counts.further).toBe(FURTHER_MAX + 1)
    for (const { answer } of store.asked) answer(ONE)
    await clock.settle()
    expect(reads.every(({ bytes }) => bytes === ONE)).toBe(true)
    expect(clock.sleeping).toBe(0)
  })
})

it('nothing stands between where nothing is to be asked twice', () => {
  const store = new SlowStore()
  const clock = new FakeClock()
  expect(hedged(store, { clock, after_ms: 0, upTo: 2 })).toBe(store)
  expect(hedged(store, { clock, after_ms: 10, upTo: 1 })).toBe(store)
})

describe('over a folder', () => {
  const folders: string[] = []
  afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

  describeBackendContract('a hedged reader', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hedged-'))
    folders.push(folder)
    const backend = new LocalBackend(folder, { clock: systemClock, log: silentLog })
    return readingThrough(backend, hedged(backend, { clock: systemClock, after_ms: 1, upTo: 3 }))
  })
})
