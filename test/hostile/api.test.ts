/** What no Grafana sends to Tempo's API, each with the answer it gets; the server is as well afterwards as before. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keyValue, request, span, stringValue, type Proto } from '../support/otlp-gen.js'
import { Random } from '../support/random.js'
import { TestServer } from '../support/server.js'
import { GrpcConnection, askHttp, framed, type Answer } from './support/doors.js'
import { HOSTILE, LOOP_MS } from './support/size.js'
import { Watch } from './support/watch.js'

/** A tenant whose name is a property of every object. */
const TENANT = '__proto__'
const HOURS = 3_600_000_000_000n

const random = new Random(32)
const traceId = random.bytes(16)
let server: TestServer
let watch: Watch

beforeAll(async () => {
  server = await TestServer.start({
    flags: ['--server.log_level=warn', '--multitenancy_enabled=true'],
  })
  watch = new Watch(server, { 'x-scope-orgid': TENANT })
  const now_ns = BigInt(Date.now()) * 1_000_000n
  const connection = new GrpcConnection(server.ports.grpc)
  const of = (id: Uint8Array, i: number) => {
    const attributes: Proto[] = [
      keyValue('a', stringValue(`${'a'.repeat(1900)}${i}!`)),
      keyValue('__proto__', stringValue('polluted')),
      keyValue('constructor', stringValue(String(i % 3))),
    ]
    const start = now_ns - HOURS / 20n
    return span(id, random.bytes(8), { start, end: start + BigInt(i) }, attributes)
  }
  for (const service of ['__proto__', 'constructor', 'shop']) {
    const spans = Array.from({ length: 300 }, (_, i) => of(i === 0 ? traceId : random.bytes(16), i))
    const answer = await connection.ask(framed(request(spans, service)), {
      'x-scope-orgid': TENANT,
    })
    expect(answer.status, answer.text).toBe(0)
  }
  connection.close()
})
afterAll(async () => {
  await watch.end()
  console.log(watch.table('API'))
  console.log(`slowest answer to what costs nothing: ${Math.round(watch.slowest_ms)} ms`)
  await server.remove()
})

const ask = (path: string, headers: Record<string, string> = {}) =>
  askHttp(server.ports.api, {
    path,
    headers: { 'x-scope-orgid': TENANT, ...headers },
    timeout_ms: 60_000,
  })
const q = (query: string, more = '') => `/api/search?q=${encodeURIComponent(query)}${more}`
const range = (more: string) =>
  `/api/metrics/query_range?q=${encodeURIComponent('{} | rate()')}${more}`

type Row = readonly [what: string, path: string, status: number, says?: RegExp]

const PARAMS: readonly Row[] = [
  ['limit -1', q('{}', '&limit=-1'), 400, /invalid limit/],
  ['limit 0', q('{}', '&limit=0'), 400, /positive/],
  ['limit NaN', q('{}', '&limit=NaN'), 400],
  ['limit 1e308', q('{}', '&limit=1e308'), 400],
  ['limit 2^32', q('{}', '&limit=4294967296'), 400],
  ['limit of 10,000 digits', q('{}', `&limit=${'9'.repeat(10_000)}`), 400],
  ['spss 0', q('{}', '&spss=0'), 400],
  ['spss 1000000', q('{}', '&spss=1000000'), 400, /invalid spss/],
  ['start after end', q('{}', '&start=200&end=100'), 400, /start must be before end/],
  ['start without end', q('{}', '&start=200'), 400, /both or neither/],
  ['start -1', q('{}', '&start=-1&end=100'), 400, /invalid start/],
  ['start 1e308', q('{}', '&start=1e308&end=2e308'), 400, /invalid start/],
  ['start of 400 digits and a point', q('{}', `&start=${'9'.repeat(400)}.5&end=9`), 400, /292 years/],
  ['end in 5138', q('{}', '&start=1&end=99999999999'), 200],
  ['since of 400 digits', q('{}', `&since=${'9'.repeat(400)}h`), 400, /292 years/],
  ['since negative', q('{}', '&since=-1h'), 400],
  ['since NaN', q('{}', '&since=NaN'), 400],
  ['step 0', range('&step=0'), 200],
  ['step -5', range('&step=-5'), 400, /invalid step/],
  ['step NaN', range('&step=NaN'), 400],
  ['step 1e308', range('&step=1e308'), 400, /292 years/],
  ['step 1e-300', range('&step=1e-300'), 200],
  ['step 1ns: billions of steps', range('&step=1ns'), 400, /intervals/],
  ['a range of 200 years in steps of a second', range('&step=1s&start=1&end=6000000000'), 400],
  ['exemplars 10^9', range('&exemplars=1000000000'), 200],
  ['maxSeries 2^40', range('&maxSeries=1099511627776'), 400],
  ['scope constructor', '/api/v2/search/tags?scope=constructor', 400, /invalid scope/],
  ['scope __proto__', '/api/v2/search/tags?scope=__proto__', 400, /invalid scope/],
  ['duration of 400 digits', `/api/search?tags=a%3Db&minDuration=${'9'.repeat(400)}h`, 400],
  ['q and tags', '/api/search?q=%7B%7D&tags=a%3Db', 400],
  ['1,000 stray parameters', `/api/search?${Array.from({ length: 1000 }, (_, i) => `p${i}=v`).join('&')}`, 200],
  ['bad percent encoding', '/api/search?q=%zz%', 400],
] // prettier-ignore

