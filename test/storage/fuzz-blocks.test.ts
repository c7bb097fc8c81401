/**
 * Both block readers against files that lie: each case is a block with one to three lies in it, most with right checksums. Only `CorruptBlock`
 * or `UnsupportedBlock` may come of it, soon, and without much memory.
 *
 *     FUZZ_BLOCKS=100000 npx vitest run --project unit test/storage/fuzz-blocks.test.ts      the full run
 *     FUZZ_BLOCKS_SEED=2 ...                                                                  other cases
 *     FUZZ_BLOCKS_CASE=4711 ...                                                               that case alone
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ColumnSource, FieldName, RowGroup } from '../../src/otlp/columns.js'
import { assembleTrace } from '../../src/storage/block/assemble.js'
import { CorruptBlock, UnsupportedBlock, type BlockMeta } from '../../src/storage/block/encoding.js'
import { encodingOf, openBlock } from '../../src/storage/block/registry.js'
import { planMetrics, metricsSource } from '../../src/traceql/metrics.js'
import { planSearch } from '../../src/traceql/plan.js'
import { searchSource } from '../../src/traceql/search.js'
import { MemoryBackend } from '../support/memory-backend.js'
import { memorySource } from '../support/memory-source.js'
import { Random } from '../support/random.js'
import { scramble } from '../support/scramble.js'
import { shopTraces } from '../support/shop-traces.js'
import { watchAllocations } from '../support/allocations.js'
import { groupsOf } from './block/blocks.js'
import { PARTS as PACK_PARTS, Rebuilt } from './block/rebuilt.js'
import { wildTraces } from './block/wild-traces.js'
import { mutateParquet, PARTS as PARQUET_PARTS } from './vparquet/rebuilt-parquet.js'
import { tempoBlock } from './vparquet/tempo-blocks.js'

const CASES = Number(process.env.FUZZ_BLOCKS ?? 200)
const SEED = Number(process.env.FUZZ_BLOCKS_SEED ?? 1)
const ONLY = process.env.FUZZ_BLOCKS_CASE
/** For opening a file and asking it everything; a case takes some ms by itself. */
const TIME_MAX_MS = 10_000
/** Of all that reading a file of N bytes allocates in typed arrays together: so much and so many times N. */
const ALLOCATED_MAX_BYTES = 64 * 2 ** 20
const ALLOCATED_MAX_TIMES = 512
const ROWS_ASSEMBLED_MAX = 5
/** Blocks that Tempo wrote have everything there is in them, and take a second each. */
const TEMPO_ONE_IN = 20
/** What a damaged envelope says: nothing behind it was looked at. */
const ENVELOPE = /checksum|too short|does not end with PAR1|not a blockpack|ends? before/i

const FIELDS: readonly FieldName[] = ['trace.id', 'trace.start', 'trace.end', 'trace.rootName', 'trace.rootService', 'span.id', 'span.name', 'span.kind', 'span.start', 'span.duration', 'span.status'] // prettier-ignore
const QUERIES = ['{ span.http.status_code > 1 && name != "x" }', '{ resource.service.name =~ "c.*" || event:name != "" } | count() > 1', '{ } >> { status = error }'] // prettier-ignore

const METRICS = planMetrics('{ } | quantile_over_time(duration, .5) by (name)', {
  start_ns: 1_699_999_000_000_000_000n,
  end_ns: 1_700_001_000_000_000_000n,
  step_ns: 60_000_000_000n,
  maxSeries: 100,
  exemplars: 1,
})

interface Sample {
  readonly name: string
  readonly meta: BlockMeta
  readonly data: Uint8Array
  readonly others: ReadonlyMap<string, Uint8Array>
  readonly path: string
}

