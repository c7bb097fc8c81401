/** Blocks on a local disk that are not what they were: each in a tenant of its own beside two good ones, all tenants in one server. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BlockMeta, BlockSink, ObjectWriter } from '../../src/storage/block/encoding.js'
import { encodingOf } from '../../src/storage/block/registry.js'
import { groupsOf } from '../storage/block/blocks.js'
import { memorySource } from '../support/memory-source.js'
import { Random } from '../support/random.js'
import { TestServer } from '../support/server.js'
import { shopTraces } from '../support/shop-traces.js'

/** Blocks are read to their end: far past what one query needs. */
const TRACES_EACH = 40
/** The newest trace of `shopTraces`, s. */
const END_S = 1_700_000_000
const QUERIERS_MAX = 8
const MIB = 2 ** 20

type Damage = (folder: string, meta: BlockMeta) => void

const write = (name: string, body: (meta: BlockMeta) => string | Uint8Array): Damage => {
  return (folder, meta) => writeFileSync(join(folder, name), body(meta))
}
const metaWith = (change: object): Damage =>
  write('meta.json', (meta) => JSON.stringify({ ...meta, ...change }))
const data = (change: (bytes: Buffer, meta: BlockMeta) => Uint8Array): Damage => {
  return (folder, meta) => {
    const file = join(folder, encodingOf(meta.format).dataObject)
    writeFileSync(file, change(readFileSync(file), meta))
  }
}

/** What is done to the second of three blocks, and what the answers say of it. */
const META: readonly (readonly [what: string, damage: Damage, words: RegExp])[] = [
  ['{}', write('meta.json', () => '{}'), /meta\.json at byte 0: format is no text; blockID is/],
  ['[]', write('meta.json', () => '[]'), /meta\.json at byte 0: is no JSON object/],
  ['null', write('meta.json', () => 'null'), /meta\.json at byte 0: is no JSON object/],
  ['empty', write('meta.json', () => ''), /meta\.json at byte 0: is empty/],
  ['no JSON', write('meta.json', () => '\0\x1b[31m\r\nmeta'), /meta\.json at byte 0: is not JSON/],
  ['half of it', write('meta.json', (m) => JSON.stringify(m).slice(0, 99)), /at byte 99: is not/],
  ['64 MiB', write('meta.json', () => Buffer.alloc(64 * MIB, ' ')), /has 67108864 bytes, at most/],
  ['deep', write('meta.json', () => `${'['.repeat(9e4)}${']'.repeat(9e4)}`), /is no JSON object/],
  ['deep inside', write('meta.json', (m) => `{"x":${'['.repeat(9e4)}${']'.repeat(9e4)},${JSON.stringify(m).slice(1)}`), /nested more than 32 levels/],
  ['wrong types', metaWith({ format: 1, startTime: [], size: '7', bloomShards: {} }), /format is no text; startTime is no text; size is no count; bloomShards is no count/],
  ['huge numbers', metaWith({ size: 1e300, totalObjects: 2 ** 53 }), /totalObjects is no count; size is no count/],
  ['negative numbers', metaWith({ size: -1, footerSize: -5 }), /size is no count; footerSize is no count/],
  ['another block’s id', metaWith({ blockID: '99999999-2222-4333-8444-555555555555' }), /blockID is 99999999/],
  ['another tenant', metaWith({ tenantID: 'nobody' }), /its tenantID is "nobody"/],
  ['lists that are none', metaWith({ compactedFrom: 'x', dedicatedColumns: 5 }), /dedicatedColumns is no list of sections; compactedFrom is no list of texts/],
  ['a format of 100 KB', metaWith({ format: 'x'.repeat(100_000) }), /format is longer than 1024/],
] // prettier-ignore

/** These are listed, and found out by who reads them. */
const DATA: typeof META = [
  ['an unknown format', metaWith({ format: 'blockpack9' }), /has format blockpack9/],
  ['another known format', metaWith({ format: 'vParquet4' }), /object at byte 0: object not found: .*though its meta.json is there/],
  ['a size of 8 PiB', metaWith({ size: Number.MAX_SAFE_INTEGER }), /object at byte \d+: .*too short/],
  ['a size and footer of 8 PiB', metaWith({ size: Number.MAX_SAFE_INTEGER, footerSize: Number.MAX_SAFE_INTEGER }), /object at byte \d+/],
  ['a size of nothing', metaWith({ size: 0 }), /trailer at byte 0: an object of 0 bytes/],
  ['a size that is one short', (folder, meta) => metaWith({ size: meta.size - 1 })(folder, meta), /trailer at byte \d+/],
  ['data cut in half', data((bytes) => bytes.subarray(0, bytes.length >> 1)), /object at byte \d+/],
  ['data without its last byte', data((bytes) => bytes.subarray(0, -1)), /object at byte \d+/],
  ['empty data', data(() => Buffer.alloc(0)), /object at byte \d+/],
  ['no data', (folder, meta) => rmSync(join(folder, encodingOf(meta.format).dataObject)), /object at byte 0: object not found: .*though its meta.json is there/],
  ['flipped bytes in its groups', data((bytes) => flipped(bytes, 64)), /at byte \d+: checksum (of page \d+ )?does not match/],
  ['random bytes', data((bytes) => new Random(1).bytes(bytes.length)), /trailer at byte \d+/],
  ['64 MiB of zeros behind it', data((bytes) => Buffer.concat([Buffer.alloc(64 * MIB), bytes])), /trailer at byte \d+/],
] // prettier-ignore

