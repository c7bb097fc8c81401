import { describe, expect, it } from 'vitest'
import Frontend from '../../../src/actors/frontend/actor.js'
import type { UnusableBlock } from '../../../src/actors/backend-worker/contract.js'
import type { FrontendAsks } from '../../../src/actors/frontend/contract.js'
import type { Job, JobReply } from '../../../src/actors/querier/contract.js'
import { ParseError } from '../../../src/traceql/errors.js'
import { NO_TRACES, type FoundTrace } from '../../../src/traceql/search.js'
import { Universe } from '../../../src/bus/universe.js'
import { loadConfig } from '../../../src/config.js'
import type { SomeLimits } from '../../../src/config/limits.js'
import { LimitsPage } from '../../../src/limits/page.js'
import { encodeTenants } from '../../../src/limits/view.js'
import { MetricsPage } from '../../../src/lib/metrics.js'
import { Catalog } from '../../../src/storage/catalog.js'
import { record } from '../livestore/records.js'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import { blockId, meta } from './metas.js'

interface Query {
  readonly tenant: string
}
type Answer = (job: Job<Query>) => unknown

const STATS = { inspected_bytes: 10, inspectedSpans: 3, inspectedTraces: 1 }
const reply = <R>(result: R, failed: JobReply<R>['failed'] = []): JobReply<R> => ({
  result,
  stats: STATS,
  failed,
})

/** The real frontend; queriers and backend-worker answer what the test says. */
async function frontend(
  querier: Record<string, Answer>,
  blocks = [meta('single-tenant', 9)],
  own: Record<string, SomeLimits> = {},
  unread: readonly string[] = [],
  unusable: Readonly<Record<string, readonly UnusableBlock[]>> = {},
) {
  const universe = new Universe()
  const { config } = loadConfig({ files: [], env: {} })
  const shared: Record<string, SharedArrayBuffer> = { 'metrics-frontend': MetricsPage.create() }
  for (let p = 0; p < config.actors.bus.partitions; p++)
    shared[`catalog-${p}`] = Catalog.create(p, 8)
  shared.limits = LimitsPage.create()
  new LimitsPage(shared.limits).publish(encodeTenants(new Map(Object.entries(own))))
  const catalog = new Catalog(shared['catalog-0']!)
  const jobs: Job<Query>[] = []
  const counted = Object.entries(querier).map(([name, answer]) => [
    name,
    (job: Job<Query>) => {
      jobs.push(job)
      return Promise.resolve(job).then(answer)
    },
  ]) // prettier-ignore
  universe.stub('querier', Object.fromEntries(counted) as object)
  const tenants = { 'single-tenant': blocks }
  universe.stub('backend-worker', {
    blocklist: () => Promise.resolve({ version: 1, isWhole: true, tenants, unread, unusable }),
  })
  const asks = ['querier', 'backend-worker']
  await universe.spawn(Frontend, { component: 'frontend', config, shared, asks })
  return { universe, catalog, jobs, ask: universe.ask<FrontendAsks>('frontend') }
}

const traceQuery = { tenant: 'single-tenant', traceId: new Uint8Array(16).fill(1) }
const searchQuery = { tenant: 'single-tenant', query: '{}', limit: 2, spansPerSpanSet: 3 }

describe('trace by id', () => {
  it('asks every place that may hold a part of it, and puts the parts together', async () => {
    const { bytes } = record('single-tenant', 1)
    const { universe, catalog, jobs, ask } = await frontend({ traceById: () => reply([bytes]) })
    catalog.addHead(blockId(1), 'single-tenant', 7, 1)
    catalog.addHead(blockId(2), 'another', 8, 1)
    const { ok } = (await ask.traceById(traceQuery)) as { ok: { spanCount: number } }
    expect(jobs.flatMap((job) => job.sources.map((s) => s.blockId)).sort()).toEqual(
      [blockId(1), blockId(9)].sort(),
    )
    // The same spans from two places are the same spans.
    expect(ok.spanCount).toBe(3)
    await universe.stop()
  })

  it('that nobody has is an answer without a trace', async () => {
    const { universe, ask } = await frontend({ traceById: () => reply([]) })
    expect(await ask.traceById(traceQuery)).toMatchObject({
      ok: { trace: undefined, spanCount: 0 },
    })
    await universe.stop()
  })
})

