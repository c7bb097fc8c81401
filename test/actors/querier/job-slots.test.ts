import { describe, expect, it } from 'vitest'
import { JobSlots } from '../../../src/actors/querier/job-slots.js'

const NEVER = new AbortController().signal

function job() {
  let end: () => void = () => undefined
  const ended = new Promise<void>((resolve) => (end = resolve))
  let isRunning = false
  const work = async () => {
    isRunning = true
    await ended
    isRunning = false
    return 'done'
  }
  return { work, end: () => end(), isRunning: () => isRunning }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('the slots of a querier', () => {
  it('run so many jobs at once, the others in the order in which they came', async () => {
    const slots = new JobSlots({ max: 2, isMemoryHigh: () => false })
    const jobs = Array.from({ length: 4 }, job)
    const done = jobs.map(({ work }) => slots.run(NEVER, work))
    await settle()
    expect(jobs.map((one) => one.isRunning())).toEqual([true, true, false, false])
    jobs[1]!.end()
    await settle()
    expect(jobs.map((one) => one.isRunning())).toEqual([true, false, true, false])
    for (const one of jobs) one.end()
    expect(await Promise.all(done)).toEqual(['done', 'done', 'done', 'done'])
    expect([slots.taken, slots.waiting]).toEqual([0, 0])
  })

  it('give a slot back when its job fails', async () => {
    const slots = new JobSlots({ max: 1, isMemoryHigh: () => false })
    await expect(slots.run(NEVER, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await slots.run(NEVER, () => Promise.resolve(1))).toBe(1)
  })

  it('forget a job that nobody waits for any more, and lose no slot by it', async () => {
    const slots = new JobSlots({ max: 1, isMemoryHigh: () => false })
    const first = job()
    const running = slots.run(NEVER, first.work)
    const stop = new AbortController()
    const waiting = slots.run(stop.signal, () => Promise.resolve('found out'))
    const last = slots.run(NEVER, () => Promise.resolve('last'))
    await settle()
    stop.abort()
    expect(await waiting).toBe('found out')
    first.end()
    await running
    expect(await last).toBe('last')
    expect([slots.taken, slots.waiting]).toEqual([0, 0])
  })

  it('are one while memory is near its limit, and all again after', async () => {
    let isHigh = true
    const slots = new JobSlots({ max: 3, isMemoryHigh: () => isHigh })
    const jobs = Array.from({ length: 4 }, job)
    const done = jobs.map(({ work }) => slots.run(NEVER, work))
    await settle()
    expect(jobs.map((one) => one.isRunning())).toEqual([true, false, false, false])
    isHigh = false
    jobs[0]!.end()
    await settle()
    expect(jobs.map((one) => one.isRunning())).toEqual([false, true, true, true])
    for (const one of jobs) one.end()
    await Promise.all(done)
  })
})
