/** The program as a person starts, stops and misuses it: where it writes, what it says, how fast it ends, and what it takes in. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { freePort } from '../../src/bench/free-port.js'
import { load } from '../../src/load/load.js'
import { grpcClient, httpClient, type OtlpClient } from '../../src/load/otlp-client.js'
import { verify } from '../../src/load/verify.js'
import { eventually, freePorts, sleep, TestServer, type Ports } from '../support/server.js'
import { jsonRequest, largeRequest, type SentTrace } from './otlp-traces.js'
import { Program, type Ended } from './program.js'
import { search, spanIds } from './tempo-api.js'

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname
const MIB = 1 << 20
const DRAIN_MS = 5_000
const SEND_MS = 60_000

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'startup-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const portFlags = ({ grpc, http, api }: Ports) => [
  `--server.http_listen_port=${api}`,
  `--distributor.receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${grpc}`,
  `--distributor.receivers.otlp.protocols.http.endpoint=127.0.0.1:${http}`,
]

const bucketFlags = (port: number) => [
  ...['--storage.trace.backend=s3', '--storage.trace.s3.bucket=spans'],
  ...[`--storage.trace.s3.endpoint=127.0.0.1:${port}`, '--storage.trace.s3.insecure=true'],
  ...['--storage.trace.s3.access-key=a', '--storage.trace.s3.secret-key=b'],
]

const start = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  new Program(process.execPath, [MAIN, ...args], { cwd: folder, env })

describe('without --config', () => {
  it('has built-in defaults, keeps all data in ./tempo-data and writes nothing elsewhere', async () => {
    for (const name of ['work', 'home', 'tmp']) mkdirSync(join(folder, name))
    const [work, home, tmp] = ['work', 'home', 'tmp'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ]
    const ports = await freePorts()
    const flags = ['--live_store.flush_check_period=200ms', '--actors.max_head_idle=500ms']
    const program = new Program(process.execPath, [MAIN, ...portFlags(ports), ...flags], {
      cwd: work,
      env: { HOME: home, TMPDIR: tmp, XDG_CACHE_HOME: home, XDG_CONFIG_HOME: home },
    })
    await program.says(/msg=ready/)
    expect(program.output).toContain('built-in defaults (no --config was given)')
    expect(program.output).toContain(join(work, 'tempo-data/live-store'))
    const { body, sent } = jsonRequest('defaults', 7)
    await post(ports, body)
    const blocks = join(work, 'tempo-data/blocks/single-tenant')
    await eventually('the block is in the backend', 30_000, () => {
      const stored = existsSync(blocks) ? readdirSync(blocks, { recursive: true }) : []
      return stored.some((path) => String(path).endsWith('meta.json'))
    })
    expect(await spanIds(`http://127.0.0.1:${ports.api}`, sent.traceId)).toEqual(sent.spanIds)
    program.signal('SIGINT')
    expect(await program.end(DRAIN_MS * 4)).toMatchObject({ code: 0 })
    expect(readdirSync(work)).toEqual(['tempo-data'])
    expect(readdirSync(join(work, 'tempo-data')).sort()).toEqual(['blocks', 'live-store'])
    expect([readdirSync(home), readdirSync(tmp)]).toEqual([[], []])
  })
})

describe('Ctrl-C', () => {
  it('ends an idle server with 0 within 5 seconds', async () => {
    const server = await TestServer.start({ folder })
    const { code, took_ms } = await stopped(server)
    console.log(`idle: exit ${code ?? '?'} after ${took_ms} ms`)
    expect(code, server.log).toBe(0)
    expect(took_ms).toBeLessThan(DRAIN_MS)
  })

  it('drains under load with 0 within 5 seconds, and what was acknowledged is there after the restart', async () => {
    const server = await TestServer.start({ folder })
    const ledger = join(folder, 'ledger')
    const loading = load({
      endpoint: server.grpc,
      protocol: 'grpc',
      tenant: '',
      seed: 1,
      run: 'ctrl-c',
      ledger,
      traces: Infinity,
      duration_ms: 4_000,
      rate: 5_000,
      connections: 8,
      batch: 128,
      split: 3,
      lateShare: 0,
      late_ms: 0,
      spread_ms: 5_000,
      shuffle: 0.1,
      giveUpAfter_ms: 120_000,
      premake: false,
    })
    await sleep(2_000)
    const { code, took_ms } = await stopped(server)
    console.log(`under load: exit ${code ?? '?'} after ${took_ms} ms`)
    expect(code, server.log.slice(-4000)).toBe(0)
    expect(took_ms).toBeLessThan(DRAIN_MS)
    await server.up()
    const report = await loading
    const found = await verify({ ledger, base: server.base, concurrency: 4 })
    await server.kill()
    expect(report.failedSpans, report.firstError).toBe(0)
    expect(found.acknowledgedSpans).toBeGreaterThan(1_000)
    expect(found, found.examples.join('\n')).toMatchObject({ ok: true })
  })

  it('ends by force within 5 seconds, with 1, when an actor hangs', async () => {
    const server = await TestServer.start({ folder, flags: ['--actors.chaos=true'] })
    expect(await server.post('/api/actors/livestore-0/crash?how=hang')).toBe(200)
    const { code, took_ms } = await stopped(server)
    console.log(`an actor hangs: exit ${code ?? '?'} after ${took_ms} ms`)
    expect(code, server.log).toBe(1)
    expect(took_ms).toBeLessThan(DRAIN_MS)
  })

  it('ends at once when it is pressed again', async () => {
    const flags = ['--actors.chaos=true', '--actors.supervisor.drain_timeout=60s']
    const server = await TestServer.start({ folder, flags })
    expect(await server.post('/api/actors/livestore-0/crash?how=hang')).toBe(200)
    const first = stopped(server)
    await eventually('it drains', 10_000, () => server.log.includes('msg=draining'))
    await sleep(1_000)
    expect(server.log).not.toContain('stopping at once')
    const again_ms = performance.now()
    process.kill(server.pid, 'SIGINT')
    const { code } = await first
    const took_ms = Math.round(performance.now() - again_ms)
    console.log(`pressed again: exit ${code ?? '?'} after ${took_ms} ms`)
    expect(code, server.log).toBe(1)
    expect(took_ms).toBeLessThan(2_000)
  })
})

describe('what cannot work is told in one sentence, with exit code 1', () => {
  let taken: Server
  let takenPort: number
  beforeAll(async () => {
    takenPort = await freePort()
    taken = createServer()
    await new Promise<void>((resolve) => taken.listen(takenPort, '127.0.0.1', resolve))
  })
  afterAll(() => {
    taken.close()
  })

  it.each([
    ['server.http_listen_port', (port: number) => String(port)],
    ['distributor.receivers.otlp.protocols.grpc.endpoint', (port: number) => `127.0.0.1:${port}`],
    ['distributor.receivers.otlp.protocols.http.endpoint', (port: number) => `127.0.0.1:${port}`],
  ])('a port that is taken: %s', async (key, value) => {
    const flags = portFlags(await freePorts()).filter((flag) => !flag.includes(key))
    const ended = await start([...flags, `--${key}=${value(takenPort)}`]).end()
    expectSentence(ended, `cannot listen on 127.0.0.1:${takenPort} (${key})`)
  })

  it.each([
    ['live_store.wal.path', 'live_store.wal.path'],
    ['storage.trace.local.path', 'the backend folder cannot be used'],
  ])('a folder that cannot be written: %s', async (key, words) => {
    writeFileSync(join(folder, 'file'), '')
    const flags = portFlags(await freePorts())
    const ended = await start([...flags, `--${key}=./file/data`]).end()
    expectSentence(ended, words)
    expect(ended.output).toContain('a file is in the way of a folder')
    expect(ended.output).toContain(join(folder, 'file/data'))
  })

  it.each([
    ['NoSuchBucket', 404, 'does not exist: create it, or correct storage.trace.s3.bucket'],
    ['SignatureDoesNotMatch', 403, 'the secret key does not fit the access key'],
  ])('a bucket that refuses us: %s', async (code, status, words) => {
    const s3 = createHttpServer((_, reply) => {
      reply.writeHead(status, { 'content-type': 'application/xml' })
      reply.end(`<Error><Code>${code}</Code><Message>no</Message></Error>`)
    })
    await new Promise<void>((resolve) => s3.listen(0, '127.0.0.1', resolve))
    const { port } = s3.address() as AddressInfo
    const flags = [...portFlags(await freePorts()), ...bucketFlags(port)]
    expectSentence(await start(flags).end(), words)
    s3.close()
  })

  it('a bucket that does not answer is waited for, and spans are taken meanwhile', async () => {
    const ports = await freePorts()
    const program = start([...portFlags(ports), ...bucketFlags(await freePort())])
    await program.says(/msg=ready/)
    expect(program.output).toContain('the backend does not answer: spans are taken')
    const { body, sent } = jsonRequest('no-bucket', 3)
    await post(ports, body)
    expect(await spanIds(`http://127.0.0.1:${ports.api}`, sent.traceId)).toEqual(sent.spanIds)
    program.signal('SIGINT')
    await program.end(DRAIN_MS * 4)
  })

  it('a data folder that another process uses, and takes it over when that one was killed', async () => {
    const first = await TestServer.start({ folder })
    const flags = portFlags(await freePorts())
    const ended = await start(flags).end()
    expectSentence(ended, 'another tempo-actors is using it')
    expect(ended.output).toContain(join(folder, 'tempo-data/live-store'))
    await first.kill()
    const second = start(flags)
    await second.says(/msg=ready/)
    second.signal('SIGINT')
    expect(await second.end()).toMatchObject({ code: 0 })
  })

  it.each([
    ['an unknown key', 'server:\n  http_listen_prt: 1\n', 'did you mean http_listen_port?'],
    ['a value of the wrong kind', 'server:\n  http_listen_port: often\n', 'bad.yaml:2'],
    ['no YAML', 'server: [\n', 'bad.yaml:2:1: not valid YAML'],
    ['a bad reference', 'server: {log_level: "${A}"}\n', 'start with --config.expand-env'],
  ])('a bad configuration: %s', async (_, yaml, words) => {
    writeFileSync(join(folder, 'bad.yaml'), yaml)
    expectSentence(await start(['--config', 'bad.yaml']).end(), words)
    expect(readdirSync(folder)).toEqual(['bad.yaml'])
  })

  it.each([
    ['a configuration that is not there', ['--config', 'nope.yaml'], 'nope.yaml does not exist'],
    ['an unknown flag', ['--serve.http_listen_port=1'], 'unknown flag --serve.http_listen_port'],
    ['S3 without a bucket', ['--storage.trace.backend=s3'], 'storage.trace.s3.bucket is needed'],
  ])('%s', async (_, args, words) => {
    expectSentence(await start(args).end(), words)
    expect(readdirSync(folder)).toEqual([])
  })
})

/**
 * Slices that all of these requests fit into, beside rings of the default size: of a trace that a cut divides, a search tells the
 * matches of the larger part, as Tempo does of one in two blocks, and by id it is whole.
 */
