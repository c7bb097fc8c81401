import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { TenantLimits } from '../../src/config/limits.js'
import { LimitsPage } from '../../src/limits/page.js'
import { encodeTenants, LimitsView } from '../../src/limits/view.js'
import { noLimits } from '../limits/no-limits.js'
import { appWith } from './fake-frontend.js'

function withTenants() {
  const page = new LimitsPage(LimitsPage.create())
  const own = { max_bytes_per_trace: 9, rate_limit_bytes: 1e12 }
  page.publish(
    encodeTenants(
      new Map<string, Partial<TenantLimits>>([
        ['acme', own],
        ['*', { max_traces_per_user: 3 }],
        ['<b>', {}],
      ]),
    ),
  )
  return appWith({}, { limits: new LimitsView(noLimits().defaults, page) })
}
const JSON_ONLY = { accept: 'application/json' }

describe('the pages about limits', () => {
  it('list the tenants with their own', async () => {
    const { get } = withTenants()
    const { status, text } = await get('/status/overrides', JSON_ONLY)
    expect(status).toBe(200)
    expect(JSON.parse(text)).toMatchObject({
      tenants: [{ name: '*' }, { name: '<b>' }, { name: 'acme', has_runtime_overrides: true }],
    })
    const page = await get('/status/overrides')
    expect(page.headers.get('content-type')).toMatch(/text\/html/)
    expect(page.text).toContain('<a href="overrides/acme">acme</a>')
    expect(page.text).toContain('&lt;b&gt;')
    expect(page.text).not.toContain('<b>')
  })

  it.each([
    ['acme', 'acme', 9, 0],
    ['other', '*', 0, 3],
  ])('say what holds for %s, and from where', async (tenant, source, bytes, traces) => {
    const { text } = await withTenants().get(`/status/overrides/${tenant}`, JSON_ONLY)
    const page = JSON.parse(text) as Record<string, string>
    expect(page.using_default_or_wildcard_runtime_overrides).toBe(source)
    expect(parse(page.runtime_overrides!)).toMatchObject({
      global: { max_bytes_per_trace: bytes },
      ingestion: { max_traces_per_user: traces, retry_info_enabled: true },
    })
  })

  it('say that the defaults hold where there is no file', async () => {
    const { text } = await appWith().get('/status/overrides/a', JSON_ONLY)
    expect(text).toContain('default overrides')
    const list = await appWith().get('/status/overrides', JSON_ONLY)
    expect(JSON.parse(list.text)).toMatchObject({ tenants: [] })
  })

  it('show it all as YAML, or only what is other than the defaults', async () => {
    const { get } = withTenants()
    expect(parse((await get('/status/runtime_config')).text)).toMatchObject({
      defaults: { ingestion: { max_traces_per_user: 0 }, global: { max_bytes_per_trace: 0 } },
      overrides: {
        acme: { global: { max_bytes_per_trace: 9 }, ingestion: { rate_limit_bytes: 1e12 } },
        '<b>': {},
      },
    })
    expect(parse((await get('/status/runtime_config?mode=diff')).text)).toEqual({
      overrides: {
        '*': { ingestion: { max_traces_per_user: 3 } },
        '<b>': {},
        acme: { global: { max_bytes_per_trace: 9 } },
      },
    })
    expect(parse((await appWith().get('/status/runtime_config?mode=diff')).text)).toEqual({
      overrides: {},
    })
  })
})