/** A byte in each `every`, in the first three quarters: the columns of the groups stand before all else. */
function flipped(bytes: Buffer, every: number): Buffer {
  for (let at = 16; at < (bytes.length * 3) >> 2; at += every) bytes[at]! ^= 0x10
  return bytes
}

class Folder implements BlockSink {
  constructor(private readonly path: string) {
    mkdirSync(path, { recursive: true })
  }
  create(name: string): Promise<ObjectWriter> {
    const parts: Uint8Array[] = []
    return Promise.resolve({
      write: (bytes: Uint8Array) => {
        parts.push(bytes.slice())
        return Promise.resolve()
      },
      close: () => {
        writeFileSync(join(this.path, name), Buffer.concat(parts))
        return Promise.resolve()
      },
    })
  }
}

interface Case {
  readonly tenant: string
  readonly what: string
  readonly words: RegExp
  readonly isListed: boolean
  /** Of the damaged block. */
  readonly blockId: string
  /** A trace of each of the three blocks. */
  readonly traceIds: readonly string[]
}

let root: string
let server: TestServer
const cases: Case[] = []

const all = [
  ...META.map((one) => ({ one, isListed: false, format: 'blockpack1' })),
  ...DATA.map((one) => ({ one, isListed: true, format: 'blockpack1' })),
  {
    one: ['vParquet4 cut in half', data((bytes) => bytes.subarray(0, bytes.length >> 1)), /object at byte \d+/] as const, // prettier-ignore
    isListed: true,
    format: 'vParquet4',
  },
]

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'damaged-blocks-'))
  for (const [n, { one, isListed, format }] of all.entries()) {
    const [what, damage, words] = one
    const tenant = `t${n}`
    const blockIds = [0, 1, 2].map((i) => blockIdOf(n, i))
    const traceIds: string[] = []
    for (const [i, blockId] of blockIds.entries()) {
      const folder = join(root, 'blocks', tenant, blockId)
      const source = memorySource(shopTraces({ seed: 1 + i, traces: TRACES_EACH }))
      const groups = groupsOf(source)
      const request = { blockId, tenant, compactionLevel: 0, groups, sink: new Folder(folder) }
      const meta = await encodingOf(format).write(request)
      writeFileSync(join(folder, 'meta.json'), JSON.stringify(meta))
      const ids = await (await source.group(0)).field('trace.id')
      traceIds.push(Buffer.from(ids!.bytes.subarray(0, 16)).toString('hex'))
      if (i === 1) damage(folder, meta)
    }
    cases.push({ tenant, what, words, isListed, blockId: blockIds[1]!, traceIds })
  }
  server = await TestServer.start({
    folder: root,
    flags: [
      '--multitenancy_enabled=true',
      '--storage.trace.local.path=blocks',
      '--overrides.defaults.compaction.compaction_disabled=true',
      '--server.log_level=warn',
    ],
  })
})
afterAll(async () => {
  await server.remove()
})

function blockIdOf(tenant: number, i: number): string {
  return `0000000${i}-0000-4000-8000-${String(tenant).padStart(12, '0')}`
}

interface Answered {
  readonly status: number
  readonly partial: string | null
  readonly json: Record<string, unknown>
}

async function ask(tenant: string, path: string): Promise<Answered> {
  const reply = await fetch(server.base + path, { headers: { 'x-scope-orgid': tenant } })
  const text = await reply.text()
  expect(text).not.toMatch(/\n\s+at /)
  const json = reply.ok ? (JSON.parse(text) as Record<string, unknown>) : { text }
  return { status: reply.status, partial: reply.headers.get('x-tempo-actors-partial'), json }
}

const range = `start=${END_S - 600}&end=${END_S + 600}`
const SEARCH = `/api/search?q=${encodeURIComponent('{ }')}&limit=1000&${range}`
const VALUES = `/api/v2/search/tag/resource.service.name/values?${range}`
const METRICS = `/api/metrics/query_range?q=${encodeURIComponent('{ } | rate() by (name)')}&step=60&${range}`

