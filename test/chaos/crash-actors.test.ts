/** Each actor dies in each way under load: nothing acknowledged is lost, and no request fails that a client's retry does not cure. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { load } from '../../src/load/load.js'
import { verify } from '../../src/load/verify.js'
import { expectFoundOnce, figuresOf, tell } from '../support/faults.js'
import { eventually, sleep, TestServer } from '../support/server.js'

const ACTORS = [
  'receiver',
  'distributor',
  'livestore',
  'querier',
  'frontend',
  'backend-worker',
  'http',
]
const WAYS = ['throw', 'exit', 'hang', 'oom']
/** CHAOS_WAYS=one: each actor dies in one way only, another for each. */
const waysOf = (actor: string) =>
  process.env.CHAOS_WAYS === 'one' ? [WAYS[ACTORS.indexOf(actor) % WAYS.length]!] : WAYS
const LOAD_MS = 3500
/** Shorter, and a slow collection of a dying heap is taken for a hang. */
const HEARTBEAT = '2s'

interface Actors {
  components: {
    component: string
    running: number
    replicas: { restarts: number; state: string }[]
  }[]
}

describe('an actor dies under load', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start({
      flags: [
        '--actors.chaos=true',
        '--actors.supervisor.intensity=100',
        `--actors.supervisor.heartbeat_timeout=${HEARTBEAT}`,
      ],
    })
  })
  afterAll(async () => {
    if (process.env.CHAOS_LOG) console.log(server.log.slice(-20000))
    await server.remove()
  })

  for (const actor of ACTORS) {
    for (const how of waysOf(actor)) {
      it(`${actor} by ${how}: the process lives, a replacement comes, nothing acknowledged is lost or doubled`, async () => {
        await eventually(
          'everything runs',
          20_000,
          async () => (await restarts(server, actor)) >= 0,
        )
        const before = await restarts(server, actor)
        const pid = server.pid
        const run = `${actor}-${how}`
        const ledger = join(server.folder, run)
        const seed = ACTORS.indexOf(actor) * 10 + WAYS.indexOf(how) + 1
        const loading = load({
          endpoint: server.grpc,
          protocol: 'grpc',
          tenant: '',
          seed,
          run,
          ledger,
          traces: Infinity,
          duration_ms: LOAD_MS,
          rate: 5500,
          connections: 8,
          batch: 128,
          split: 3,
          lateShare: 0,
          late_ms: 0,
          spread_ms: 5000,
          shuffle: 0.1,
          giveUpAfter_ms: 60_000,
          premake: false,
        })
        await sleep(700)
        const status = await server.post(`/api/actors/${actor}-0/crash?how=${how}`)
        // The http actor may be gone before it has answered.
        expect(actor === 'http' ? [0, 200] : [200]).toContain(status)
        const report = await loading
        await eventually(
          `${actor} is restarted`,
          20_000,
          async () => (await restarts(server, actor)) > before,
        )
        await server.ready()
        const found = await verify({ ledger, base: server.base, concurrency: 4 })
        console.log(
          `${run}: ${found.acknowledgedSpans} acknowledged, ${report.retries} retries, longest ack ${report.ack_ms.max} ms, ` +
            `lost ${found.lostSpans}, doubled ${found.doubledSpans}, counted ${found.counted} of ${found.foundById}`,
        )
        tell({
          group: 'one actor dies',
          fault: `${actor} by ${how}`,
          tries: 1,
          ...figuresOf(found),
          crashes: server.pid === pid ? 0 : 1,
          found: `longest ack ${Math.round(report.ack_ms.max)} ms`,
        })
        expect(server.pid).toBe(pid)
        expect(report.failedSpans, report.firstError).toBe(0)
        expectFoundOnce(found, 1000)
      })
    }
  }
})

/** Restarts so far; -1 while it cannot be asked. */
async function restarts(server: TestServer, component: string): Promise<number> {
  const actors = (await server.get('/api/actors').catch(() => undefined)) as Actors | undefined
  const found = actors?.components.find((c) => c.component === component)?.replicas[0]
  return found?.state === 'running' ? found.restarts : -1
}
