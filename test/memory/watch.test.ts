import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../src/lib/fake-clock.js'
import { silentLog, type Log } from '../../src/lib/log.js'
import { Metrics, MetricsPage, renderMetrics } from '../../src/lib/metrics.js'
import { Pressure } from '../../src/lib/pressure.js'
import { planMemory, type MemoryPlan } from '../../src/memory/plan.js'
import { residentMemory } from '../../src/memory/resident.js'
import { MemoryWatch } from '../../src/memory/watch.js'

const MIB = 2 ** 20

function setUp(trim?: (mib: number) => number) {
  const plan = planMemory({
    limit_bytes: 512 * MIB,
    available: { bytes: 2 ** 34, of: 'machine' },
    partitions: 2,
    builders: 1,
    maxMessage_bytes: 16 * MIB,
    allocator: 'keeps',
    ring_bytes: 0,
    ingress_bytes: 0,
    head_bytes: 0,
  }) as MemoryPlan
  const page = MetricsPage.create()
  const pressure = new Pressure(Pressure.create())
  const clock = new FakeClock()
  const lines: string[] = []
  const note = (text: string) => void lines.push(text)
  const log: Log = { ...silentLog, warn: note, info: note }
  let rss_mib = 200
  const watch = new MemoryWatch({
    plan,
    pressure,
    metrics: new Metrics(page),
    clock,
    log,
    read: () => ({
      total_bytes: rss_mib * MIB,
      anonymous_bytes: (rss_mib - 47) * MIB,
      shared_bytes: 0,
      file_bytes: 47 * MIB,
    }),
    trim: trim && (() => void (rss_mib = trim(rss_mib))),
  })
  const at = (mib: number) => {
    rss_mib = mib
    watch.look()
    return pressure.level
  }
  const text = () => renderMetrics([{ actor: 'process', sab: page }])
  return { at, lines, text, watch, clock, pressure, set: (mib: number) => (rss_mib = mib) }
}

/** Of 512 MiB, 80 % are 409.6. */
it('has garbage collected each five seconds while most of the memory is used, and says that it is', async () => {
  const { at, watch, clock, pressure, set } = setUp()
  expect([at(405), pressure.isHigh, pressure.collections]).toEqual(['none', false, 0])
  expect([at(415), pressure.isHigh, pressure.collections]).toEqual(['none', true, 1])
  const running = watch.run()
  await clock.advance(4_000)
  expect(pressure.collections).toBe(1)
  await clock.advance(2_000)
  expect(pressure.collections).toBe(2)
  set(300)
  await clock.advance(10_000)
  expect([pressure.isHigh, pressure.collections]).toEqual([false, 2])
  watch.stop()
  await running
})

describe('what was freed', () => {
  it('is given back as memory grows, not each second and not where it rests', async () => {
    const trims: number[] = []
    const { at, clock, text } = setUp((mib) => {
      trims.push(mib)
      return mib - 50
    })
    at(200)
    at(300)
    expect(trims).toEqual([200])
    await clock.advance(15_000)
    at(165)
    expect(trims).toEqual([200])
    at(260)
    expect(trims).toEqual([200, 260])
    expect(await text()).toContain(`tempo_actors_memory_resident_peak_bytes ${300 * MIB}`)
    expect(await text()).toContain(`tempo_actors_memory_given_back_bytes_total ${100 * MIB}`)
  })

  it('is given back once garbage is collected, and the doors that were closed for it open wide', async () => {
    let freed_mib = 0
    const { at, clock } = setUp((mib) => mib - freed_mib)
    at(200)
    freed_mib = 100
    expect(at(480)).toBe('closed')
    await clock.advance(500)
    expect(at(480)).toBe('closed')
    await clock.advance(1500)
    expect(at(480)).toBe('none')
  })
})

/** Of 512 MiB, the doors close above 450.6 and open wide below 430.1. */
describe('the watch', () => {
  it('closes the doors above the mark, and opens them when memory is well below', () => {
    const { at } = setUp()
    expect([445, 460, 445, 420, 445].map(at)).toEqual(['none', 'closed', 'closed', 'none', 'none'])
  })

  it('opens them a little after a moment, also when the allocators give nothing back', async () => {
    const { at, clock } = setUp()
    at(480)
    await clock.advance(1500)
    expect(at(480)).toBe('closed')
    await clock.advance(500)
    expect(at(480)).toBe('tight')
    await clock.advance(60_000)
    expect(at(486)).toBe('tight')
    expect(at(429)).toBe('none')
  })

  it('closes them again when memory grows although little is taken', async () => {
    const { at, clock, pressure } = setUp()
    at(480)
    await clock.advance(2000)
    expect(at(480)).toBe('tight')
    expect(at(490)).toBe('closed')
    expect(pressure.collections).toBe(2)
  })

  it('does not close them for growth below the mark', async () => {
    const { at, clock } = setUp()
    at(470)
    await clock.advance(2000)
    expect([432, 449].map(at)).toEqual(['tight', 'tight'])
  })

  it('asks every thread to collect its garbage, once each time it closes the doors', () => {
    const { at, pressure } = setUp()
    for (const mib of [460, 470, 460, 420, 460]) at(mib)
    expect(pressure.collections).toBe(2)
  })

  it('says so once each time, not each second', () => {
    const { at, lines } = setUp()
    for (const mib of [460, 470, 460, 420, 420, 460, 470, 400]) at(mib)
    expect(lines).toHaveLength(4)
    expect(lines[0]).toContain('memory is near its limit')
    expect(lines[1]).toContain('well below its limit again')
  })

  it('counts, and shows the parts of the budget and of the memory', async () => {
    const { at, text, clock } = setUp()
    at(470)
    await clock.advance(3000)
    at(400)
    const metrics = await text()
    expect(metrics).toContain('tempo_actors_memory_limit_bytes 536870912')
    expect(metrics).toContain('tempo_actors_memory_budget_bytes{part="heads"} 41943040')
    expect(metrics).toContain(`tempo_actors_memory_resident_bytes{kind="file"} ${47 * MIB}`)
    expect(metrics).toContain(`tempo_actors_memory_resident_peak_bytes ${470 * MIB}`)
    expect(metrics).toContain('tempo_actors_memory_near_limit_total 1')
    expect(metrics).toContain('tempo_actors_memory_closed_seconds_total 3')
    expect(metrics).toContain('tempo_actors_memory_pressure 0')
    const parts = [...metrics.matchAll(/budget_bytes\{part="\w+"\} (\d+)/g)]
    expect(parts.reduce((sum, [, bytes]) => sum + Number(bytes), 0)).toBe(512 * MIB)
  })

  it('looks each second by itself, and ends when told to', async () => {
    const { watch, clock, pressure, set } = setUp()
    const running = watch.run()
    set(470)
    await clock.advance(1000)
    expect(pressure.level).toBe('closed')
    watch.stop()
    await clock.advance(1000)
    await running
  })
})

it('reads the parts of this process, which make up the whole', () => {
  const { total_bytes, anonymous_bytes, shared_bytes, file_bytes } = residentMemory()
  expect(total_bytes).toBeGreaterThan(20 * MIB)
  if (process.platform === 'linux') {
    expect(anonymous_bytes + shared_bytes + file_bytes).toBe(total_bytes)
  }
})