const NAMES: readonly Row[] = [
  ['trace id ..', '/api/traces/%2e%2e', 404],
  ['trace id ../../etc/passwd', '/api/traces/..%2f..%2fetc%2fpasswd', 400, /hex digits/],
  ['trace id with NUL', '/api/traces/00%00', 400, /hex digits/],
  ['trace id of 10,000 digits', `/api/traces/${'a'.repeat(10_000)}`, 400, /10000 characters/],
  ['trace id in emoji', '/api/traces/%F0%9F%98%80', 400],
  ['trace id of bad UTF-8', '/api/traces/%ff%fe', 400],
  ['tag name ..', '/api/v2/search/tag/..%2f..%2f/values', 200],
  ['tag name of 20 KB', `/api/v2/search/tag/.${'a'.repeat(20_000)}/values`, 200],
  ['tag name __proto__', '/api/v2/search/tag/.__proto__/values', 200, /polluted/],
  ['tag name constructor, v1', '/api/search/tag/constructor/values', 200, /"0"/],
  ['legacy tag constructor', '/api/search?tags=constructor%3D1', 200, /traceID/],
  ['legacy tag __proto__', '/api/search?tags=__proto__%3Dpolluted', 200, /traceID/],
  ['legacy tag toString', '/api/search?tags=toString%3D1', 200],
  ['by(span.__proto__)', `/api/metrics/query_range?q=${encodeURIComponent('{} | rate() by (span.__proto__, resource.service.name)')}`, 200, /polluted/],
  ['a service called __proto__ in the answer', q('{ resource.service.name = "__proto__" }'), 200, /"serviceStats":\{"__proto__":/],
  ['another path', '/../../etc/passwd', 404],
  ['an actor called ../x', '/api/actors/..%2fx/crash', 404],
  ['crash without chaos', '/api/actors/querier-0/crash', 404],
] // prettier-ignore

const nested = (n: number) => '('.repeat(n) + '{}' + ')'.repeat(n)
const QUERIES: readonly Row[] = [
  ['nothing that parses', q('{ .a = '), 400, /parse error/],
  ['10,000 parentheses', q(nested(10_000)), 400, /nests deeper/],
  ['10,000 parentheses in a filter', q(`{ ${'('.repeat(10_000)}true${')'.repeat(10_000)} }`), 400, /nests deeper/],
  ['10,000 minus signs', q(`{ ${'-'.repeat(10_000)}1 = 1 }`), 400],
  ['10,000 exclamation marks', q(`{ ${'!'.repeat(10_000)}true }`), 400],
  ['8,000 operators in a row', q(`{ ${Array(8000).fill('.a=1').join('||')} }`), 200],
  ['a query over 128 KiB', q(`{ .a = "${'x'.repeat(140_000)}" }`), 400, /exceeds max_query_expression_size_bytes/],
  ['a query of 1 MB', q(`{ .a = "${'x'.repeat(1_000_000)}" }`), 431],
  ['a comment that never ends', q('/* { }'), 400],
  ['a string that never ends', q('{ .a = "x'), 400],
  ['NUL in a name', q('{ .a\0b = 1 }'), 200],
  ['a lone surrogate', q('{ .a = "\ufffd" }'), 200],
  ['a number of 1,000 digits', q(`{ .a = ${'9'.repeat(1000)} }`), 400, /64 bits/],
  ['a regex of nested stars', q('{ span.a =~ "(a+)+$" }'), 200],
  ['a regex of 25 optional a', q(`{ span.a =~ "${'a?'.repeat(25)}${'a'.repeat(25)}" }`), 200],
  ['a regex of (a*)*b over long text', q('{ span.a =~ "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)x" }'), 200],
  ['a regex repeated 1000 times', q('{ span.a =~ "(a{0,1000})" }'), 200],
  ['a regex repeated 10^9 times', q('{ span.a =~ "(((a{0,100}){0,100}){0,100}){0,1000}" }'), 400, /too large|invalid regex/],
  ['a regex of 60 KB', q(`{ span.a =~ "${'(a|b)'.repeat(12_000)}" }`), 400, /invalid regex/],
  ['a regex of 10,000 groups', q(`{ span.a =~ "${'('.repeat(5000)}a${')'.repeat(5000)}" }`), 400, /invalid regex/],
  ['a regex of 1,000 stars', q(`{ span.a =~ "${'.*a'.repeat(1000)}x" }`), 400, /takes too long/],
  ['a regex of 100 repetitions of 1000', q(`{ span.a =~ "${'a{1000}'.repeat(100)}" }`), 400, /too large|invalid regex/],
  ['1,000 regexes of 10,000 steps', q(`{ ${Array.from({ length: 1000 }, (_, i) => `span.a =~ "${'a{1000}'.repeat(10)}${i}"`).join('||')} }`), 400, /too large together/],
  ['a regex that is none', q('{ span.a =~ "(" }'), 400, /invalid regex/],
  ['a back reference', q('{ span.a =~ `(a)\\1` }'), 400, /invalid regex/],
  ['20,000 letters half typed in a tag filter', `/api/v2/search/tags?q=${'a'.repeat(20_000)}`, 200],
  ['20,000 points half typed in a tag filter', `/api/v2/search/tags?q=${'.'.repeat(20_000)}`, 200],
  ['20,000 quotes half typed in a tag filter', `/api/v2/search/tag/.a/values?q=${'.%22'.repeat(20_000)}`, 200],
  ['a series for every span', `/api/metrics/query_range?q=${encodeURIComponent('{} | rate() by (span:id)')}&step=1s`, 200],
  ['500 series in a sum', `/api/metrics/query_range?q=${encodeURIComponent(Array(500).fill('({}|rate())').join('+'))}`, 200],
] // prettier-ignore

const TENANTS: readonly (readonly [string, string, number])[] = [
  ['none', '', 401],
  ['../../etc', '../../etc', 400],
  ['..', '..', 400],
  ['.', '.', 400],
  ['a/b', 'a/b', 400],
  ['a|b', 'a|b', 400],
  ['10 KB', 'a'.repeat(10_000), 400],
  ['151 characters', 'a'.repeat(151), 400],
  ['150 characters', 'a'.repeat(150), 200],
  ['latin1', 'caf\u00e9', 400],
  ['%2e%2e', '%2e%2e', 400],
  ['a backslash', 'a\\b', 400],
  ['constructor', 'constructor', 200],
  ['toString', 'toString', 200],
]

async function attempt(what: string, answer: Answer, status: number, says?: RegExp) {
  watch.note('API', what, answer)
  expect(answer.status, `${what}: ${answer.text.slice(0, 300)}`).toBe(status)
  if (says) expect(answer.text.slice(0, 100_000)).toMatch(says)
  return Promise.resolve()
}

describe('a typed answer to', () => {
  for (const [what, path, status, says] of PARAMS) {
    it(what, async () => attempt(what, await ask(path), status, says))
  }
  for (const [what, path, status, says] of NAMES) {
    it(what, async () => attempt(what, await ask(path), status, says))
  }
  for (const [what, path, status, says] of QUERIES) {
    it(what, async () => attempt(what, await ask(path), status, says))
  }

  it.each(TENANTS)('a tenant: %s', async (what, tenant, status) => {
    const headers: Record<string, string> = { 'x-scope-orgid': tenant }
    await attempt(`tenant ${what}`, await ask('/api/search?q=%7B%7D', headers), status)
    const body = request([span(random.bytes(16), random.bytes(8))])
    const type = { 'content-type': 'application/x-protobuf' }
    const post = { method: 'POST', path: '/v1/traces', headers: { ...headers, ...type }, body }
    await attempt(`tenant ${what}, OTLP`, await askHttp(server.ports.http, post), status)
  })

  it('a body of 100 MB where none belongs', async () => {
    const body = (function* () {
      for (let i = 0; i < 1600; i++) yield Buffer.alloc(65_536)
    })()
    const headers = { 'x-scope-orgid': TENANT }
    const answer = await askHttp(server.ports.api, {
      method: 'POST',
      path: '/api/search',
      headers,
      body,
    })
    watch.note('API', '100 MB to /api/search', answer)
    expect([404, 405, 413, 0]).toContain(answer.status)
  })
})

it('keeps what it was sent apart from what it is', async () => {
  const stats = (await ask(q('{ resource.service.name = "constructor" }', '&limit=1'))).text
  expect(stats).toMatch(/"serviceStats":\{"constructor":/)
  const trace = await ask(`/api/v2/traces/${Buffer.from(traceId).toString('hex')}`)
  expect(trace.text).toMatch(/"key":"__proto__"/)
  const other = await ask('/api/search?q=%7B%7D', { 'x-scope-orgid': 'valueOf' })
  expect(other.text).not.toMatch(/traceID/)
})

it('leaves the server well, no loop held up, and memory where it was', async () => {
  const round = async () => {
    for (const [, path] of [...PARAMS, ...NAMES, ...QUERIES]) await ask(path)
  }
  await watch.isWell()
  const before_mib = await watch.settled_mib()
  for (let rounds = 0; rounds < HOSTILE.memoryRounds; rounds++) await round()
  const after_mib = await watch.settled_mib()
  console.log(`memory before and after rounds: ${before_mib.toFixed()} ${after_mib.toFixed()} MiB`)
  await watch.isWell()
  expect(after_mib).toBeLessThan(before_mib * 1.3 + 50)
  expect(watch.slowest_ms).toBeLessThan(LOOP_MS)
})
