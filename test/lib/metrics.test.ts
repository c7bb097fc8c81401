/** Owns the proof of metrics: they outlive their writer, merge over actors, and stay within their page. */
import { describe, expect, it } from 'vitest'
import { exponentialBuckets, Metrics, MetricsPage, renderMetrics } from '../../src/lib/metrics.js'

const lines = (text: string) => text.split('\n').filter((line) => line !== '')
const render = async (...sabs: SharedArrayBuffer[]) =>
  lines(await renderMetrics(sabs.map((sab, i) => ({ actor: `actor-${i}`, sab }))))

describe('a page', () => {
  it('keeps counting where it stood when its actor is replaced', async () => {
    const sab = MetricsPage.create()
    const declare = () => {
      const metrics = new Metrics(sab)
      return {
        spans: metrics.counter('spans_total', 'Spans.', ['tenant']),
        live: metrics.gauge('live_bytes', 'Bytes.'),
        commit: metrics.histogram('commit_seconds', 'Commits.', [0.1, 1], ['partition']),
      }
    }
    const first = declare()
    first.spans.labels('a').inc(3)
    first.live.set(10)
    first.commit.labels('0').observe(0.5)
    const second = declare()
    second.spans.labels('b').inc()
    second.spans.labels('a').inc(4)
    second.live.dec(4)
    second.commit.labels('0').observe(2)
    second.commit.labels('0').observe(0.1)
    expect(await render(sab)).toEqual([
      '# HELP spans_total Spans.',
      '# TYPE spans_total counter',
      'spans_total{tenant="a"} 7',
      'spans_total{tenant="b"} 1',
      '# HELP live_bytes Bytes.',
      '# TYPE live_bytes gauge',
      'live_bytes 6',
      '# HELP commit_seconds Commits.',
      '# TYPE commit_seconds histogram',
      'commit_seconds_bucket{partition="0",le="0.1"} 1',
      'commit_seconds_bucket{partition="0",le="1"} 2',
      'commit_seconds_bucket{partition="0",le="+Inf"} 3',
      'commit_seconds_sum{partition="0"} 2.6',
      'commit_seconds_count{partition="0"} 3',
      expect.stringContaining('# HELP tempo_actors_metrics_dropped_total'),
      '# TYPE tempo_actors_metrics_dropped_total counter',
      'tempo_actors_metrics_dropped_total{actor="actor-0"} 0',
    ])
  })

  it('shows a series without labels as zero before its first use, and one with labels not', async () => {
    const sab = MetricsPage.create()
    const metrics = new Metrics(sab)
    metrics.counter('flushes_total', 'Flushes.')
    metrics.counter('discarded_total', 'Discarded.', ['reason'])
    const text = await render(sab)
    expect(text).toContain('flushes_total 0')
    expect(text.filter((line) => line.startsWith('discarded_total'))).toEqual([])
  })

  it('that is full drops further series, counts them, and harms no other', async () => {
    const sab = MetricsPage.create({ slots: 64 + 3, text_bytes: 4096 })
    const counter = new Metrics(sab).counter('c_total', 'C.', ['tenant'])
    for (let n = 0; n < 10; n++) counter.labels(`t${n}`).inc()
    counter.labels('t9').inc(1e9)
    const text = await render(sab)
    expect(text.filter((line) => line.startsWith('c_total'))).toEqual([
      'c_total{tenant="t0"} 1',
      'c_total{tenant="t1"} 1',
      'c_total{tenant="t2"} 1',
    ])
    expect(text).toContain('tempo_actors_metrics_dropped_total{actor="actor-0"} 8')
  })

  it('that has no room for text takes no family either, and nothing throws', async () => {
    const sab = MetricsPage.create({ slots: 100, text_bytes: 64 })
    const metrics = new Metrics(sab)
    metrics.counter('a_total', 'A.').inc()
    const histogram = metrics.histogram('b_seconds', 'A help that is far longer than the room.')
    histogram.observe(1)
    const text = await render(sab)
    expect(text.some((line) => line.includes('b_seconds'))).toBe(false)
    expect(text.at(-1)).toMatch(/dropped_total\{actor="actor-0"\} [1-9]/)
  })

  it('cuts labels that are too long, in one way every time', async () => {
    const sab = MetricsPage.create()
    const counter = new Metrics(sab).counter('c_total', 'C.', ['tenant'])
    counter.labels('x'.repeat(1000)).inc()
    counter.labels('x'.repeat(2000)).inc()
    expect(await render(sab)).toContain(`c_total{tenant="${'x'.repeat(256)}"} 2`)
  })

  it('holds any text in help and labels', async () => {
    const sab = MetricsPage.create()
    const counter = new Metrics(sab).counter('c_total', 'Späne "x"\nof C:\\', ['tenant'])
    counter.labels('ü"\\\n').inc()
    const text = await render(sab)
    expect(text).toContain('# HELP c_total Späne "x"\\nof C:\\\\')
    expect(text).toContain('c_total{tenant="ü\\"\\\\\\n"} 1')
  })
})

