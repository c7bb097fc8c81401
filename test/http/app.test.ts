import { describe, expect, it } from 'vitest'
import { request, span } from '../support/otlp-gen.js'
import { LimitsPage } from '../../src/limits/page.js'
import { encodeTenants, LimitsView } from '../../src/limits/view.js'
import { noLimits } from '../limits/no-limits.js'
import { appWith, NOW_S } from './fake-frontend.js'

const NS = 1_000_000_000n
const TRACE_ID = '0123456789abcdef0123456789abcdef'
const trace = request([span(Buffer.from(TRACE_ID, 'hex'), Buffer.alloc(8, 1))])
const found = { trace, spanCount: 1, inspected_bytes: 42, partial: undefined }
const unknown = { trace: undefined, spanCount: 0, inspected_bytes: 0, partial: undefined }

describe('GET /api/traces/{id}', () => {
  const path = `/api/traces/${TRACE_ID}`

  it('answers batches as JSON, or the trace as protobuf to who asks for it', async () => {
    const { get } = appWith({ traceById: found })
    const json = await get(path)
    expect(json.status).toBe(200)
    expect(json.headers.get('content-type')).toBe('application/json')
    expect(Object.keys(JSON.parse(json.text) as object)).toEqual(['batches'])
    const { app } = appWith({ traceById: found })
    const reply = await app.request(path, { headers: { accept: 'application/protobuf' } })
    expect(reply.headers.get('content-type')).toBe('application/protobuf')
    expect(new Uint8Array(await reply.arrayBuffer())).toEqual(trace)
  })

  it('knows no unknown trace, and no half of one', async () => {
    expect(await appWith({ traceById: unknown }).get(path)).toMatchObject({ status: 404 })
    const large = await appWith({ traceById: { ...found, partial: 'trace exceeds' } }).get(path)
    expect(large).toMatchObject({ status: 422, text: 'trace exceeds' })
  })

  it('does not say that it knows a trace not while the backend cannot be read', async () => {
    const unread = 'the backend could not be read yet'
    const forNow = { unread, isUnreadForNow: true }
    expect(await appWith({ traceById: { ...unknown, ...forNow } }).get(path)).toMatchObject({
      status: 503,
      text: unread,
    })
    expect(await appWith({ traceById: { ...found, unread } }).get(path)).toMatchObject({
      status: 200,
    })
  })

  it('does not send a client for ever after what a damaged block may have had', async () => {
    const unread = 'a block cannot be read'
    const reply = await appWith({ traceById: { ...unknown, unread } }).get(path)
    expect(reply).toMatchObject({ status: 404, text: `trace not found; ${unread}` })
  })

  it('pads a short id on the left, as Tempo does', async () => {
    const { get, asked } = appWith({ traceById: found })
    await get('/api/traces/abc')
    expect(Buffer.from(asked[0]!.query.traceId as Uint8Array).toString('hex')).toBe(
      'abc'.padStart(32, '0'),
    )
  })

  it.each(['xyz', '0'.repeat(33), '12%2F34', '%20'])('refuses the id %s', async (id) => {
    const { get, asked } = appWith()
    for (const version of ['', 'v2/']) {
      const reply = await get(`/api/${version}traces/${id}`)
      expect(reply.status).toBe(400)
      expect(reply.text).toContain('trace ids are 1 to 32 hex digits')
    }
    expect(asked).toEqual([])
  })
})

describe('GET /api/v2/traces/{id}', () => {
  const path = `/api/v2/traces/${TRACE_ID}`
  const json = async (traceById: object) => {
    const reply = await appWith({ traceById }).get(path)
    expect(reply.status).toBe(200)
    return JSON.parse(reply.text) as Record<string, unknown>
  }

  it('answers an unknown trace with an empty one: Grafana looks into .trace without asking', async () => {
    expect(await json(unknown)).toEqual({ trace: {}, metrics: {} })
  })

  it('carries the trace and what it cost, and nothing that a strict reader does not know', async () => {
    const reply = await json(found)
    expect(Object.keys(reply)).toEqual(['trace', 'metrics'])
    expect(Object.keys(reply.trace as object)).toEqual(['resourceSpans'])
    expect(reply.metrics).toEqual({ inspectedBytes: '42' })
  })

  it('says when it is not the whole trace', async () => {
    expect(await json({ ...found, partial: 'too "large"' })).toMatchObject({
      status: 'PARTIAL',
      message: 'too "large"',
    })
    expect(await json({ ...found, unread: 'not read' })).toMatchObject({
      status: 'PARTIAL',
      message: 'not read',
    })
    expect(await json({ ...found, partial: 'too large', unread: 'not read' })).toMatchObject({
      status: 'PARTIAL',
      message: 'too large; not read',
    })
  })
})