const UNCUT = [
  '--memory.limit=2GiB',
  '--actors.head_bytes=512MiB',
  '--live_store.max_block_bytes=128MiB',
  '--actors.bus.ring_bytes=8MiB',
  '--actors.bus.ingress_bytes=8MiB',
]

describe('what it takes in', () => {
  let server: TestServer
  let clients: Record<'grpc' | 'http', OtlpClient>
  beforeAll(async () => {
    server = await TestServer.start({ flags: UNCUT })
    clients = { grpc: grpcClient(server.grpc, ''), http: httpClient(server.http, '') }
  })
  afterAll(async () => {
    clients.grpc.close()
    clients.http.close()
    await server.remove()
  })

  it('OTLP/JSON, plain and gzip, found whole by id and by search', async () => {
    for (const encoding of ['identity', 'gzip'] as const) {
      const { body, sent } = jsonRequest(`json-${encoding}`, 25)
      await post(server.ports, encoding === 'gzip' ? gzipSync(body) : body, encoding)
      await expectFound(server.base, `json-${encoding}`, [sent])
    }
  })

  it('protobuf with gzip over HTTP', async () => {
    const { bytes, traces } = largeRequest('gzip-protobuf', MIB, 100)
    await post(server.ports, gzipSync(bytes), 'gzip', 'application/x-protobuf')
    await expectFound(server.base, 'gzip-protobuf', traces)
  })

  it.each(['grpc', 'http'] as const)('a request of 16 MiB over %s, whole', async (protocol) => {
    const service = `large-${protocol}`
    const { bytes, traces } = largeRequest(service, 16 * MIB, 100)
    expect(bytes.length).toBeGreaterThan(16 * MIB - 1_300)
    expect(bytes.length).toBeLessThanOrEqual(16 * MIB)
    await sendWhole(clients[protocol], bytes)
    await expectFound(server.base, service, traces)
  })

  it.each(['grpc', 'http'] as const)(
    'a request over 16 MiB over %s is refused for good, with the limit',
    async (protocol) => {
      const { bytes } = largeRequest(`too-large-${protocol}`, 17 * MIB, 100)
      const result = await clients[protocol].send(bytes, SEND_MS)
      expect(result.ok).toBe(false)
      expect(result.error).toMatch(/16777216|16 MiB/)
    },
  )

  it.each(['grpc', 'http'] as const)('a trace of 5 MB over %s, whole', async (protocol) => {
    const service = `one-trace-${protocol}`
    const { bytes, traces } = largeRequest(service, 4_990_000, Infinity)
    expect(traces).toHaveLength(1)
    await sendWhole(clients[protocol], bytes)
    await expectFound(server.base, service, traces)
  })

  async function sendWhole(client: OtlpClient, bytes: Buffer): Promise<void> {
    // A full ring is answered with a retryable refusal; a client comes again, and so does this one.
    for (let attempt = 0; attempt < 10; attempt++) {
      const result = await client.send(bytes, SEND_MS)
      if (result.ok) {
        expect(result.rejectedSpans).toBe(0)
        return
      }
      expect(result, result.error).toMatchObject({ isRetryable: true })
      await sleep(result.retryAfter_ms ?? 500)
    }
    throw new Error('refused ten times')
  }
})

