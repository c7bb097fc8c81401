import { describe, expect, it, vi } from 'vitest'
import type { SomeLimits } from '../../src/config/limits.js'
import { limitsExposition } from '../../src/limits/exposition.js'
import { LimitsPage } from '../../src/limits/page.js'
import { encodeTenants, LimitsView } from '../../src/limits/view.js'
import { noLimits } from './no-limits.js'

const { defaults } = noLimits({ max_bytes_per_trace: 500, max_traces_per_user: 7 })

function published(tenants: Record<string, SomeLimits>) {
  const buffer = LimitsPage.create(4096)
  const page = new LimitsPage(buffer)
  const publish = (next: Record<string, SomeLimits>) =>
    page.publish(encodeTenants(new Map(Object.entries(next))))
  publish(tenants)
  return { page, publish, view: new LimitsView(defaults, new LimitsPage(buffer)) }
}

describe('the limits of a tenant', () => {
  it("are its own where the file has them, the defaults' elsewhere, and `*` is for who is not named", () => {
    const { view } = published({ a: { max_bytes_per_trace: 9 }, '*': { max_traces_per_user: 3 } })
    expect(view.of('a')).toMatchObject({ max_bytes_per_trace: 9, max_traces_per_user: 7 })
    expect(view.of('b')).toMatchObject({ max_bytes_per_trace: 500, max_traces_per_user: 3 })
    expect(view.keyOf('a', 'max_bytes_per_trace')).toBe('overrides.a.global.max_bytes_per_trace')
    expect(view.keyOf('a', 'max_traces_per_user')).toBe(
      'overrides.defaults.ingestion.max_traces_per_user',
    )
    expect(view.keyOf('b', 'max_traces_per_user')).toBe('overrides.*.ingestion.max_traces_per_user')
    expect(view.tenants()).toEqual(['*', 'a'])
  })

  it('change at the next look once others are published, and go when the file has them no more', () => {
    const { view, publish } = published({ a: { max_bytes_per_trace: 9 } })
    expect(view.of('a').max_bytes_per_trace).toBe(9)
    publish({ a: { max_bytes_per_trace: 0 } })
    expect(view.of('a').max_bytes_per_trace).toBe(0)
    publish({})
    expect(view.of('a')).toEqual(defaults)
    expect(view.tenants()).toEqual([])
  })

  it('are the defaults where no page is, and where nothing was published', () => {
    expect(new LimitsView(defaults).of('a')).toEqual(defaults)
    expect(new LimitsView(defaults, new LimitsPage(LimitsPage.create(64))).of('a')).toEqual(
      defaults,
    )
  })

  it('cannot be taken for another object by a tenant of a strange name', () => {
    const { view } = published({ __proto__x: { max_bytes_per_trace: 1 } })
    for (const tenant of ['__proto__', 'constructor', 'toString'])
      expect(view.of(tenant)).toEqual(defaults)
  })
})

describe('a page of limits', () => {
  it('refuses a text that has no room, and keeps the last one', () => {
    const page = new LimitsPage(LimitsPage.create(8))
    expect(page.publish('12345678')).toBe(true)
    expect(page.publish('123456789')).toBe(false)
    expect(page.publish('ö'.repeat(5))).toBe(false)
    expect(page.read()).toEqual({ sequence: 1, text: '12345678' })
  })

  it('gives a reader that the writer came round to the newer text whole', () => {
    const buffer = LimitsPage.create(64)
    const writer = new LimitsPage(buffer)
    const reader = new LimitsPage(buffer)
    writer.publish('first')
    let rounds = 0
    const spy = vi.spyOn(Uint8Array.prototype, 'slice')
    spy.mockImplementation(function (this: Uint8Array, from, to) {
      if (rounds++ === 0) for (const text of ['second', 'third-x']) writer.publish(text)
      return new Uint8Array(this.subarray(from, to))
    })
    const read = reader.read()
    spy.mockRestore()
    expect(read).toEqual({ sequence: 3, text: 'third-x' })
    expect(rounds).toBeGreaterThan(1)
  })

  it('refuses memory that is no page', () => {
    expect(() => new LimitsPage(new SharedArrayBuffer(1024))).toThrow(/page of limits/)
  })
})

describe('the metrics of limits', () => {
  it("have Tempo's names, and the tenants of the file", () => {
    const { view, page } = published({ 'a"b': { rate_limit_bytes: 5 } })
    expect(limitsExposition(view)).not.toContain('runtime_config')
    page.note('good', 1)
    const text = limitsExposition(view)
    expect(text).toContain('tempo_limits_defaults{limit_name="max_bytes_per_trace"} 500\n')
    expect(text).toContain(
      'tempo_limits_overrides{limit_name="ingestion_rate_limit_bytes",user="a\\"b"} 5\n',
    )
    expect(text).toContain('tempo_runtime_config_last_reload_successful{config="overrides"} 1\n')
    page.note('bad', 2)
    expect(limitsExposition(view)).toContain('successful{config="overrides"} 0\n')
    expect(view.loadedAt_ms).toBe(1)
  })
})