describe('what went wrong', () => {
  it('in the question is a 400 with the words of the parser, and no job is run for it', async () => {
    const { universe, jobs, ask } = await frontend({ search: () => reply(NO_TRACES) })
    for (const query of ['{', '{ .a = }', 'x'.repeat(200_000)])
      expect(await ask.search({ ...searchQuery, query })).toMatchObject({
        refused: { status: 400 },
      })
    expect(jobs).toEqual([])
    await universe.stop()
  })

  it('in the backend is a 500 with the block’s name: it may answer the next time', async () => {
    const failed = [{ blockId: blockId(9), message: 'timeout', isDamaged: false }]
    const { universe, jobs, ask } = await frontend({ search: () => reply(NO_TRACES, failed) })
    const answer = (await ask.search(searchQuery)) as {
      refused: { status: number; message: string }
    }
    expect(answer.refused.status).toBe(500)
    expect(answer.refused.message).toContain(blockId(9))
    expect(jobs.length).toBeGreaterThan(1)
    await universe.stop()
  })

  it('in a querier for a moment is nothing that the asker sees', async () => {
    let calls = 0
    const { universe, ask } = await frontend({
      search: () => {
        if (++calls === 1) throw Object.assign(new Error('died'), { code: 'ACTOR_DOWN' })
        return reply(NO_TRACES)
      },
    })
    expect(await ask.search(searchQuery)).toHaveProperty('ok')
    await universe.stop()
  })

  it('is told to a querier’s question as it is', async () => {
    const { universe, ask } = await frontend({
      search: () => {
        throw new ParseError('unexpected }', { line: 1, column: 3 })
      },
    })
    expect(await ask.search(searchQuery)).toMatchObject({ refused: { status: 400 } })
    await universe.stop()
  })
})