const tracesIn = ({ json }: Answered) =>
  new Set(((json.traces ?? []) as { traceID: string }[]).map(({ traceID }) => traceID.padStart(32, '0'))) // prettier-ignore

describe.each(all.map(({ one: [what] }, n) => [what, n] as const))(
  'a block of three that has %s',
  (_, n) => {
    it('leaves the others’ answers, and is named in them', async () => {
      const { tenant, words, blockId, traceIds, isListed } = cases[n]!
      const search = await ask(tenant, SEARCH)
      expect(search.status).toBe(200)
      expect(search.partial).toContain(`block ${blockId}`)
      expect(search.partial).toMatch(words)
      const found = tracesIn(search)
      expect(found.size).toBe(2 * TRACES_EACH)
      expect(traceIds.map((id) => found.has(id))).toEqual([true, false, true])
      const { completedJobs = 0, totalJobs } = search.json.metrics as Record<string, number>
      expect(completedJobs).toBeLessThan(totalJobs!)

      const values = await ask(tenant, VALUES)
      expect([values.status, values.partial]).toEqual([200, expect.stringMatching(words)])
      expect((values.json.tagValues as unknown[]).length).toBeGreaterThan(3)
      const metrics = await ask(tenant, METRICS)
      expect(metrics.status).toBe(200)
      expect(metrics.json).toMatchObject({ status: 'PARTIAL', message: expect.stringMatching(words) as string }) // prettier-ignore
      expect((metrics.json.series as unknown[]).length).toBeGreaterThan(3)
      // Names of attributes stand in the footer of a block: what is damaged elsewhere may not be touched.
      const tags = await ask(tenant, `/api/v2/search/tags?${range}`)
      expect(tags.status).toBe(200)
      if (!isListed) expect(tags.partial).toMatch(words)

      for (const id of [traceIds[0]!, traceIds[2]!]) {
        for (const path of [`/api/traces/${id}`, `/api/v2/traces/${id}`]) {
          const trace = await ask(tenant, path)
          expect([path, trace.status]).toEqual([path, 200])
        }
      }
      const lost = await ask(tenant, `/api/v2/traces/${traceIds[1]!}`)
      expect(lost.status).toBe(200)
      expect(lost.json).toMatchObject({ status: 'PARTIAL', message: expect.stringMatching(words) as string }) // prettier-ignore
      const v1 = await ask(tenant, `/api/traces/${traceIds[1]!}`)
      expect([v1.status, v1.json.text]).toEqual([404, expect.stringContaining(blockId)])
    })
  },
)

describe('the server with all of them', () => {
  it('answers tenants without such a block whole', async () => {
    expect((await ask('another', SEARCH)).partial).toBeNull()
  })

  it('lives, without a restart of any actor', async () => {
    const text = await (await fetch(`${server.base}/api/actors`)).text()
    const { components } = JSON.parse(text) as {
      components: { replicas: { name: string; restarts: number }[] }[]
    }
    const restarted = components.flatMap(({ replicas }) => replicas).filter((r) => r.restarts > 0)
    expect(restarted).toEqual([])
    expect(server.crashes).toBe(0)
  })

  it('names each in its log, once in a while and not a query, and counts them', async () => {
    for (let query = 0; query < 5; query++)
      for (const { tenant } of cases) await ask(tenant, SEARCH)
    const lines = server.log.split('\n')
    for (const { blockId, what, words, isListed } of cases) {
      const told = lines.filter((line) => line.includes(blockId))
      expect(told.length, what).toBeGreaterThan(0)
      expect(told.length, what).toBeLessThanOrEqual(isListed ? QUERIERS_MAX : 1)
      expect(told[0]!.replaceAll('\\"', '"'), what).toMatch(words)
    }
    expect(await server.metric('tempo_actors_blocklist_unusable_blocks')).toBe(META.length)
    expect(
      await server.metric('tempo_actors_querier_unreadable_blocks_total'),
    ).toBeGreaterThanOrEqual(5 * (DATA.length + 1))
  })

  it('takes a meta.json that was put right, and its answers are whole', async () => {
    const { tenant, blockId } = cases[0]!
    const folder = join(root, 'blocks', tenant, blockId)
    const good = JSON.parse(
      readFileSync(join(root, 'blocks', tenant, blockIdOf(0, 0), 'meta.json'), 'utf8'),
    ) as BlockMeta
    const size = readFileSync(join(folder, 'data.blockpack')).length
    writeFileSync(join(folder, 'meta.json'), JSON.stringify({ ...good, blockID: blockId, size }))
    await server.kill()
    await server.up()
    const search = await ask(tenant, SEARCH)
    expect([search.status, search.partial, tracesIn(search).size]).toEqual([200, null, 3 * TRACES_EACH]) // prettier-ignore
  })
})
