import { beforeAll, describe, expect, test } from 'vitest'
import type { ColumnSource } from '../../../src/otlp/columns.js'
import { assembleTrace } from '../../../src/storage/block/assemble.js'
import { openBlock } from '../../../src/storage/block/registry.js'
import { mergeMetrics, metricsSource, planMetrics } from '../../../src/traceql/metrics.js'
import { toQueryRangeResponse } from '../../../src/traceql/metrics-response.js'
import { planSearch } from '../../../src/traceql/plan.js'
import { searchSource } from '../../../src/traceql/search.js'
import { tagNamesOf, tagValuesOf } from '../../../src/traceql/tags.js'
import { memorySource } from '../../support/memory-source.js'
import { decodeTraces } from '../../support/otlp-objects.js'
import { groupsOf } from '../block/blocks.js'
import { tempoBlock } from './tempo-blocks.js'

const SEARCHES = [
  '{}',
  '{ resource.service.name = "edge" }',
  '{ resource.service.name =~ "z.*" }',
  '{ resource.service.name != "zip" }',
  '{ resource.k8s.pod.name = 5 }',
  '{ resource.res.arr = "q" }',
  '{ span.http.status_code = 503 }',
  '{ span.http.status_code >= 400 }',
  '{ span.http.status_code = "not-int" }',
  '{ .http.status_code != nil }',
  '{ span.http.method = 5 }',
  '{ .http.url =~ "u" }',
  '{ span.http.route = "/x" || name = "op1" }',
  '{ name = "op1" }',
  '{ span.nowhere = nil }',
  '{ span.sa = "c" }',
  '{ span.ia = 3 }',
  '{ span.da > 1.0 }',
  '{ span.one = "solo" }',
  '{ span.max = 9223372036854775807 }',
  '{ span.min < 0 && span.neg = -5 }',
  '{ span.dn = -0.5 }',
  '{ span.t = true }',
  '{ span.empty = "" }',
  '{ span.n > 2 }',
  '{ kind = server }',
  '{ status = error }',
  '{ statusMessage != "" }',
  '{ duration > 100ns }',
  '{ traceDuration > 1ms }',
  '{ rootServiceName = "" }',
  '{ nestedSetParent < 0 }',
  '{ kind = client } << { kind = server }',
  '{ } >> { kind = client }',
  '{ event:name != "" }',
  '{ event:timeSinceStart > 0 }',
  '{ event.empty = "" }',
  '{ link:spanID != "" }',
  '{ link.f = false }',
  '{ instrumentation:name != "" }',
  '{ instrumentation.sb = 3 }',
  '{ } | count() > 2',
  '{ } | avg(duration) > 100ns',
  '{ } | by(resource.service.name) | count() > 1',
  '{ } | select(span.http.status_code, resource.service.name)',
]
const NOWHERE = ['{ name = "there is no such name" }', '{ span.nowhere = 1 }', '{ span.sa = "x" }']
const METRICS = [
  '{} | rate()',
  '{} | count_over_time() by(resource.service.name)',
  '{} | rate() by(span.http.status_code)',
  '{} | quantile_over_time(duration, .5, .99)',
  '{ kind = server } | max_over_time(duration)',
  '{} | histogram_over_time(duration)',
]
const FIRST_NS = 1_795_247_000_000_000_000n

/**
 * As texts. Spans stand in the order in which they were stored. What Tempo finds out of a trace is as Tempo has it: it knows no
 * root's name when that batch came without a resource, and no start of 0.
 */
async function search(source: ColumnSource, query: string): Promise<string[]> {
  const options = { limit: 0, spansPerSpanSet: 5000 }
  const { traces } = await searchSource(source, planSearch(query), options)
  return traces
    .filter(({ traceId }) => traceId !== WITHOUT_START)
    .map((trace) => {
      const rootTraceName = trace.rootServiceName && trace.rootTraceName
      const spansets = trace.spansets.map((set) => ({
        ...set,
        spans: set.spans.map(textOf).sort(),
      }))
      return textOf({ ...trace, rootTraceName, spansets })
    })
}

const WITHOUT_START = '7000000000000000000000000000007'
const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item))

/** Series as texts, in an order of their own. */
async function metrics(source: ColumnSource, query: string): Promise<string[]> {
  const end_ns = FIRST_NS + 3_600_000_000_000n
  const plan = planMetrics(query, {
    start_ns: FIRST_NS,
    end_ns,
    step_ns: 60_000_000_000n,
    exemplars: 0,
    maxSeries: 0,
  })
  const answer = toQueryRangeResponse(plan, mergeMetrics(plan, [await metricsSource(source, plan)]))
  return (answer.series ?? []).map((series) => JSON.stringify(series)).sort()
}

describe.each(['vparquet4-edge', 'vparquet5-edge'])('the engine over %s', (name) => {
  let block: ColumnSource
  /** The same traces as plain objects, which tell what the right answer is. */
  let objects: ColumnSource

  beforeAll(async () => {
    const { meta, backend } = tempoBlock(name)
    block = await openBlock(meta, backend)
    const traces = []
    for await (const group of groupsOf(block)) {
      for (let row = 0; row < group.counts.trace; row++) {
        traces.push(...decodeTraces(await assembleTrace(group, row)))
      }
    }
    objects = memorySource(traces)
  }, 60_000)

  test('answers searches as over plain objects', async () => {
    const hits: number[] = []
    for (const query of [...SEARCHES, ...NOWHERE]) {
      const found = await search(block, query)
      const should = await search(objects, query)
      // A whole answer would be too long to be shown where it differs.
      const wrong = found.filter((text, i) => text !== should[i]).slice(0, 2)
      const right = should.filter((text, i) => text !== found[i]).slice(0, 2)
      expect({ query, count: found.length, wrong }).toEqual({
        query,
        count: should.length,
        wrong: right,
      })
      hits.push(found.length)
    }
    // Queries that find nothing would prove nothing.
    expect(SEARCHES.filter((_, i) => hits[i] === 0)).toEqual([])
  }, 60_000)

  test('answers metrics as over plain objects', async () => {
    for (const query of METRICS) {
      const series = await metrics(block, query)
      expect(series.length).toBeGreaterThan(0)
      expect({ query, series }).toEqual({ query, series: await metrics(objects, query) })
    }
  }, 60_000)

  test('lists tags and values as over plain objects', async () => {
    for (const query of ['', '{ kind = server }']) {
      const { scopes } = await tagNamesOf(block, '', query)
      expect(scopes).toEqual((await tagNamesOf(objects, '', query)).scopes)
    }
    for (const tag of ['resource.service.name', 'span.http.status_code', 'name', '.http.method']) {
      const { values } = await tagValuesOf(block, tag)
      expect(values.length).toBeGreaterThan(0)
      expect({ tag, values }).toEqual({ tag, values: (await tagValuesOf(objects, tag)).values })
    }
  }, 60_000)
})
