/** Owns an actor's thread from its first line to its last: the one entry of every worker. */
import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { assert } from '../lib/assert.js'
import { Collector } from '../lib/collector.js'
import { createLog } from '../lib/log.js'
import { systemClock } from '../lib/time.js'
import type { Actor, ActorClass } from './actor.js'
import { die } from './chaos.js'
import { createContext } from './context.js'
import { serve, ServeGauge } from './port.js'
import type { Birth, FromActor, ToActor } from './protocol.js'
import { Switchboard } from './switchboard.js'
import { VitalsWriter } from './vitals.js'

/** Distance of two looks at the event loop; a lag shorter than this is not seen every time. */
const LAG_RESOLUTION_MS = 250
/** Beats until the lag histogram starts anew: its p99 speaks of the last few seconds, not of the whole life. */
const LAG_WINDOW_BEATS = 40
/** Reading the heap's and the loop's figures is most of what an idle thread does: once a second is enough for a gauge. */
const GAUGES_BEATS = 4
const NS_PER_MS = 1e6

assert(parentPort !== null, 'bus/worker.js runs on a worker thread only')
const parent = parentPort
const birth = workerData as Birth
const clock = systemClock
const stopping = new AbortController()
const ended = new AbortController()
const published = { handled: 0, failed: 0 }
const log = createLog(birth.log)
const vitals = new VitalsWriter(birth.vitals)
const collector = new Collector(birth.shared.pressure)
const gauge = new ServeGauge()
const switchboard = new Switchboard({ clock, targets: birth.targets })
const served = new Set<MessagePort>()
const context = createContext({
  ...birth,
  log,
  clock,
  switchboard,
  abort: stopping.signal,
  progress: () => {
    vitals.progress()
    collector.spare()
  },
  crash: (error) => {
    // The throw below may land in somebody's catch; this one cannot.
    setImmediate(() => {
      throw error
    })
    throw error
  },
})

let actor: Actor | undefined

// A listener on the parent's port keeps the thread alive; a pending Atomics.waitAsync does not.
parent.on('message', (message: ToActor) => {
  switch (message.type) {
    case 'connect':
      switchboard.connect(message.target, message.actorId, message.port)
      break
    case 'serve':
      answer(message.port)
      break
    case 'down':
      switchboard.down(message.target, message.actorId)
      break
    case 'replicas':
      switchboard.setReplicas(message.component, message.names)
      break
    case 'stop':
      if (!stopping.signal.aborted) void stop()
      break
    case 'die':
      die(message.how)
      break
  }
})

const beating = beat()
const started = start()
await started.catch((error: unknown) => {
  // A start that was told to stop may give up; any other failure ends the thread, and the supervisor reads it there.
  if (!stopping.signal.aborted) throw error
})
await beating

async function start(): Promise<void> {
  const module = (await import(birth.module)) as { default?: ActorClass<unknown> }
  if (typeof module.default !== 'function') {
    throw new TypeError(`${birth.module} has no default export that is an actor class`)
  }
  actor = new module.default(context)
  await actor.start()
  if (!stopping.signal.aborted) post({ type: 'ready' })
}

/** Runs the actor down, then takes away all that keeps the event loop alive, so that the thread ends by itself. */
async function stop(): Promise<void> {
  stopping.abort()
  await started.catch(() => undefined)
  await actor?.stop()
  ended.abort()
  await beating
  post({ type: 'stopped' })
  switchboard.close()
  for (const port of served) port.close()
  parent.close()
}

function answer(port: MessagePort): void {
  assert(actor !== undefined, `${birth.name} was asked to serve before it was made`)
  served.add(port)
  port.once('close', () => served.delete(port))
  serve(port, actor.asks ?? {}, { name: birth.name, clock, gauge })
}

/** Gives the signs of life, and publishes the gauges with each. */
async function beat(): Promise<void> {
  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS })
  lag.enable()
  for (let beats = 1; !ended.signal.aborted; beats++) {
    vitals.progress()
    collector.look()
    collector.spare()
    if (beats % GAUGES_BEATS === 1) publish(lag)
    if (beats % LAG_WINDOW_BEATS === 0) lag.reset()
    await clock.sleep(birth.heartbeat_interval_ms, ended.signal)
  }
  publish(lag)
  lag.disable()
}

function publish(lag: IntervalHistogram): void {
  const heap = getHeapStatistics()
  vitals.gauges({
    heap_used_bytes: heap.used_heap_size,
    heap_limit_bytes: heap.heap_size_limit,
    external_bytes: heap.external_memory,
    loop_lag_mean_ms: lateness_ms(lag.mean),
    loop_lag_p99_ms: lateness_ms(lag.percentile(99)),
    asks_serving: gauge.serving,
    asks_in_flight: switchboard.inFlight,
  })
  vitals.count(gauge.handled - published.handled, gauge.failed - published.failed)
  published.handled = gauge.handled
  published.failed = gauge.failed
}

/** The histogram holds distances of a repeating timer; what goes beyond its period is the lag. */
function lateness_ms(distance_ns: number): number {
  const late_ms = distance_ns / NS_PER_MS - LAG_RESOLUTION_MS
  return late_ms > 0 ? late_ms : 0
}

function post(message: FromActor): void {
  parent.postMessage(message)
}