let samples: Sample[]
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fuzz-blocks-'))
  samples = [
    await built('blockpack1', 'wild', memorySource(wildTraces(new Random(4)))),
    await built('blockpack1', 'shop', memorySource(shopTraces({ traces: 2 }))),
    await built('vParquet4', 'shop', memorySource(shopTraces({ traces: 1 }))),
    await built('vParquet5', 'wild', memorySource(wildTraces(new Random(4)))),
    ...['vparquet4-edge', 'vparquet5-edge'].map((name) => {
      const { meta, backend, data, folder: at } = tempoBlock(name)
      return { name, meta, data, others: backend.objects, path: `${at}/data.parquet` }
    }),
  ]
}, 60_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function built(version: string, of: string, source: ColumnSource): Promise<Sample> {
  const backend = new MemoryBackend()
  const [blockId, tenant] = ['11111111-2222-4333-8444-555555555555', 'single-tenant']
  const groups = groupsOf(source)
  const sink = backend.sink(tenant, blockId)
  const encoding = encodingOf(version)
  const meta = await encoding.write({ blockId, tenant, compactionLevel: 0, groups, sink })
  const path = `${tenant}/${blockId}/${encoding.dataObject}`
  return { name: `${version} ${of}`, meta, data: backend.objects.get(path)!, others: backend.objects, path } // prettier-ignore
}

interface Mutated {
  readonly part: string
  readonly where: string
  readonly data: Uint8Array
  readonly meta: BlockMeta
}

function mutated(random: Random, { meta, data, name }: Sample): Mutated | undefined {
  if (random.oneIn(8)) return enveloped(random, data, meta)
  if (name.startsWith('blockpack')) {
    const rebuilt = new Rebuilt(data)
    const part = random.oneIn(3) ? undefined : random.pick(PACK_PARTS)
    let where: string = part ?? ''
    for (let lies = 1 + random.below(3); lies > 0; lies--) {
      if (part) rebuilt.mutate(part, random)
      else where = rebuilt.lie(random)
    }
    try {
      const out = rebuilt.encode()
      return { part: part ?? 'numbers', where, data: out, meta: { ...meta, size: out.length } }
    } catch {
      return undefined // a lie that the writer cannot write
    }
  }
  const part = random.pick(PARQUET_PARTS)
  const file = mutateParquet(random, data, part)
  return file && { part, where: file.where, data: file.data, meta: { ...meta, size: file.data.length } } // prettier-ignore
}

/** Damage that nobody covers up. */
function enveloped(random: Random, data: Uint8Array, meta: BlockMeta): Mutated {
  if (random.oneIn(2)) {
    const cut = data.slice(0, random.below(data.length))
    const size = random.oneIn(2) ? cut.length : meta.size
    return { part: 'cut', where: `at ${cut.length}`, data: cut, meta: { ...meta, size } }
  }
  const flips = scramble(data.slice(), random)
  return { part: 'flip', where: '', data: flips, meta: { ...meta, footerSize: random.pick([0, meta.footerSize, Number.MAX_SAFE_INTEGER]) } } // prettier-ignore
}

/** Opens the block and asks it everything that queries and compaction ask. */
async function readAll(meta: BlockMeta, backend: MemoryBackend, random: Random): Promise<void> {
  const source = await openBlock(meta, backend)
  await source.locate(new Uint8Array(16).fill(5))
  await source.traceFilter?.()
  const limits = { limit: 5, spansPerSpanSet: 3 }
  await searchSource(source, planSearch(random.pick(QUERIES)), limits)
  if (random.oneIn(3)) await metricsSource(source, METRICS)
  for (let i = 0; i < Math.min(source.groupCount, 4); i++) await readGroup(await source.group(i))
  await source.close()
}

async function readGroup(group: RowGroup): Promise<void> {
  await group.parents()
  for (const level of ['event', 'link'] as const) await group.offsets(level)
  for (const field of FIELDS) await group.field(field)
  for (const level of ['resource', 'span', 'event'] as const) {
    for (const key of (await group.attributes(level)).slice(0, 20)) {
      await group.attribute(key)
      await group.mayHave?.(key, 'GET')
    }
  }
  const rows = group.counts.trace
  for (let row = 0; row < Math.min(rows, ROWS_ASSEMBLED_MAX); row++) await assembleTrace(group, row)
  if (rows > ROWS_ASSEMBLED_MAX) await assembleTrace(group, rows - 1)
}

interface Outcome {
  readonly error: Error | undefined
  readonly took_ms: number
  readonly allocated_bytes: number
}