describe('an answer of which blocks are missing', () => {
  const MISSING = 'not all blocks of the backend could be listed yet: spans in them are missing'
  const times = { start_ns: 0n, end_ns: 60_000_000_000n, step_ns: 60_000_000_000n }
  const metrics = { tenant: 'single-tenant', query: '{} | rate()', maxSeries: 0, exemplars: 0 }
  const tags = { tenant: 'single-tenant', query: '', limit: 0 }
  const answers = (failed: (job: Job<Query>) => JobReply<unknown>['failed'] = () => []) => {
    const answer =
      (result: object) =>
      (job: Job<Query>): unknown =>
        reply(result, failed(job))
    return {
      traceById: answer([record('single-tenant', 1).bytes]),
      search: answer(NO_TRACES),
      metrics: answer({ leaves: [[]], ...STATS, truncated: false, stopped: false }),
      tagNames: answer({ scopes: {}, inspected_bytes: 1, truncated: false }),
      tagValues: answer({ values: [], inspected_bytes: 1, truncated: false }),
    }
  }
  const askAll = async (
    unread: readonly string[],
    querier = answers(),
    blocks?: BlockMeta[],
    unusable?: Readonly<Record<string, readonly UnusableBlock[]>>,
  ) => {
    const { universe, ask } = await frontend(querier, blocks, {}, unread, unusable)
    const got = {
      trace: await ask.traceById(traceQuery),
      search: await ask.search(searchQuery),
      range: await ask.queryRange({ ...metrics, ...times }),
      instant: await ask.queryInstant({ ...metrics, ...times, step_ns: 0n }),
      names: await ask.tagNames({ ...tags, scope: '' }),
      values: await ask.tagValues({ ...tags, tag: '.a' }),
    }
    await universe.stop()
    return got
  }

  it('says so, whatever was asked', async () => {
    const got = await askAll(['another', 'single-tenant'])
    for (const one of Object.values(got)) expect(one).toMatchObject({ missing: MISSING })
    expect(got.trace).toMatchObject({ ok: { unread: MISSING, isUnreadForNow: true } })
    const status = { status: 'PARTIAL', message: MISSING }
    expect(got.range).toMatchObject({ ok: status })
    expect(got.instant).toMatchObject({ ok: status })
    // Where Tempo's answer has no status, a job stays undone.
    for (const one of [got.search, got.names, got.values])
      expect(one).toMatchObject({ ok: { metrics: { completedJobs: 1, totalJobs: 2 } } })
  })

  const DAMAGED = `block ${blockId(2)}: span.name at byte 77: checksum does not match`
  const damaged = answers(({ sources }) =>
    sources
      .filter(({ blockId: id }) => id === blockId(2))
      .map(({ blockId: id }) => ({ blockId: id, message: DAMAGED, isDamaged: true })),
  )
  const early = { startTime: '1970-01-01T00:00:00Z', endTime: '1970-01-01T00:00:30Z' }
  const three = [1, 2, 3].map((n) => meta('single-tenant', n, early))

  it('because one of three is damaged has what the others have, and names it, whatever was asked', async () => {
    const missing = `a block cannot be read, spans in it are missing: ${DAMAGED}`
    const got = await askAll([], damaged, three)
    for (const one of Object.values(got)) expect(one).toMatchObject({ missing })
    expect(got.trace).toMatchObject({ ok: { spanCount: 3, unread: missing, isUnreadForNow: false } }) // prettier-ignore
    for (const one of [got.range, got.instant])
      expect(one).toMatchObject({ ok: { status: 'PARTIAL', message: missing } })
    for (const one of [got.search, got.names, got.values])
      expect(one).toMatchObject({ ok: { metrics: { completedJobs: 3, totalJobs: 4 } } })
  })

  it('because meta.json of one cannot be used says so, unless its spans are read elsewhere', async () => {
    const reason = `block ${blockId(4)}: meta.json at byte 0: is empty`
    const unusable = { 'single-tenant': [{ blockId: blockId(4), reason }] }
    const missing = `a block cannot be read, spans in it are missing: ${reason}`
    const got = await askAll([], answers(), three, unusable)
    for (const one of Object.values(got)) expect(one).toMatchObject({ missing })
    const others = [meta('single-tenant', 4), meta('single-tenant', 5, { compactedFrom: [blockId(4)] })] // prettier-ignore
    for (const other of others)
      for (const one of Object.values(await askAll([], answers(), [other], unusable)))
        expect(one).not.toHaveProperty('missing')
    const { universe, catalog, ask } = await frontend(answers(), three, {}, [], unusable)
    catalog.addHead(blockId(4), 'single-tenant', 7, 1)
    expect(await ask.search(searchQuery)).not.toHaveProperty('missing')
    await universe.stop()
  })

  it('names some of many, each once, and no more of their words than fit', async () => {
    const words = (n: number) => `block ${blockId(n)}: ${'x'.repeat(10_000)}`
    const block = (n: number) => ({ blockId: blockId(n), reason: words(n) })
    const many = Array.from({ length: 50 }, (_, n) => block(n + 10))
    const got = await askAll(['single-tenant'], damaged, three, { 'single-tenant': many })
    const { missing } = got.search as { missing: string }
    expect(missing).toContain(MISSING)
    expect(missing).toContain(DAMAGED)
    expect(missing).toMatch(/^.*51 blocks cannot be read.*; and 48 more$/)
    expect(missing.length).toBeLessThan(1500)
  })

  it('says nothing to tenants of whom all is listed', async () => {
    const got = await askAll(['another'])
    for (const one of Object.values(got)) expect(one).not.toHaveProperty('missing')
    expect(got.range).not.toHaveProperty('ok.status')
    expect(got.search).toMatchObject({ ok: { metrics: { completedJobs: 1, totalJobs: 1 } } })
  })
})

