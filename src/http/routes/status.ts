/** Owns what operators look at: /ready, /metrics, /status pages, /api/echo and build information. */
import { Hono } from 'hono'
import { describeMemory } from '../../config/describe.js'
import type { ShowMode } from '../../config/show.js'
import { formatDuration } from '../../lib/units.js'
import type { AppDependencies, Env, ServiceStatus } from '../dependencies.js'

const ENDPOINTS = [
  'GET /ready',
  'GET /metrics',
  'GET /status',
  'GET /status/{version,services,endpoints,memory}',
  'GET /status/config?mode={diff,defaults}',
  'GET /status/{overrides,overrides/{tenant}}',
  'GET /status/runtime_config?mode=diff',
  'GET /api/echo',
  'GET /api/status/buildinfo',
  'GET /api/traces/{traceID}',
  'GET /api/v2/traces/{traceID}',
  'GET /api/search',
  'GET /api/search/tags',
  'GET /api/v2/search/tags',
  'GET /api/search/tag/{tagName}/values',
  'GET /api/v2/search/tag/{tagName}/values',
  'GET /api/metrics/query_range',
  'GET /api/metrics/query',
  'GET /api/actors',
  'GET /api/bus/dlq',
  'GET /api/bus/dlq/{id}?raw=true',
  'POST /api/bus/dlq/{id}/replay',
  'DELETE /api/bus/dlq/{id}',
]

export function statusRoutes({ status, config }: AppDependencies): Hono<Env> {
  const version = () =>
    `tempo-actors, version ${status.build.version} (node ${status.build.nodeVersion})\n`
  const services = async () => servicesTable(await status.services())
  // Loaded when somebody asks: the schema and YAML are memory that this thread does not need otherwise.
  const configText = async (mode: ShowMode) =>
    (await import('../../config/show.js')).showConfig(config, mode)
  const endpoints = () => ENDPOINTS.join('\n') + '\n'
  return new Hono<Env>()
    .get('/ready', async (c) => {
      const reason = await status.notReady()
      return reason === undefined ? c.text('ready\n') : c.text(`${reason}\n`, 503)
    })
    .get('/metrics', async (c) =>
      c.body(await status.metrics(), 200, {
        'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      }),
    )
    .get('/api/echo', (c) => c.text('echo'))
    .get('/api/status/buildinfo', (c) =>
      c.json({
        version: status.build.version,
        revision: status.build.revision,
        branch: '',
        buildUser: '',
        buildDate: '',
        goVersion: '',
        nodeVersion: status.build.nodeVersion,
      }),
    )
    .get('/status', async (c) =>
      c.text([version(), await services(), await configText(''), endpoints()].join('\n')),
    )
    .get('/status/version', (c) => c.text(version()))
    .get('/status/services', async (c) => c.text(await services()))
    .get('/status/config', async (c) => {
      const mode = c.req.query('mode') ?? ''
      const { isShowMode } = await import('../../config/show.js')
      if (isShowMode(mode)) return c.text(await configText(mode))
      return c.text(`mode must be diff or defaults, not ${JSON.stringify(mode)}\n`, 400)
    })
    .get('/status/endpoints', (c) => c.text(endpoints()))
    .get('/status/memory', (c) => c.text(describeMemory(config).join('\n') + '\n'))
}

function servicesTable(rows: readonly ServiceStatus[]): string {
  const width = Math.max(...rows.map((row) => row.name.length), 4)
  const lines = rows.map(
    (row) =>
      `${row.name.padEnd(width)}  ${row.state.padEnd(10)}  restarts=${row.restarts}  up=${formatDuration(Math.round(row.uptime_ms / 1000) * 1000)}`,
  )
  return lines.join('\n') + '\n'
}
