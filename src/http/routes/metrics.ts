/** Owns TraceQL metrics over HTTP: query_range and the instant query. */
import { Hono } from 'hono'
import { defaultStep_ns } from '../../traceql/intervals.js'
import { answered, type AppDependencies, type Env } from '../dependencies.js'
import { checkRange, longestMetrics } from '../longest-range.js'
import { BadParam, metricsRange, step_ns, wholeNumber } from '../params.js'

const EXEMPLARS_MAX = 100

export function metricsRoutes({ frontend, clock, config, limits }: AppDependencies): Hono<Env> {
  const { query_end_cutoff_ms, max_metrics_duration_ms } = config.query_frontend
  const longest = longestMetrics(max_metrics_duration_ms)
  const read = (tenant: string, url: string) => {
    const params = new URL(url).searchParams
    const query = params.get('q') ?? params.get('query') ?? ''
    if (query === '')
      throw new BadParam('please provide a TraceQL metrics query in the parameter q')
    const range = metricsRange(params, clock.now(), query_end_cutoff_ms)
    if (range.end_ns <= range.start_ns) throw new BadParam('start must be before end')
    checkRange(tenant, range, limits, longest)
    const exemplars = Math.min(
      wholeNumber(params, 'exemplars', EXEMPLARS_MAX, { zero: true }),
      EXEMPLARS_MAX,
    )
    const maxSeries = wholeNumber(params, 'maxSeries', 0, { zero: true })
    return { params, ask: { tenant, query, exemplars, maxSeries, ...range } }
  }
  return new Hono<Env>()
    .get('/api/metrics/query_range', async (c) => {
      const { params, ask } = read(c.get('tenant'), c.req.url)
      const step = step_ns(params)
      const query = { ...ask, step_ns: step > 0n ? step : defaultStep_ns(ask.start_ns, ask.end_ns) }
      return c.json(answered(c, await frontend.queryRange(query)) as object)
    })
    .get('/api/metrics/query', async (c) => {
      const { ask } = read(c.get('tenant'), c.req.url)
      return c.json(answered(c, await frontend.queryInstant({ ...ask, step_ns: 0n })) as object)
    })
}