describe('a tenant’s own limits', () => {
  it('hold for the size of an answer with tag values', async () => {
    const values = ['aaaa', 'bbbb', 'cccc'].map((value) => ({ type: 'string', value }))
    const tagValues = () => reply({ values, inspected_bytes: 1, truncated: false })
    const lengthFor = async (own: Record<string, SomeLimits>) => {
      const { universe, ask } = await frontend({ tagValues }, undefined, own)
      const query = { tenant: 'single-tenant', tag: '.a', query: '', limit: 0 }
      const { ok } = (await ask.tagValues(query)) as { ok: { tagValues: readonly unknown[] } }
      await universe.stop()
      return ok.tagValues.length
    }
    expect(await lengthFor({})).toBe(3)
    expect(await lengthFor({ another: { max_bytes_per_tag_values_query: 10 } })).toBe(3)
    expect(await lengthFor({ 'single-tenant': { max_bytes_per_tag_values_query: 10 } })).toBe(1)
  })

  it('hold for the size of a trace in an answer', async () => {
    const { bytes } = record('single-tenant', 1)
    const own = { 'single-tenant': { max_bytes_per_trace: 10 } }
    const { universe, ask } = await frontend({ traceById: () => reply([bytes]) }, undefined, own)
    const { ok } = (await ask.traceById(traceQuery)) as { ok: { partial?: string } }
    expect(ok.partial).toContain('max bytes: 10')
    await universe.stop()
  })
})

describe('a search', () => {
  /** Blocks a minute apart, the newest first. */
  const blocks = Array.from({ length: 300 }, (_, n) => {
    const at = new Date(1_700_000_000_000 - n * 60_000).toISOString()
    return meta('single-tenant', n + 1, { startTime: at, endTime: at })
  })
  const minute_ns = (n: number) => BigInt(Date.parse(blocks[n]!.endTime)) * 1_000_000n
  const found = (traceId: string, start_ns: bigint): FoundTrace => ({
    ...{ traceId, rootServiceName: 's', rootTraceName: 'n', start_ns, end_ns: start_ns + 1n },
    ...{ spansets: [], services: {} },
  })

  it('of all sources asks the newest first, each once', async () => {
    const { universe, jobs, ask } = await frontend({ search: () => reply(NO_TRACES) }, blocks)
    await ask.search(searchQuery)
    const asked = jobs.flatMap((job) => job.sources.map((source) => source.blockId))
    expect([...asked].sort()).toEqual(blocks.map((block) => block.blockID).sort())
    expect(asked[0]).toBe(blocks[0]!.blockID)
    await universe.stop()
  })

  it('stops when its limit is full of traces that are newer than all that was not asked', async () => {
    const answer = () =>
      reply({ ...NO_TRACES, traces: [found('1', minute_ns(0)), found('2', minute_ns(0))] })
    const { universe, jobs, ask } = await frontend({ search: answer }, blocks)
    const { ok } = (await ask.search(searchQuery)) as { ok: { traces: readonly unknown[] } }
    expect(ok.traces).toHaveLength(2)
    expect(jobs.flatMap((job) => job.sources).length).toBeLessThan(blocks.length)
    await universe.stop()
  })

  it('does not stop at its limit while something newer may be in a source that was not asked', async () => {
    const answer = () =>
      reply({ ...NO_TRACES, traces: [found('1', minute_ns(299)), found('2', minute_ns(299))] })
    const { universe, jobs, ask } = await frontend({ search: answer }, blocks)
    await ask.search(searchQuery)
    expect(jobs.flatMap((job) => job.sources)).toHaveLength(blocks.length)
    await universe.stop()
  })
})
