import { connect } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { DISTRIBUTOR_GROUP, INGRESS_TOPIC } from '../../../src/actors/distributor/contract.js'
import { LIVESTORE_GROUP, TRACES_TOPIC } from '../../../src/actors/livestore/contract.js'
import Receiver from '../../../src/actors/receiver/actor.js'
import { Acks } from '../../../src/bus/acks.js'
import { createTopic } from '../../../src/bus/topic.js'
import { Universe } from '../../../src/bus/universe.js'
import { loadConfig } from '../../../src/config.js'
import { createLog } from '../../../src/lib/log.js'
import { MetricsPage } from '../../../src/lib/metrics.js'
import { Pressure } from '../../../src/lib/pressure.js'
import { systemClock, type Clock } from '../../../src/lib/time.js'

const stops: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** The real receiver with its HTTP door only, and what it logs. */
async function receiver(clock: Clock) {
  const { config } = loadConfig({ files: [], env: {} })
  const topic = (name: string, group: string) =>
    createTopic({
      name,
      partitions: 1,
      capacity_bytes: 1 << 16,
      groups: [{ name: group, mode: 'gating' }],
    }).partitions[0]!
  const shared = {
    acks: Acks.create({ slots: 16, partitions: 1 }),
    pressure: Pressure.create(),
    'ingress-0': topic(INGRESS_TOPIC, DISTRIBUTOR_GROUP),
    'traces-0': topic(TRACES_TOPIC, LIVESTORE_GROUP),
    'metrics-receiver': MetricsPage.create(),
  }
  const lines: string[] = []
  const log = createLog({ level: 'debug', write: (line) => lines.push(line) })
  const universe = new Universe({ clock, log })
  const receivers = { otlp: { http: { endpoint: '127.0.0.1:0' } } }
  const actor = await universe.spawn(Receiver, {
    component: 'receiver',
    config: {
      ...config,
      distributor: { ...config.distributor, receivers },
      actors: {
        ...config.actors,
        supervisor: { ...config.actors.supervisor, drain_timeout_ms: 50 },
      },
    },
    shared,
  })
  stops.push(() => universe.stop())
  const port = Number(/door open.* port=(\d+)/.exec(lines.join(''))?.[1])
  return { actor, port, lines }
}

it('doors log and tell the time as their actor does', async () => {
  let sleeps = 0
  const clock: Clock = {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic(),
    sleep: (ms, signal) => {
      sleeps += ms === 30 ? 1 : 0
      return systemClock.sleep(ms, signal)
    },
  }
  const { actor, port, lines } = await receiver(clock)
  const socket = connect(port, '127.0.0.1')
  stops.push(() => void socket.destroy())
  socket.on('error', () => undefined)
  await new Promise((resolve) => socket.once('connect', resolve))
  const head = 'POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n'
  // A body that never comes: the drain ends by force.
  socket.write(`${head}content-length: 10\r\nexpect: 100-continue\r\n\r\n`)
  await new Promise((resolve) => socket.once('data', resolve))
  await actor.stop()
  expect(lines.join('')).toContain('connections closed by force')
  expect(sleeps).toBe(1)
})
