/** Owns an app over a frontend that answers what a test says and remembers what it was asked. */
import { createApp } from '../../src/http/app.js'
import type { DeadLetterApi } from '../../src/http/dead-letters.js'
import type { AppDependencies } from '../../src/http/dependencies.js'
import type { FrontendApi, Refusal } from '../../src/actors/frontend/contract.js'
import { loadConfig, type Config } from '../../src/config.js'
import { FakeClock } from '../../src/lib/fake-clock.js'
import { silentLog } from '../../src/lib/log.js'
import { Metrics, MetricsPage, renderMetrics } from '../../src/lib/metrics.js'
import type { LimitsView } from '../../src/limits/view.js'
import { noLimits } from '../limits/no-limits.js'

export interface FakeAnswers {
  /** Answered by every method. */
  refused?: Refusal
  /** Thrown by every method. */
  thrown?: Error
  /** Said by every method. */
  missing?: string
  traceById?: object
  search?: object
  queryRange?: object
  queryInstant?: object
  tagNames?: object
  tagValues?: object
}

interface Changes {
  limits?: LimitsView
  multitenancy_enabled?: boolean
  query_frontend?: Partial<Config['query_frontend']>
  actors?: Partial<Config['actors']>
  deadLetters?: DeadLetterApi
}

const noDeadLetters: DeadLetterApi = {
  list: () => Promise.resolve({ letters: [], size_bytes: 0, max_letters: 2, max_bytes: 100 }),
  find: () => Promise.resolve(undefined),
  replay: () => Promise.resolve({ kind: 'unknown' }),
  discard: () => Promise.resolve(false),
}

export const NOW_S = 1_700_000_000

export function appWith(answers: FakeAnswers = {}, changes: Changes = {}) {
  const { config } = loadConfig({ files: [], env: {} })
  const asked: { method: string; query: Record<string, unknown> }[] = []
  const frontend = new Proxy({} as FrontendApi, {
    get: (_, method: keyof FakeAnswers) => (query: Record<string, unknown>) => {
      asked.push({ method, query })
      if (answers.thrown) return Promise.reject(answers.thrown)
      if (answers.refused) return Promise.resolve({ refused: answers.refused })
      const { missing } = answers
      const said = missing === undefined ? {} : { missing }
      return Promise.resolve({ ok: answers[method] ?? {}, ...said })
    },
  })
  const page = MetricsPage.create()
  const requestDuration = new Metrics(page).histogram('request_seconds', 'x', [1], [
    'method',
    'route',
    'status_code',
    'ws',
  ]) // prettier-ignore
  const status = { reason: undefined as string | undefined }
  const crashed: string[] = []
  const replica = {
    ...{ component: 'querier', state: 'running', generation: 1, restarts: 0, uptime_ms: 90_000 },
    ...{ threadId: 3, heapUsed_bytes: 1, eventLoopLag_ms: 1, mailboxDepth: 0 },
  }
  const replicas = [
    { ...replica, name: 'querier-0' },
    { ...replica, name: 'querier-1', state: 'restarting' },
  ]
  const deps: AppDependencies = {
    config: {
      ...config,
      multitenancy_enabled: changes.multitenancy_enabled ?? false,
      query_frontend: { ...config.query_frontend, ...changes.query_frontend },
      actors: { ...config.actors, ...changes.actors },
    },
    clock: new FakeClock(NOW_S * 1000),
    log: silentLog,
    frontend,
    status: {
      build: { version: '1.2.3', revision: 'abc', nodeVersion: 'v20.20.2' },
      notReady: () => Promise.resolve(status.reason),
      services: () => Promise.resolve(replicas),
      metrics: () => Promise.resolve('up 1\n'),
    },
    limits: changes.limits ?? noLimits(),
    control: {
      list: () => Promise.resolve(replicas),
      crash: (name, how) => Promise.resolve(void crashed.push(`${name} ${how}`)),
    },
    deadLetters: changes.deadLetters ?? noDeadLetters,
    requestDuration,
  }
  const app = createApp(deps)
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const reply = await app.request(path, { headers })
    return { status: reply.status, text: await reply.text(), headers: reply.headers }
  }
  const series = () => renderMetrics([{ actor: 'http-0', sab: page }])
  return { app, get, asked, status, crashed, series }
}