describe('GET /api/search', () => {
  it('asks with Tempo’s defaults, and for a time only when one is given', async () => {
    const { get, asked } = appWith({ search: { traces: [], metrics: {} } })
    expect(await get('/api/search?q=%7B%7D')).toMatchObject({
      status: 200,
      text: '{"traces":[],"metrics":{}}',
    })
    expect(asked[0]!.query).toMatchObject({
      tenant: 'single-tenant',
      query: '{}',
      limit: 20,
      spansPerSpanSet: 3,
      start_ns: undefined,
      end_ns: undefined,
    })
    await get('/api/search?q=%7B%7D&start=1600000000&end=1600000100&limit=5&spss=7')
    expect(asked[1]!.query).toMatchObject({
      limit: 5,
      spansPerSpanSet: 7,
      start_ns: 1_600_000_000n * NS,
      end_ns: 1_600_000_100n * NS,
    })
    await get('/api/search?since=1h')
    expect(asked[2]!.query).toMatchObject({
      start_ns: BigInt(NOW_S - 3600) * NS,
      end_ns: BigInt(NOW_S) * NS,
    })
  })

  it('reads tags, durations and stray parameters as early clients sent them', async () => {
    const { get, asked } = appWith()
    await get('/api/search?tags=service.name%3Dcart&minDuration=10ms')
    await get('/api/search?service.name=cart')
    expect(asked.map(({ query }) => query.query)).toEqual([
      expect.stringMatching(/service\.name.*cart.*duration/i),
      expect.stringMatching(/service\.name.*cart/),
    ])
  })

  it.each([
    ['q=%7B%7D&tags=a%3Db', "can't specify tags and q"],
    ['q=%7B%7D&start=1', 'only one of start and end'],
    ['q=%7B%7D&start=20&end=10', 'start must be before end'],
    ['q=%7B%7D&start=10&end=10', 'start must be before end'],
    ['q=%7B%7D&start=abc&end=10', 'invalid start'],
    ['q=%7B%7D&limit=abc', 'invalid limit'],
    ['q=%7B%7D&limit=0', 'invalid limit'],
    ['q=%7B%7D&limit=-1', 'invalid limit'],
    ['q=%7B%7D&limit=1e3', 'invalid limit'],
    ['q=%7B%7D&limit=99999999999', 'invalid limit'],
    ['q=%7B%7D&limit=262145', 'invalid limit'],
    ['q=%7B%7D&spss=101', 'invalid spss'],
    ['q=%7B%7D&since=soon', 'invalid since'],
    ['q=%7B%7D&since=-1h', 'invalid since'],
    ['tags=a%3Db&minDuration=soon', 'invalid minDuration'],
    ['tags=%22', 'invalid tags'],
  ])('refuses %s', async (params, words) => {
    const { get, asked } = appWith()
    const reply = await get(`/api/search?${params}`)
    expect(reply.text).toContain(words)
    expect(reply.status).toBe(400)
    expect(asked).toEqual([])
  })

  it('ends before the cutoff when one is set', async () => {
    const { get, asked } = appWith({}, { query_frontend: { query_end_cutoff_ms: 30_000 } })
    const newest = BigInt(NOW_S - 30) * NS
    await get('/api/search?q=%7B%7D')
    await get(`/api/search?q=%7B%7D&start=${NOW_S - 60}&end=${NOW_S}`)
    expect(asked.map(({ query }) => query.end_ns)).toEqual([newest, newest])
  })
})

