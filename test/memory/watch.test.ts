import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../src/lib/fake-clock.js'
import { silentLog, type Log } from '../../src/lib/log.js'
import { Metrics, MetricsPage, renderMetrics } from '../../src/lib/metrics.js'
import { planMemory, type MemoryPlan } from '../../src/memory/plan.js'
import { Pressure } from '../../src/memory/pressure.js'
import { residentMemory } from '../../src/memory/resident.js'
import { MemoryWatch } from '../../src/memory/watch.js'

const MIB = 2 ** 20

function setUp() {
  const plan = planMemory({
    limit_bytes: 512 * MIB,
    available: { bytes: 2 ** 34, of: 'machine' },
    partitions: 2,
    builders: 1,
    maxMessage_bytes: 16 * MIB,
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
  })
  const at = (mib: number) => {
    rss_mib = mib
    watch.look()
    return pressure.isHigh
  }
  const text = () => renderMetrics([{ actor: 'process', sab: page }])
  return { at, lines, text, watch, clock, pressure, set: (mib: number) => (rss_mib = mib) }
}

describe('the watch', () => {
  it('refuses above the high-water mark until the memory is below the low one', () => {
    const { at } = setUp()
    expect(at(455)).toBe(false)
    expect(at(470)).toBe(true)
    expect(at(455)).toBe(true)
    expect(at(430)).toBe(false)
    expect(at(455)).toBe(false)
  })

  it('says so once each time, not each second', () => {
    const { at, lines } = setUp()
    for (const mib of [470, 480, 470, 430, 430, 470, 480, 400]) at(mib)
    expect(lines).toHaveLength(4)
    expect(lines[0]).toContain('requests are refused')
    expect(lines[1]).toContain('taken again')
  })

  it('counts, and shows the parts of the budget and of the memory', async () => {
    const { at, text, clock } = setUp()
    at(470)
    await clock.advance(3000)
    at(400)
    const metrics = await text()
    expect(metrics).toContain('tempo_actors_memory_limit_bytes 536870912')
    expect(metrics).toContain('tempo_actors_memory_budget_bytes{part="heads"} 67108864')
    expect(metrics).toContain(`tempo_actors_memory_resident_bytes{kind="file"} ${47 * MIB}`)
    expect(metrics).toContain(`tempo_actors_memory_resident_peak_bytes ${470 * MIB}`)
    expect(metrics).toContain('tempo_actors_memory_high_total 1')
    expect(metrics).toContain('tempo_actors_memory_refusing_seconds_total 3')
    expect(metrics).toContain('tempo_actors_memory_refusing 0')
    const parts = [...metrics.matchAll(/budget_bytes\{part="\w+"\} (\d+)/g)]
    expect(parts.reduce((sum, [, bytes]) => sum + Number(bytes), 0)).toBe(512 * MIB)
  })

  it('looks each second by itself, and ends when told to', async () => {
    const { watch, clock, pressure, set } = setUp()
    const running = watch.run()
    set(470)
    await clock.advance(1000)
    expect(pressure.isHigh).toBe(true)
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
