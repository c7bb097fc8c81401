/** Owns /api/search: TraceQL or legacy tags in, Tempo's SearchResponse out. */
import { Hono } from 'hono'
import { legacyTagsToQuery } from '../../traceql/legacy-tags.js'
import { answered, type AppDependencies, type Env } from '../dependencies.js'
import { checkRange, longestSearch } from '../longest-range.js'
import { BadParam, searchRange, wholeNumber } from '../params.js'

const RESERVED = new Set([
  'q',
  'tags',
  'minDuration',
  'maxDuration',
  'limit',
  'spss',
  'start',
  'end',
  'since',
  'skip_ast_transformations',
])

export function searchRoutes({
  frontend,
  clock,
  config,
  limits: tenants,
}: AppDependencies): Hono<Env> {
  const limits = config.query_frontend
  const longest = longestSearch(limits.max_search_duration_ms)
  return new Hono<Env>().get('/api/search', async (c) => {
    const params = new URL(c.req.url).searchParams
    const range = searchRange(params, clock.now(), limits.query_end_cutoff_ms)
    checkRange(c.get('tenant'), range, tenants, longest)
    const limit = wholeNumber(params, 'limit', limits.default_result_limit)
    if (limits.max_result_limit > 0 && limit > limits.max_result_limit) {
      throw new BadParam(
        `invalid limit: ${limit} is more than the greatest allowed, ${limits.max_result_limit}`,
      )
    }
    const spansPerSpanSet = wholeNumber(params, 'spss', limits.default_spans_per_span_set, {
      zero: true,
    })
    if (
      limits.max_spans_per_span_set > 0 &&
      (spansPerSpanSet > limits.max_spans_per_span_set || spansPerSpanSet === 0)
    ) {
      throw new BadParam(
        `invalid spss: ${spansPerSpanSet} must be 1 to ${limits.max_spans_per_span_set}`,
      )
    }
    const reply = await frontend.search({
      tenant: c.get('tenant'),
      query: queryOf(params),
      limit,
      spansPerSpanSet,
      ...range,
    })
    return c.json(answered(c, reply) as object)
  })
}

function queryOf(params: URLSearchParams): string {
  const query = params.get('q')
  const tags = params.get('tags')
  if (query !== null && tags !== null) {
    throw new BadParam("invalid request: can't specify tags and q in the same query")
  }
  if (query !== null && query !== '') return query
  let legacy = tags ?? ''
  const isRange = params.has('start') || params.has('end')
  if (tags === null && query === null && !isRange) legacy = strayTags(params)
  return legacyTagsToQuery(legacy, params.get('minDuration') ?? '', params.get('maxDuration') ?? '')
}

/** Early clients sent each tag as a parameter of its own. */
function strayTags(params: URLSearchParams): string {
  const pairs: string[] = []
  for (const [name, value] of params) {
    if (!RESERVED.has(name) && value !== '') pairs.push(`${name}=${JSON.stringify(value)}`)
  }
  return pairs.join(' ')
}