describe('several pages', () => {
  it('sum counters and histograms of the same labels; of gauges the last stands', async () => {
    const sabs = [1, 2].map((n) => {
      const sab = MetricsPage.create()
      const metrics = new Metrics(sab)
      if (n === 2) metrics.counter('other_total', 'Shifts the slots of this page.').inc()
      metrics.counter('c_total', 'C.', ['tenant']).labels('a').inc(n)
      metrics.gauge('g', 'G.').set(n)
      metrics.histogram('h', 'H.', [1, 2]).observe(n)
      return sab
    })
    const text = await render(...sabs)
    expect(text).toContain('c_total{tenant="a"} 3')
    expect(text).toContain('g 2')
    expect(text).toContain('h_bucket{le="1"} 1')
    expect(text).toContain('h_bucket{le="2"} 2')
    expect(text).toContain('h_sum 3')
    expect(text.filter((line) => line.startsWith('# TYPE c_total'))).toHaveLength(1)
  })

  it('that disagree on a name keep the first, and say so', async () => {
    const [a, b] = [MetricsPage.create(), MetricsPage.create()]
    new Metrics(a).counter('x', 'X.').inc(5)
    new Metrics(b).gauge('x', 'X.').set(7)
    const text = await render(a, b)
    expect(text).toContain('x 5')
    expect(text).toContain('tempo_actors_metrics_dropped_total{actor="actor-1"} 1')
  })
})

it('refuses what Prometheus would, and a second declaration that differs', () => {
  const metrics = new Metrics()
  expect(() => metrics.counter('a-b', 'X.')).toThrow('"a-b"')
  expect(() => metrics.counter('a', 'X.', ['le'])).toThrow('le')
  expect(() => metrics.counter('a', 'X.', ['__x'])).toThrow('__x')
  expect(() => metrics.histogram('h', 'H.', [2, 1])).toThrow('ascending')
  expect(() => metrics.histogram('h', 'H.', exponentialBuckets(1, 2, 63))).toThrow('1 to 62')
  const counter = metrics.counter('c_total', 'C.', ['tenant'])
  expect(metrics.counter('c_total', 'C.', ['tenant'])).toBeDefined()
  expect(() => metrics.counter('c_total', 'C.', ['user'])).toThrow('declared twice')
  expect(() => counter.inc()).toThrow('labels (tenant) were given 0 values')
  expect(() => counter.labels('a').inc(-1)).toThrow('by=-1')
})

it('adds the metrics of the process when asked to', async () => {
  const sab = MetricsPage.create()
  const [without, withThem] = [
    await renderMetrics([{ actor: 'a', sab }]),
    await renderMetrics([{ actor: 'a', sab }], { processMetrics: true }),
  ]
  expect(without).not.toContain('process_cpu_seconds_total')
  expect(withThem).toContain('process_cpu_seconds_total')
  expect(await renderMetrics([{ actor: 'a', sab }], { processMetrics: true })).toContain(
    'nodejs_eventloop_lag_p99_seconds',
  )
})