describe('tags', () => {
  const scopes = [
    { name: 'span', tags: ['http.route', 'db'] },
    { name: 'resource', tags: ['service.name', 'db'] },
    { name: 'intrinsic', tags: ['duration'] },
  ]

  it('v2 answers scopes, v1 the names of all of them without intrinsics', async () => {
    const { get } = appWith({ tagNames: { scopes, metrics: {} } })
    expect(JSON.parse((await get('/api/v2/search/tags')).text)).toEqual({ scopes, metrics: {} })
    expect(JSON.parse((await get('/api/search/tags')).text)).toEqual({
      tagNames: ['db', 'http.route', 'service.name'],
      metrics: {},
    })
  })

  it('v1 of a tenant without spans is an empty list, not a missing one', async () => {
    const { get } = appWith()
    expect(JSON.parse((await get('/api/search/tags')).text)).toEqual({ tagNames: [] })
    expect(JSON.parse((await get('/api/search/tag/x/values')).text)).toEqual({ tagValues: [] })
  })

  it('values: names with dots, slashes and colons come through; v1 asks for any scope', async () => {
    const tagValues = [
      { type: 'string', value: 'a' },
      { type: 'int', value: 'a' },
    ]
    const { get, asked } = appWith({ tagValues: { tagValues, metrics: {} } })
    const v2 = await get('/api/v2/search/tag/resource.service.name/values?q=%7B%7D&limit=3')
    expect(JSON.parse(v2.text)).toEqual({ tagValues, metrics: {} })
    expect(asked[0]!.query).toMatchObject({ tag: 'resource.service.name', query: '{}', limit: 3 })
    const v1 = await get('/api/search/tag/service.name/values')
    expect(JSON.parse(v1.text)).toEqual({ tagValues: ['a'], metrics: {} })
    await get('/api/v2/search/tag/span%3Akind/values')
    await get('/api/v2/search/tag/span.a%2Fb/values')
    await get('/api/search/tag/name/values')
    expect(asked.slice(1).map(({ query }) => query.tag)).toEqual([
      '.service.name',
      'span:kind',
      'span.a/b',
      'name',
    ])
  })

  it.each(['/api/v2/search/tags?scope=planet', '/api/search/tags?scope=planet'])(
    'refuses %s',
    async (path) => {
      expect(await appWith().get(path)).toMatchObject({ status: 400 })
    },
  )
})

describe('metrics', () => {
  const range = `/api/metrics/query_range?q=%7B%7D%7Crate()`

  it('query_range: an hour up to now and a step that fits, unless told otherwise', async () => {
    const { get, asked } = appWith({ queryRange: { series: [] } })
    expect(await get(range)).toMatchObject({ status: 200, text: '{"series":[]}' })
    await get(`${range}&start=1600000000&end=1600000060&step=0.5&exemplars=7&maxSeries=3`)
    await get(`${range}&start=1600000000&end=1600000060&step=1m&exemplars=5000`)
    expect(asked[0]!.query).toMatchObject({
      start_ns: BigInt(NOW_S - 3600) * NS,
      end_ns: BigInt(NOW_S) * NS,
      step_ns: 15n * NS,
      exemplars: 100,
    })
    expect(asked[1]!.query).toMatchObject({ step_ns: NS / 2n, exemplars: 7, maxSeries: 3 })
    expect(asked[2]!.query).toMatchObject({ step_ns: 60n * NS, exemplars: 100 })
  })

  it('query: one value over the range, and `query` is another name of `q`', async () => {
    const { get, asked } = appWith({ queryInstant: { series: [] } })
    expect(await get('/api/metrics/query?query=x')).toMatchObject({ status: 200 })
    expect(asked[0]).toMatchObject({ method: 'queryInstant', query: { query: 'x', step_ns: 0n } })
  })

  it.each([
    ['/api/metrics/query_range', 'TraceQL metrics query'],
    ['/api/metrics/query', 'TraceQL metrics query'],
    [`${range}&step=soon`, 'invalid step'],
    [`${range}&step=-5`, 'must be positive'],
    [`${range}&start=10`, 'only one of start and end'],
    [`${range}&start=20&end=10`, 'start must be before end'],
    [`${range}&exemplars=x`, 'invalid exemplars'],
    [`${range}&since=-5m`, 'invalid since'],
    [`${range}&start=1500000000&end=1600000000`, 'max_duration'],
  ])('refuses %s', async (path, words) => {
    const { get, asked } = appWith({}, { query_frontend: { max_metrics_duration_ms: 10_800_000 } })
    const reply = await get(path)
    expect(reply.text).toContain(words)
    expect(reply.status).toBe(400)
    expect(asked).toEqual([])
  })
})

