import { describe, expect, it } from 'vitest'
import {
  JOBS_IN_FLIGHT_MAX,
  runJobs,
  shard,
  SOURCES_PER_JOB_MAX,
  TARGET_BYTES_PER_JOB,
} from '../../../src/actors/frontend/jobs.js'
import type { ListedSource } from '../../../src/actors/frontend/read-set.js'
import type { Job, JobReply } from '../../../src/actors/querier/contract.js'
import { blockId } from './metas.js'

function source(n: number, size_bytes = 10): ListedSource {
  return { blockId: blockId(n), tenant: 'a', minStart_ns: 0n, maxEnd_ns: 1n, size_bytes }
}
const sources = (count: number, size_bytes?: number) =>
  Array.from({ length: count }, (_, n) => source(n, size_bytes))

const failure = (code: string) => Object.assign(new Error(code), { code })

function reply(result: string, more: Partial<JobReply<string>> = {}): JobReply<string> {
  const stats = { inspected_bytes: 10, inspectedSpans: 2, inspectedTraces: 1 }
  return { result, stats, failed: [], ...more }
}

describe('sharding', () => {
  it('keeps every source once and in order, whatever the sizes', () => {
    for (const [count, wanted] of [[0, 4], [1, 4], [7, 4], [100, 4], [1000, 1]] as const) {
      const jobs = shard(sources(count), wanted)
      expect(jobs.flat()).toEqual(sources(count))
      expect(Math.max(0, ...jobs.map((job) => job.length))).toBeLessThanOrEqual(SOURCES_PER_JOB_MAX)
    } // prettier-ignore
  })

  it('spreads few blocks over the queriers, and does not put two large ones into one job', () => {
    expect(shard(sources(4), 4).map((job) => job.length)).toEqual([1, 1, 1, 1])
    const large = shard(sources(40, TARGET_BYTES_PER_JOB / 2), 4)
    expect(large.map((job) => job.length)).toEqual(Array.from({ length: 20 }, () => 2))
    expect(shard([source(1, TARGET_BYTES_PER_JOB * 3)], 4)).toHaveLength(1)
  })
})

describe('running jobs', () => {
  const run = (
    count: number,
    call: (job: Job<string>) => Promise<JobReply<string>>,
    take: (result: string, rest: readonly ListedSource[]) => boolean = () => false,
    retriesMax = 2,
  ) => runJobs({ query: 'q', jobs: shard(sources(count), count), call, take, retriesMax })

  it('keeps no more in flight than it may, and adds up what they inspected', async () => {
    let running = 0
    let most = 0
    const { stats } = await run(50, async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return reply('x')
    })
    expect(most).toBe(JOBS_IN_FLIGHT_MAX)
    expect(stats).toEqual({ inspected_bytes: 500, inspectedSpans: 100, inspectedTraces: 50 })
  })

  it('retries a job whose querier died or was overloaded, and takes its result once', async () => {
    const taken: string[] = []
    let calls = 0
    const call = () => {
      calls++
      if (calls === 1) return Promise.reject(failure('ACTOR_DOWN'))
      return calls === 2 ? Promise.reject(failure('OVERLOADED')) : Promise.resolve(reply('x'))
    }
    await run(1, call, (result) => taken.push(result) < 0)
    expect(taken).toEqual(['x'])
  })

  it('does not try again what the asker got wrong, nor for ever what stays down', async () => {
    let calls = 0
    const failing = (code: string) => () => {
      calls++
      return Promise.reject(failure(code))
    }
    await expect(run(1, failing('TRACEQL_PARSE'))).rejects.toThrow('TRACEQL_PARSE')
    expect(calls).toBe(1)
    await expect(run(1, failing('ACTOR_DOWN'))).rejects.toThrow('ACTOR_DOWN')
    expect(calls).toBe(4)
  })

  it('a source that cannot be read now is an error with its name, never a silent gap', async () => {
    const failed = [
      { blockId: blockId(6), message: 'checksum', isDamaged: true },
      { blockId: blockId(7), message: 'timeout', isDamaged: false },
    ]
    const call = () => Promise.resolve(reply('x', { failed }))
    await expect(run(1, call)).rejects.toMatchObject({
      code: 'SOURCE_FAILED',
      message: `could not read block ${blockId(7)} after 3 tries: timeout`,
    })
  })

  it('a damaged source among three is left out and named, the others are taken, and none is tried again', async () => {
    const failed = [{ blockId: blockId(1), message: 'checksum', isDamaged: true }]
    const asked: string[] = []
    const taken: string[] = []
    const call = ({ sources: [one] }: Job<string>) => {
      asked.push(one!.blockId)
      const isDamaged = one!.blockId === blockId(1)
      return Promise.resolve(reply(one!.blockId, isDamaged ? { failed } : {}))
    }
    const { leftOut } = await run(3, call, (result) => taken.push(result) < 0)
    expect(leftOut).toEqual(failed)
    expect(asked).toEqual([0, 1, 2].map(blockId))
    expect(taken).toEqual(asked)
  })

  it('a damaged source is named once, though the job was tried again for another', async () => {
    const damaged = { blockId: blockId(1), message: 'checksum', isDamaged: true }
    const slow = { blockId: blockId(2), message: 'timeout', isDamaged: false }
    let calls = 0
    const call = () =>
      Promise.resolve(reply('x', { failed: ++calls === 1 ? [damaged, slow] : [damaged] }))
    expect((await run(1, call)).leftOut).toEqual([damaged])
    expect(calls).toBe(2)
  })

  it('begins nothing more once it has enough; what is in flight is still taken', async () => {
    let calls = 0
    const taken: string[] = []
    await run(
      100,
      async () => {
        calls++
        await new Promise((resolve) => setImmediate(resolve))
        return reply('x')
      },
      (result) => taken.push(result) >= 1,
    )
    expect(calls).toBe(JOBS_IN_FLIGHT_MAX)
    expect(taken).toHaveLength(JOBS_IN_FLIGHT_MAX)
  })

  it('says what was not asked yet, so that a newer source is not passed over', async () => {
    const rests: number[] = []
    await run(
      3,
      () => Promise.resolve(reply('x')),
      (_, rest) => rests.push(rest.length) < 0,
    )
    expect(rests).toEqual([0, 0, 0])
    rests.length = 0
    await run(
      20,
      () => Promise.resolve(reply('x')),
      (_, rest) => rests.push(rest.length) < 0,
    )
    expect(rests[0]).toBe(20 - JOBS_IN_FLIGHT_MAX)
    expect(rests.at(-1)).toBe(0)
  })

  it('begins nothing more once one job has failed for good', async () => {
    let calls = 0
    const call = async () => {
      if (++calls === 1) throw failure('DEADLINE_EXCEEDED')
      await new Promise((resolve) => setImmediate(resolve))
      return reply('x')
    }
    await expect(run(100, call)).rejects.toThrow('DEADLINE_EXCEEDED')
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(calls).toBe(JOBS_IN_FLIGHT_MAX)
  })
})
