import { expect, it } from 'vitest'
import { Collector } from '../../src/lib/collector.js'
import { Pressure } from '../../src/lib/pressure.js'

it('collects once for each time it was asked, and what was asked before its thread began is not its', () => {
  const memory = Pressure.create()
  const pressure = new Pressure(memory)
  pressure.askToCollect()
  const collector = new Collector(memory)
  expect(collector.look()).toBe(false)
  pressure.askToCollect()
  expect([collector.look(), collector.look()]).toEqual([true, false])
})

it('does not collect again what has not grown meanwhile', () => {
  const memory = Pressure.create()
  const pressure = new Pressure(memory)
  const collector = new Collector(memory)
  pressure.askToCollect()
  expect(collector.look()).toBe(true)
  pressure.askToCollect()
  expect(collector.look()).toBe(false)
  const grown = new ArrayBuffer(4 * 2 ** 20)
  pressure.askToCollect()
  expect(collector.look()).toBe(true)
  expect(grown.byteLength).toBe(4 * 2 ** 20)
})

it('collects unasked when it has grown while most of the memory is used, and not all the time', () => {
  const memory = Pressure.create()
  const pressure = new Pressure(memory)
  const collector = new Collector(memory)
  expect(collector.spare()).toBe(false)
  pressure.isHigh = true
  expect(collector.spare()).toBe(true)
  const grown = new ArrayBuffer(8 * 2 ** 20)
  expect(collector.spare()).toBe(false) // it would take more than a tenth of the thread's time
  expect(grown.byteLength).toBe(8 * 2 ** 20)
})

it('frees buffers that nothing holds, which a resting thread would keep', async () => {
  const memory = Pressure.create()
  const collector = new Collector(memory)
  const before = process.memoryUsage().arrayBuffers
  const held = new Map([['x', Array.from({ length: 8 }, () => new ArrayBuffer(1 << 20))]])
  expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(7 << 20)
  held.clear()
  new Pressure(memory).askToCollect()
  collector.look()
  // The engine sweeps buffers beside the thread, after the collection itself has returned.
  await expect
    .poll(() => process.memoryUsage().arrayBuffers - before, { timeout: 5000 })
    .toBeLessThan(2 << 20)
})

it('does nothing where there is no memory to look at', () => {
  expect(new Collector(undefined).look()).toBe(false)
})