async function outcomeOf(
  sample: Sample,
  { meta, data }: Mutated,
  random: Random,
): Promise<Outcome> {
  const backend = new MemoryBackend()
  for (const [path, bytes] of sample.others) backend.objects.set(path, bytes)
  backend.objects.set(sample.path, data)
  const watch = watchAllocations(8 * limitFor(data))
  const started = performance.now()
  let error: Error | undefined
  try {
    await readAll(meta, backend, random)
  } catch (thrown) {
    error = thrown as Error
  } finally {
    watch.end()
  }
  return { error, took_ms: performance.now() - started, allocated_bytes: watch.allocated_bytes }
}

const limitFor = (data: Uint8Array) => ALLOCATED_MAX_BYTES + ALLOCATED_MAX_TIMES * data.length

function faultIn(sample: Sample, data: Uint8Array, outcome: Outcome): string | undefined {
  const { error, took_ms, allocated_bytes } = outcome
  if (took_ms > TIME_MAX_MS) return `took ${Math.round(took_ms)} ms`
  if (allocated_bytes > limitFor(data)) return `allocated ${allocated_bytes} bytes for a file of ${data.length}` // prettier-ignore
  if (!error || error instanceof UnsupportedBlock) return undefined
  if (!(error instanceof CorruptBlock)) return error.stack ?? String(error)
  const { blockId, section, offset, message } = error
  const isNamed = blockId === sample.meta.blockID && section !== '' && Number.isSafeInteger(offset) && offset >= 0 // prettier-ignore
  return isNamed && message.includes(blockId) ? undefined : `does not say where: ${message}`
}

test(
  'nothing but a typed error that says where comes out of a block that lies',
  { timeout: 0 },
  async () => {
    const counts = new Map<string, { cases: number; behind: number; corrupt: number }>()
    const faults: string[] = []
    let [cases, behind, unwritten, slowest_ms, most_bytes] = [0, 0, 0, 0, 0]
    const started = performance.now()
    const numbers = ONLY === undefined ? Array.from({ length: CASES }, (_, n) => n) : [Number(ONLY)]
    for (const number of numbers) {
      // Of a case that hangs, this says which it is.
      if (CASES > 1000) writeFileSync(join(folder, 'case'), `${number}\n`)
      const random = new Random(SEED * 1_000_003 + number)
      const isTempos = random.oneIn(TEMPO_ONE_IN)
      const sample = random.pick(isTempos ? samples.slice(-2) : samples.slice(0, -2))
      const file = mutated(random, sample)
      if (!file) {
        unwritten++
        continue
      }
      const outcome = await outcomeOf(sample, file, random)
      const fault = faultIn(sample, file.data, outcome)
      if (fault) faults.push(`case ${number}, ${sample.name}, ${file.part} ${file.where}: ${fault}`)
      const isBehind = !ENVELOPE.test(outcome.error?.message ?? '')
      const key = `${sample.name.split(' ')[0]!.replace(/-edge$/, ' of Tempo')} ${file.part}`
      const count = counts.get(key) ?? { cases: 0, behind: 0, corrupt: 0 }
      counts.set(key, count)
      count.cases++
      cases++
      if (isBehind) count.behind++
      if (isBehind) behind++
      if (outcome.error) count.corrupt++
      slowest_ms = Math.max(slowest_ms, outcome.took_ms)
      most_bytes = Math.max(most_bytes, outcome.allocated_bytes)
      if (faults.length >= 20) break
    }
    const took_s = (performance.now() - started) / 1000
    const rows = [...counts].sort().map(([key, c]) => `  ${key.padEnd(32)} ${String(c.cases).padStart(6)} files, ${String(c.behind).padStart(6)} behind the envelope, ${String(c.corrupt).padStart(6)} refused`) // prettier-ignore
    console.log(`seed ${SEED}: ${cases} files in ${took_s.toFixed(1)} s (${(cases / took_s).toFixed(1)}/s), ${behind} behind the envelope, ${unwritten} not written; slowest ${slowest_ms.toFixed(0)} ms, most ${(most_bytes / 2 ** 20).toFixed(1)} MiB\n${rows.join('\n')}`) // prettier-ignore
    expect(faults.join('\n')).toBe('')
    if (ONLY === undefined) expect(behind).toBeGreaterThan(cases / 2)
  },
)
