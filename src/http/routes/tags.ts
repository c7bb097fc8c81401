/** Owns tag names and tag values, v1 and v2. */
import { Hono, type Context } from 'hono'
import { answered, type AppDependencies, type Env } from '../dependencies.js'
import { checkRange, longestSearch } from '../longest-range.js'
import { BadParam, searchRange, wholeNumber } from '../params.js'

const SCOPES = new Set([
  '',
  'none',
  'resource',
  'span',
  'event',
  'link',
  'instrumentation',
  'intrinsic',
])

export function tagRoutes({ frontend, clock, config, limits }: AppDependencies): Hono<Env> {
  const longest = longestSearch(config.query_frontend.max_search_duration_ms)
  const names = async (c: Context<Env>) => {
    const tenant = c.get('tenant')
    const params = new URL(c.req.url).searchParams
    const scope = params.get('scope') ?? ''
    if (!SCOPES.has(scope)) {
      throw new BadParam(
        `invalid scope: ${JSON.stringify(scope)}, one of ${[...SCOPES].filter(Boolean).join(', ')}`,
      )
    }
    const limit = wholeNumber(params, 'limit', 0, { zero: true })
    const query = params.get('q') ?? ''
    const range = searchRange(params, clock.now())
    checkRange(tenant, range, limits, longest)
    return answered(
      c,
      await frontend.tagNames({
        tenant,
        scope: scope === 'none' ? '' : scope,
        query,
        limit,
        ...range,
      }),
    )
  }
  const values = async (c: Context<Env>, tag: string) => {
    const tenant = c.get('tenant')
    if (tag === '') throw new BadParam('please provide a tag name: /api/v2/search/tag/{tag}/values')
    const params = new URL(c.req.url).searchParams
    const limit = wholeNumber(params, 'limit', 0, { zero: true })
    const query = params.get('q') ?? ''
    const range = searchRange(params, clock.now())
    checkRange(tenant, range, limits, longest)
    return answered(c, await frontend.tagValues({ tenant, tag, query, limit, ...range }))
  }
  return new Hono<Env>()
    .get('/api/v2/search/tags', async (c) => c.json((await names(c)) as object))
    .get('/api/search/tags', async (c) => {
      const { scopes = [], metrics } = await names(c)
      const tagNames = [
        ...new Set(scopes.filter((s) => s.name !== 'intrinsic').flatMap((s) => s.tags ?? [])),
      ].sort()
      return c.json({ tagNames, metrics })
    })
    .get('/api/v2/search/tag/:tag{.+}/values', async (c) =>
      c.json((await values(c, c.req.param('tag'))) as object),
    )
    .get('/api/search/tag/:tag{.+}/values', async (c) => {
      const { tagValues = [], metrics } = await values(c, legacyName(c.req.param('tag')))
      return c.json({ tagValues: [...new Set(tagValues.map((v) => v.value))], metrics })
    })
}

/** v1 knows unscoped names only: `service.name` is `.service.name`. */
function legacyName(tag: string): string {
  const isIntrinsic = [
    'name',
    'status',
    'kind',
    'duration',
    'rootName',
    'rootServiceName',
  ].includes(tag)
  return isIntrinsic || /^(resource|span|event|link|instrumentation)\.|^\.|:/.test(tag)
    ? tag
    : `.${tag}`
}