async function expectFound(
  base: string,
  service: string,
  traces: readonly SentTrace[],
): Promise<void> {
  for (const { traceId, spanIds: sent } of traces) {
    expect(await spanIds(base, traceId), traceId).toEqual(sent)
  }
  const found = await search(base, `{ resource.service.name = "${service}" }`)
  expect(found).toEqual(
    new Map(traces.map(({ traceId, spanIds: { length } }) => [traceId, length])),
  )
}

async function post(
  ports: Ports,
  body: string | Uint8Array,
  encoding = 'identity',
  type = 'application/json',
): Promise<void> {
  const reply = await fetch(`http://127.0.0.1:${ports.http}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': type, 'content-encoding': encoding },
    body,
  })
  expect(reply.status, await reply.text()).toBe(200)
}

async function stopped(server: TestServer): Promise<{ code: number | null; took_ms: number }> {
  const began_ms = performance.now()
  const code = await server.stop()
  return { code, took_ms: Math.round(performance.now() - began_ms) }
}

/** One line of error with the words, and no stack. */
function expectSentence({ code, output }: Ended, words: string): void {
  const lines = output.split('\n').filter((line) => line !== '' && !line.includes('level=info'))
  expect(lines, output).toHaveLength(1)
  expect(lines[0]).toContain(words)
  expect(output).not.toMatch(/^\s+at /m)
  expect(output).not.toMatch(/node:internal|file:\/\//)
  expect(code).toBe(1)
}