describe('what is missing in an answer', () => {
  it.each([
    `/api/traces/${TRACE_ID}`,
    `/api/v2/traces/${TRACE_ID}`,
    '/api/search?q=%7B%7D',
    '/api/search/tags',
    '/api/v2/search/tags',
    '/api/search/tag/a/values',
    '/api/v2/search/tag/.a/values',
    '/api/metrics/query_range?q=x',
    '/api/metrics/query?q=x',
  ])('is said in a header of %s', async (path) => {
    const missing = 'some blocks'
    const header = 'x-tempo-actors-partial'
    const partial = await appWith({ traceById: found, missing }).get(path)
    expect([partial.status, partial.headers.get(header)]).toEqual([200, missing])
    const whole = await appWith({ traceById: found }).get(path)
    expect([whole.status, whole.headers.get(header)]).toEqual([200, null])
  })

  it('is said in a header whatever characters a damaged block put into the words', async () => {
    const missing = `block\r\nset-cookie: x\0 \u{1f4a9} ${'long '.repeat(10_000)}`
    const reply = await appWith({ traceById: found, missing }).get(`/api/v2/traces/${TRACE_ID}`)
    const header = reply.headers.get('x-tempo-actors-partial')!
    expect(reply.status).toBe(200)
    expect(header).toMatch(/^block\?\?set-cookie: x\? \?+ long long .*\.\.\.$/)
    expect(header.length).toBe(2048)
  })
})

describe('the longest range', () => {
  const page = LimitsPage.create()
  const own = { max_search_duration_ms: 3_600_000, max_metrics_duration_ms: 60_000 }
  new LimitsPage(page).publish(encodeTenants(new Map([['single-tenant', own]])))
  const limits = new LimitsView(noLimits().defaults, new LimitsPage(page))
  const hours = (n: number) => `start=1600000000&end=${1_600_000_000 + n * 3600}`
  const searches = [
    '/api/search?q=%7B%7D&',
    '/api/search/tags?',
    '/api/v2/search/tags?',
    '/api/search/tag/a/values?',
    '/api/v2/search/tag/.a/values?',
  ]

  it.each(searches)('of %s is the query-frontend’s', async (path) => {
    const { get } = appWith({}, { query_frontend: { max_search_duration_ms: 2 * 3_600_000 } })
    expect(await get(path + hours(2))).toMatchObject({ status: 200 })
    expect(await get(path + hours(3))).toMatchObject({
      status: 400,
      text: 'range of 3h0m0s exceeds query_frontend.search.max_duration of 2h0m0s',
    })
  })

  it.each(searches)('of %s is the tenant’s own, where it has one', async (path) => {
    const { get, asked } = appWith({}, { limits })
    expect(await get(path + hours(1))).toMatchObject({ status: 200 })
    expect(asked).toHaveLength(1)
    expect(await get(path + hours(2))).toMatchObject({
      status: 400,
      text: 'range of 2h0m0s exceeds overrides.single-tenant.read.max_search_duration of 1h0m0s',
    })
    expect(asked).toHaveLength(1)
  })

  it('of metrics is the tenant’s own, where it has one', async () => {
    const { get } = appWith({}, { limits })
    const reply = await get(`/api/metrics/query_range?q=x&${hours(1)}`)
    expect(reply).toMatchObject({
      status: 400,
      text: 'range of 1h0m0s exceeds overrides.single-tenant.read.max_metrics_duration of 1m0s',
    })
  })

  it('may be longer for a tenant than for the others', async () => {
    const { get } = appWith({}, { limits, query_frontend: { max_search_duration_ms: 60_000 } })
    expect(await get(searches[0]! + hours(1))).toMatchObject({ status: 200 })
  })
})

describe('tenants', () => {
  const search = '/api/search?q=%7B%7D'

  it('are of no interest while there is one', async () => {
    const { get, asked } = appWith()
    await get(search, { 'x-scope-orgid': 'acme' })
    expect(asked[0]!.query.tenant).toBe('single-tenant')
  })

  it('are told apart by the header', async () => {
    const { get, asked } = appWith({}, { multitenancy_enabled: true })
    expect(await get(search, { 'x-scope-orgid': 'acme' })).toMatchObject({ status: 200 })
    expect(asked[0]!.query.tenant).toBe('acme')
  })

  it.each([
    [undefined, 401],
    ['', 401],
    ['a/b', 400],
    ['..', 400],
    ['a|b', 400],
    ['x'.repeat(151), 400],
  ])('%s is refused with %i, before anything is asked', async (tenant, status) => {
    const { get, asked } = appWith({}, { multitenancy_enabled: true })
    const headers = tenant === undefined ? {} : { 'x-scope-orgid': tenant }
    for (const path of [search, '/api/search/tags', `/api/traces/${TRACE_ID}`])
      expect((await get(path, headers)).status).toBe(status)
    expect(asked).toEqual([])
  })

  it('are not needed for health checks and status', async () => {
    const { get } = appWith({}, { multitenancy_enabled: true })
    for (const path of ['/api/echo', '/api/status/buildinfo', '/ready', '/metrics', '/api/actors'])
      expect((await get(path)).status).toBe(200)
  })
})

