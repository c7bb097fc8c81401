/** Owns Tempo's HTTP API as one Hono app: tenants, errors and the route families. It holds no socket and no state. */
import { Hono } from 'hono'
import { compress } from 'hono/compress'
import { errorText } from '../lib/log.js'
import { tenantResolver } from '../lib/tenant.js'
import { Refused, type AppDependencies, type Env } from './dependencies.js'
import { BadParam } from './params.js'
import { searchRoutes } from './routes/search.js'
import { tagRoutes } from './routes/tags.js'
import { traceRoutes } from './routes/traces.js'
import { metricsRoutes } from './routes/metrics.js'
import { overridesRoutes } from './routes/overrides.js'
import { statusRoutes } from './routes/status.js'
import { actorRoutes } from './routes/actors.js'
import { deadLetterRoutes } from './routes/dead-letters.js'

/** Builds the app; every route answers or throws `BadParam` / `Refused`. */
export function createApp(deps: AppDependencies): Hono<Env> {
  const app = new Hono<Env>()
  app.use(async (c, next) => {
    const started = deps.clock.monotonic()
    await next()
    const seconds = (deps.clock.monotonic() - started) / 1000
    deps.requestDuration
      .labels(c.req.method, routeName(c.req.path), String(c.res.status), 'false')
      .observe(seconds)
  })
  app.use(compress())
  const tenantOf = tenantResolver(deps.config.multitenancy_enabled)
  app.use('/api/*', async (c, next) => {
    if (isTenantless(c.req.path)) return next()
    const tenancy = tenantOf(c.req.header('x-scope-orgid'))
    if ('refused' in tenancy) {
      return c.text(tenancy.message, tenancy.refused === 'unauthenticated' ? 401 : 400)
    }
    c.set('tenant', tenancy.tenant)
    return next()
  })
  app.route('/', traceRoutes(deps))
  app.route('/', searchRoutes(deps))
  app.route('/', tagRoutes(deps))
  app.route('/', metricsRoutes(deps))
  app.route('/', statusRoutes(deps))
  app.route('/', overridesRoutes(deps))
  app.route('/', actorRoutes(deps))
  app.route('/', deadLetterRoutes(deps))
  app.notFound((c) => c.text(`404 page not found: ${c.req.path}\n`, 404))
  app.onError((error, c) => {
    if (error instanceof BadParam) return c.text(error.message, 400)
    if (error instanceof Refused) return c.text(error.refusal.message, error.refusal.status as 400)
    const { status, message } = failureStatus(error)
    deps.log.warn('request failed', { path: c.req.path, status, error: errorText(error) })
    return c.text(message, status as 500)
  })
  return app
}

function failureStatus(error: Error): { status: number; message: string } {
  const { code } = error as { code?: unknown }
  // Legacy tags are read here, before the frontend is asked.
  if (typeof code === 'string' && code.startsWith('TRACEQL_'))
    return { status: 400, message: error.message }
  if (code === 'DEADLINE_EXCEEDED')
    return { status: 504, message: `query timed out: ${error.message}` }
  if (code === 'ACTOR_DOWN') return { status: 503, message: `${error.message}; try again` }
  if (code === 'OVERLOADED') return { status: 429, message: error.message }
  return { status: 500, message: `internal error: ${error.message}` }
}

function isTenantless(path: string): boolean {
  const prefixes = ['/api/status/', '/api/actors', '/api/bus/']
  return path === '/api/echo' || prefixes.some((prefix) => path.startsWith(prefix))
}

/** Tempo's route label: the path with its parameters named and slashes as underscores. */
function routeName(path: string): string {
  const named = path
    .replace(/^\/api\/(v2\/)?traces\/[^/]+$/, '/api/$1traces/traceid')
    .replace(/^\/api\/(v2\/)?search\/tag\/.+\/values$/, '/api/$1search/tag/tagname/values')
    .replace(/^\/api\/actors\/[^/]+\/crash$/, '/api/actors/name/crash')
    .replace(/^\/api\/bus\/dlq\/[^/]+(\/replay)?$/, '/api/bus/dlq/id$1')
  const known =
    /^\/(api\/(v2\/)?(traces\/traceid|search(\/tags|\/tag\/tagname\/values)?|echo|status\/buildinfo|metrics\/query(_range)?|actors(\/name\/crash)?|bus\/dlq(\/id(\/replay)?)?)|ready|metrics|status(\/(version|services|config|endpoints|memory))?)$/
  return known.test(named) ? named.slice(1).replaceAll('/', '_') : 'other'
}
