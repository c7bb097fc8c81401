/**
 * Owns the OTLP/gRPC door: TraceService/Export with the message as raw bytes, and grpc.health.v1. The only file that imports
 * @grpc/grpc-js.
 *
 * It listens on a socket of its own and hands connections to grpc-js, because grpc-js bounds no connections, says nothing
 * useful about a taken port, and without channelz does not close sessions by force.
 */
import {
  Metadata,
  Server,
  ServerCredentials,
  status as GrpcStatus,
  type ConnectionInjector,
  type ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js'
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import { createServer, type Server as SocketServer, type Socket } from 'node:net'
import { errorText, silentLog, type Log } from '../../lib/log.js'
import { systemClock, type Clock } from '../../lib/time.js'
import {
  RPC,
  encodeExportResponse,
  encodeRpcStatus,
  type RpcCode,
} from '../../otlp/export-reply.js'
import { budgetOf, type Budget } from './budget.js'
import { CallGuard, type GuardedCall } from './call-guard.js'
import { Connections } from './connections.js'
import type { Door, DoorLoad, Ingest } from './contract.js'
import { listenOn } from './listen.js'
import { ShieldedSocket } from './shielded-socket.js'
import type { TenantResolver } from '../../lib/tenant.js'
import { failureOf, failureOfPush, type Failure } from './verdict.js'

export const EXPORT_PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
export const HEALTH_PATH = '/grpc.health.v1.Health/Check'
const EXPORT_SERVICE = 'opentelemetry.proto.collector.trace.v1.TraceService'

export interface GrpcDoorOptions {
  readonly endpoint: string
  readonly ingest: Ingest
  readonly tenantOf: TenantResolver
  /** The configuration key of the endpoint, for errors. */
  readonly key?: string // default 'distributor.receivers.otlp.protocols.grpc.endpoint'
  readonly max_message_bytes?: number // default 16 MiB, as in Tempo
  readonly retryAfter_ms?: number // default 5000, for refusals that name no time
  readonly max_connections?: number // default 1024
  readonly max_streams?: number // default 128: at once on one connection; the client queues the rest
  /** At or over these, new calls are refused before their message is read. */
  readonly max_inflight_requests?: number // default 4096
  readonly max_inflight_bytes?: number // default 128 MiB
  /** Shared with other doors; default one of its own with the two bounds above. */
  readonly budget?: Budget
  /** From a call's headers to the end of its message. */
  readonly receive_timeout_ms?: number // default 60000
  readonly log?: Log
  readonly clock?: Clock
}

/** Peers that vanished without a word are noticed after this. */
const KEEPALIVE_MS = 120_000
const KEEPALIVE_TIMEOUT_MS = 20_000
/** Connections are bounded, so those without a call are told to come back when they have one. */
const CONNECTION_IDLE_MS = 600_000
const CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024
const STREAM_WINDOW_BYTES = 1024 * 1024
const HEALTH_SERVING = 1
const HEALTH_NOT_SERVING = 2

const CODES: Record<RpcCode, GrpcStatus> = {
  [RPC.OK]: GrpcStatus.OK,
  [RPC.INVALID_ARGUMENT]: GrpcStatus.INVALID_ARGUMENT,
  [RPC.RESOURCE_EXHAUSTED]: GrpcStatus.RESOURCE_EXHAUSTED,
  [RPC.INTERNAL]: GrpcStatus.INTERNAL,
  [RPC.UNAVAILABLE]: GrpcStatus.UNAVAILABLE,
  [RPC.UNAUTHENTICATED]: GrpcStatus.UNAUTHENTICATED,
}

type Call = ServerUnaryCall<Buffer, Uint8Array>
type Reply = sendUnaryData<Uint8Array>

export class GrpcDoor implements Door {
  readonly #options: Required<GrpcDoorOptions>
  readonly #server: Server
  readonly #injector: ConnectionInjector
  readonly #connections = new Connections()
  readonly #listener: SocketServer
  readonly #budget: Budget
  readonly #guard: CallGuard
  readonly #widened = new WeakSet<object>()
  #draining = false

  constructor(options: GrpcDoorOptions) {
    this.#options = withDefaults(options)
    const { max_message_bytes, max_streams, max_connections } = this.#options
    this.#budget = this.#options.budget
    this.#guard = new CallGuard({ ...this.#options, budget: this.#budget })
    this.#server = new Server({
      'grpc.max_receive_message_length': max_message_bytes,
      'grpc.max_concurrent_streams': max_streams,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.max_connection_idle_ms': CONNECTION_IDLE_MS,
      'grpc.enable_channelz': 0,
      interceptors: [this.#admit],
    })
    this.#server.register(EXPORT_PATH, this.#export, asBuffer, identity, 'unary')
    this.#server.register(HEALTH_PATH, this.#health, asBuffer, identity, 'unary')
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
    this.#listener = createServer({ noDelay: true }, (socket) => this.inject(socket))
    this.#listener.maxConnections = max_connections
  }

  get load(): DoorLoad {
    const { requests, bytes } = this.#budget
    return { connections: this.#connections.size, requests, bytes }
  }

  listen(): Promise<number> {
    return listenOn(this.#listener, this.#options.endpoint, this.#options.key)
  }

  /** Takes a connection that somebody else accepted, such as one on a port shared with HTTP. Do not resume it before. */
  inject(socket: Socket): void {
    if (this.#draining) {
      socket.destroy()
      return
    }
    this.#connections.add(socket)
    this.#guard.connected(socket)
    socket.on('error', (error) =>
      this.#options.log.debug('connection lost', { err: errorText(error) }),
    )
    const shielded = new ShieldedSocket(socket, () => this.#guard.ending(socket))
    this.#injector.injectConnection(shielded)
  }

  async drain(deadline_ms: number): Promise<void> {
    if (this.#draining) return
    this.#draining = true
    const { clock, log } = this.#options
    const closed = new Promise<void>((resolve) => {
      if (this.#listener.listening) this.#listener.close(() => resolve())
      else resolve()
    })
    this.#connections.endHalfClosed(clock)
    const idle = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()))
    const waiting = new AbortController()
    await Promise.race([idle, clock.sleep(deadline_ms, waiting.signal)])
    waiting.abort()
    const connections = this.#connections.size
    if (connections > 0) log.warn('connections closed by force', { connections, deadline_ms })
    this.#guard.stop()
    this.#server.forceShutdown()
    await this.#connections.destroyAll()
    await closed
  }

  /** Refuses a call before its message is read. An interceptor may return the call as it is, so the others cost nothing. */
  readonly #admit: ServerInterceptor = (method, call) => {
    this.#widen(call)
    const refuse = (text: string) => {
      call.sendStatus(statusOf(failureOf('unavailable', text, this.#options.retryAfter_ms)))
    }
    if (method.path === EXPORT_PATH && this.#budget.isFull) refuse(this.#budget.refuse())
    else {
      this.#guard.admit(call as GuardedCall, (why) =>
        refuse(why === 'full' ? this.#budget.refuse() : this.#slowText()),
      )
    }
    return call as ServerInterceptingCall
  }

  #slowText(): string {
    return `the message did not arrive within ${this.#options.receive_timeout_ms} ms`
  }

  /** Lets a connection send more before it hears from us; at HTTP/2's 64 KiB a client 20 ms away gets 3 MB/s through. */
  #widen(call: object): void {
    // grpc-js offers no setting for it on the server. Its call has the stream, whatever its types say; else nothing happens.
    const session = (call as { stream?: ServerHttp2Stream }).stream?.session
    if (!session || session.destroyed || this.#widened.has(session)) return
    this.#widened.add(session)
    ;(session as ServerHttp2Session).setLocalWindowSize(CONNECTION_WINDOW_BYTES)
    session.settings({ initialWindowSize: STREAM_WINDOW_BYTES })
  }

  readonly #export = (call: Call, reply: Reply): void => {
    const body = call.request
    const orgId = call.metadata.get('x-scope-orgid')[0]
    const tenancy = this.#options.tenantOf(typeof orgId === 'string' ? orgId : undefined)
    if ('refused' in tenancy) {
      reply(statusOf(failureOf(tenancy.refused, tenancy.message, 0)))
      return
    }
    // The guard has counted its bytes as they came, and does until its stream is closed.
    this.#budget.enter(0)
    const answer = (send: () => void) => {
      this.#budget.leave(0)
      send()
    }
    this.#options.ingest.push({ tenant: tenancy.tenant, body }).then(
      (result) =>
        answer(() => {
          if (result.ok) reply(null, encodeExportResponse(result))
          else reply(statusOf(failureOfPush(result, this.#options.retryAfter_ms)))
        }),
      (error: unknown) =>
        answer(() => {
          this.#options.log.error('push failed', { err: errorText(error) })
          reply(statusOf(failureOf('internal', 'the store failed on this request', 0)))
        }),
    )
  }

  readonly #health = (call: Call, reply: Reply): void => {
    const service = healthService(call.request)
    if (service !== '' && service !== EXPORT_SERVICE) {
      reply({ code: GrpcStatus.NOT_FOUND, details: `unknown service '${service}'` })
      return
    }
    const serving = this.#draining ? HEALTH_NOT_SERVING : HEALTH_SERVING
    reply(null, Uint8Array.of(0x08, serving))
  }
}

function withDefaults(options: GrpcDoorOptions): Required<GrpcDoorOptions> {
  const bounds = { max_inflight_requests: 4096, max_inflight_bytes: 128 * 1024 * 1024, ...options }
  return {
    ...bounds,
    budget: budgetOf(bounds),
    key: 'distributor.receivers.otlp.protocols.grpc.endpoint',
    max_message_bytes: 16 * 1024 * 1024,
    retryAfter_ms: 5000,
    max_connections: 1024,
    max_streams: 128,
    receive_timeout_ms: 60_000,
    log: silentLog,
    clock: systemClock,
    ...options,
  }
}

function statusOf({ status }: Failure): { code: GrpcStatus; details: string; metadata: Metadata } {
  const metadata = new Metadata()
  metadata.set('grpc-status-details-bin', asBuffer(encodeRpcStatus(status)))
  return { code: CODES[status.code], details: status.message, metadata }
}

/** HealthCheckRequest has one field: 1, the service's name. */
function healthService(request: Buffer): string {
  if (request.length < 2 || request[0] !== 0x0a) return ''
  return request.toString('utf8', 2, 2 + request[1]!)
}

function identity(message: Buffer): Buffer {
  return message
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