describe('errors', () => {
  const search = '/api/search?q=%7B%7D'

  it.each([400, 404, 422, 429, 499, 500, 503, 504] as const)(
    'a refusal of the frontend with %i reaches the client as it is',
    async (status) => {
      const { app } = appWith({ refused: { status, message: 'no, because' } })
      const reply = await app.request(search)
      expect([reply.status, await reply.text()]).toEqual([status, 'no, because'])
    },
  )

  it.each([
    ['DEADLINE_EXCEEDED', 504],
    ['ACTOR_DOWN', 503],
    ['OVERLOADED', 429],
    ['EBADF', 500],
  ])('a frontend that fails with %s is %i', async (code, status) => {
    const { get } = appWith({ thrown: Object.assign(new Error('x'), { code }) })
    expect((await get(search)).status).toBe(status)
  })

  it('an unknown path is 404, and so is a known one with another method', async () => {
    const { app } = appWith()
    expect((await app.request('/api/nothing')).status).toBe(404)
    expect((await app.request(search, { method: 'POST' })).status).toBe(404)
  })
})

describe('what operators look at', () => {
  it('echo, build, readiness and metrics', async () => {
    const { get, status } = appWith()
    expect(await get('/api/echo')).toMatchObject({ status: 200, text: 'echo' })
    const build = JSON.parse((await get('/api/status/buildinfo')).text) as object
    expect(Object.keys(build)).toEqual(
      expect.arrayContaining(['version', 'revision', 'branch', 'buildDate', 'buildUser', 'goVersion']), // prettier-ignore
    )
    expect(await get('/ready')).toMatchObject({ status: 200, text: 'ready\n' })
    status.reason = 'livestore-0 is starting'
    expect(await get('/ready')).toMatchObject({ status: 503, text: 'livestore-0 is starting\n' })
    const metrics = await get('/metrics')
    expect(metrics.headers.get('content-type')).toContain('version=0.0.4')
    expect(metrics.text).toBe('up 1\n')
  })

  it('status pages, one by one and together', async () => {
    const { get } = appWith()
    const pages = ['version', 'services', 'config', 'endpoints']
    const texts = await Promise.all(pages.map(async (p) => (await get(`/status/${p}`)).text))
    const all = (await get('/status')).text
    for (const text of texts) expect(all).toContain(text)
    expect(texts[1]).toMatch(/querier-0 +running +restarts=0 +up=1m30s/)
  })

  it("show the settings as Tempo's YAML: all, the defaults, or what differs", async () => {
    const { get } = appWith()
    expect((await get('/status/config')).text).toMatch(/^---\ntarget: all\n/)
    expect((await get('/status/config?mode=defaults')).text).toContain('http_listen_port: 3200')
    expect((await get('/status/config?mode=diff')).text).toBe('---\n{}\n')
    expect(await get('/status/config?mode=some')).toMatchObject({
      status: 400,
      text: 'mode must be diff or defaults, not "some"\n',
    })
  })

  it('a crash on order needs leave, a known actor and a known way', async () => {
    const path = '/api/actors/querier-0/crash'
    const post = async (app: ReturnType<typeof appWith>['app'], p: string) =>
      (await app.request(p, { method: 'POST' })).status
    const tame = appWith()
    expect(await post(tame.app, path)).toBe(403)
    const wild = appWith({}, { actors: { chaos: true } })
    expect(await post(wild.app, `${path}?how=politely`)).toBe(400)
    expect(await post(wild.app, '/api/actors/nobody/crash')).toBe(404)
    expect(await post(wild.app, `${path}?how=hang`)).toBe(200)
    expect([...tame.crashed, ...wild.crashed]).toEqual(['querier-0 hang'])
  })

  it('request metrics have a bounded number of routes, whatever paths are tried', async () => {
    const { get, series } = appWith({ traceById: found })
    for (let n = 0; n < 20; n++) {
      for (const path of ['/api/traces/', '/status/', '/api/actors/', '/api/search/tag/', '/x', '/api/status/'])
        await get(`${path}${n}`)
      await get(`/api/v2/search/tag/t${n}/values`)
      await get(`/api/actors/a${n}/b${n}`)
    } // prettier-ignore
    const routes = new Set([...(await series()).matchAll(/route="([^"]*)"/g)].map(([, r]) => r))
    expect([...routes].sort()).toEqual([
      'api_traces_traceid',
      'api_v2_search_tag_tagname_values',
      'other',
    ])
  })
})
