/** The http actor owns Tempo's API port: it turns HTTP into asks of the frontend, and shows what the actors are doing. */
import { getRequestListener } from '@hono/node-server'
import { createServer, type Server } from 'node:http'
import type { FrontendApi, FrontendAsks } from '../actors/frontend/contract.js'
import { DISTRIBUTOR_GROUP } from '../actors/distributor/contract.js'
import { LIVESTORE_GROUP, type LivestoreAsks } from '../actors/livestore/contract.js'
import type { ReceiverAsks } from '../actors/receiver/contract.js'
import type { Actor, Asker, Context } from '../bus/actor.js'
import { Ring } from '../bus/ring.js'
import type { SupervisorAsks, SupervisorStatus } from '../bus/supervisor.js'
import type { Config } from '../config.js'
import { buildInfo } from '../lib/build-info.js'
import { Metrics, renderMetrics, SECONDS_BUCKETS } from '../lib/metrics.js'
import { limitsExposition } from '../limits/exposition.js'
import { limitsIn } from '../limits/view.js'
import { createApp } from './app.js'
import { ActorGauges, type RingView } from './actor-gauges.js'
import { deadLetterApi } from './dead-letters.js'
import type { CrashWay } from './dependencies.js'
import { PerConnection } from './per-connection.js'

const ASK_DEADLINE_MS = 2000
/** Slack over the query's own deadline, so that the frontend's answer about it arrives. */
const DEADLINE_SLACK_MS = 2000
/** Requests in flight get this long when the actor stops. */
const DRAIN_MS = 2000
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000
/** A query travels in the request line, percent-encoded: one that is too long is to be told so, not cut off. */
const HEADER_BYTES_MAX = 256 * 1024
const CONNECTIONS_MAX = 1024
/** How often Node looks for requests past their time. */
const TIMEOUT_CHECK_MS = 1000

export default class Http implements Actor {
  readonly #ctx: Context<Config>
  #server: Server | undefined

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
  }

  async start(): Promise<void> {
    const { config, clock, log, shared, component } = this.#ctx
    const metrics = new Metrics(shared[`metrics-${component}`])
    const build = buildInfo()
    metrics
      .gauge('tempo_build_info', 'A constant 1 with what runs.', [
        'version',
        'revision',
        'branch',
        'goversion',
      ])
      .labels(build.version, build.revision, '', build.nodeVersion)
      .set(1)
    const gauges = new ActorGauges(metrics, ringViews(shared))
    const supervisor = this.#ctx.ask<SupervisorAsks>('supervisor')
    const status = () => supervisor.status(undefined, { deadline_ms: ASK_DEADLINE_MS })
    const limits = limitsIn(shared, config.overrides)
    const app = createApp({
      config,
      limits,
      clock,
      log,
      frontend: this.#frontend(),
      requestDuration: metrics.histogram(
        'tempo_request_duration_seconds',
        'From a request to its answer.',
        SECONDS_BUCKETS,
        ['method', 'route', 'status_code', 'ws'],
      ),
      status: {
        build,
        notReady: async () => notReady(await status()),
        services: async () => replicas(await status()),
        metrics: async () => {
          gauges.update(await status(), clock.now())
          const text = await renderMetrics(pages(shared), { processMetrics: true })
          return text + limitsExposition(limits)
        },
      },
      control: {
        list: async () => replicas(await status()),
        crash: async (name, how: CrashWay) => {
          const reply = await supervisor.crash({ name, how }, { deadline_ms: ASK_DEADLINE_MS })
          if (reply.kind === 'refused') throw new Error(`cannot crash ${name}: ${reply.reason}`)
        },
      },
      deadLetters: deadLetterApi(
        this.#ctx.ask<LivestoreAsks>('livestore'),
        this.#ctx.ask<ReceiverAsks>('receiver'),
        config.actors.ack_timeout_ms + DEADLINE_SLACK_MS,
      ),
    })
    const listener = getRequestListener(app.fetch)
    const connections = new PerConnection()
    const server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      },
      (request, response) => {
        if (connections.admits(request, response)) void listener(request, response)
      },
    )
    server.maxConnections = CONNECTIONS_MAX
    this.#server = server
    await listen(server, config.server.http_listen_address, config.server.http_listen_port)
  }

  async stop(): Promise<void> {
    const server = this.#server
    if (!server) return
    const isClosed = new AbortController()
    void this.#ctx.clock.sleep(DRAIN_MS, isClosed.signal).then(() => server.closeAllConnections())
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeIdleConnections()
    })
    isClosed.abort()
  }

  /** The frontend's contract with the deadline of the API on every ask. */
  #frontend(): FrontendApi {
    const { config } = this.#ctx
    const ask: Asker<FrontendAsks> = this.#ctx.ask<FrontendAsks>('frontend')
    const limit_ms = config.query_frontend.api_timeout_ms || config.querier.query_timeout_ms
    const options = { deadline_ms: limit_ms + DEADLINE_SLACK_MS }
    return {
      traceById: (query) => ask.traceById(query, options),
      search: (query) => ask.search(query, options),
      queryRange: (query) => ask.queryRange(query, options),
      queryInstant: (query) => ask.queryInstant(query, options),
      tagNames: (query) => ask.tagNames(query, options),
      tagValues: (query) => ask.tagValues(query, options),
    }
  }
}

function pages(shared: Readonly<Record<string, SharedArrayBuffer>>) {
  return Object.entries(shared)
    .filter(([name]) => name.startsWith('metrics-'))
    .map(([name, sab]) => ({ actor: name.slice('metrics-'.length), sab }))
}

function ringViews(shared: Readonly<Record<string, SharedArrayBuffer>>): RingView[] {
  return Object.entries(shared)
    .filter(([name]) => /^(ingress|traces)-\d+$/.test(name))
    .map(([name, sab]) => {
      const ring = new Ring(sab)
      const group = name.startsWith('ingress') ? DISTRIBUTOR_GROUP : LIVESTORE_GROUP
      return { ring, group, index: ring.groupIndex(group) }
    })
}

function notReady(status: SupervisorStatus): string | undefined {
  if (status.state !== 'running') return `not ready: ${status.state}`
  const waiting = status.children
    .filter((child) => child.state !== 'ready')
    .map((child) => child.name)
  return waiting.length > 0 ? `not ready: waiting for ${waiting.join(', ')}` : undefined
}

function replicas(status: SupervisorStatus) {
  return status.children.map((child) => ({
    name: child.name,
    component: child.component,
    state: child.state === 'ready' ? 'running' : child.state,
    generation: child.generation,
    restarts: child.restarts,
    uptime_ms: Math.round(child.uptime_ms),
    threadId: child.threadId,
    heapUsed_bytes: child.vitals.heap_used_bytes,
    heapLimit_bytes: child.vitals.heap_limit_bytes,
    eventLoopLag_ms: child.vitals.loop_lag_mean_ms,
    mailboxDepth: child.vitals.asks_serving,
    lastExit: child.exits.at(-1)?.text,
  }))
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is taken' : error.message
      reject(
        new Error(
          `cannot listen on ${host || '0.0.0.0'}:${port} (server.http_listen_port): ${why}`,
        ),
      )
    })
    server.listen(port, host || undefined, () => resolve())
  })
}
