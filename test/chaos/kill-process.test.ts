/** kill -9 of the whole process at random instants under load: everything acknowledged is found once, by id, search and count. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { load, type LoadOptions } from '../../src/load/load.js'
import { verify } from '../../src/load/verify.js'
import { Random } from '../../src/lib/random.js'
import { expectFoundOnce, figuresOf, tell } from '../support/faults.js'
import { sleep, TestServer } from '../support/server.js'

const ROUNDS = Number(process.env.CHAOS_KILLS ?? 20)
const SEED = Number(process.env.CHAOS_SEED ?? 1)
const LOAD_MS = 4000

describe('kill -9 of the process', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start()
  })
  afterAll(async () => {
    await server.remove()
  })

  it(`loses and doubles nothing acknowledged in ${ROUNDS} kills at 5,000 spans/s`, async () => {
    const random = new Random(SEED)
    const rows: string[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const ledger = join(server.folder, `ledger-${round}`)
      const loading = load(
        loadOptions(server, { seed: SEED * 1000 + round, run: `kill-${round}`, ledger }),
      )
      const at_ms = 500 + random.below(LOAD_MS - 1000)
      await sleep(at_ms)
      await server.kill()
      const restarted = Date.now()
      await server.up()
      const down_ms = Date.now() - restarted
      const report = await loading
      const found = await verify({ ledger, base: server.base, concurrency: 4 })
      rows.push(
        `kill ${String(round + 1).padStart(2)} at ${at_ms} ms: ready after ${down_ms} ms, ${found.acknowledgedSpans} acknowledged, ` +
          `${report.retries} retries, lost ${found.lostSpans}, doubled ${found.doubledSpans}, counted ${found.counted} of ${found.foundById}`,
      )
      console.log(rows.at(-1))
      tell({
        group: 'kill -9 at random',
        fault: 'at a random instant under 5,000 spans/s',
        tries: 1,
        ...figuresOf(found),
        crashes: server.crashes,
        found: `the last: ready again after ${down_ms} ms`,
      })
      expect(server.crashes, server.log.slice(-4000)).toBe(0)
      expect(report.failedSpans, report.firstError).toBe(0)
      expectFoundOnce(found, 1000)
      rmSync(ledger)
    }
  })
})

function loadOptions(
  server: TestServer,
  own: { seed: number; run: string; ledger: string },
): LoadOptions {
  return {
    endpoint: server.grpc,
    protocol: 'grpc',
    tenant: '',
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
    ...own,
  }
}
