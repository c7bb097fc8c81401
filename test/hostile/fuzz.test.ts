/** Mutated requests through a running server: `npm run fuzz -- --requests 1000000 --seed 7` for many, a slice of them here. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { tell } from '../support/faults.js'
import { TestServer } from '../support/server.js'
import { Fuzzer } from './support/fuzzer.js'
import { HOSTILE } from './support/size.js'
import { Watch } from './support/watch.js'

const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? HOSTILE.requests)
const SEED = Number(process.env.FUZZ_SEED ?? 1)
/** Requests in flight: each waits for its commit. */
const LANES = 48
const ROUNDS = Math.max(10, REQUESTS / 25_000)
/** Ends after the round in which this is over, and says what was sent until then. */
const MINUTES = Number(process.env.FUZZ_MINUTES ?? Infinity)
const WARM_UP = Math.min(5000, REQUESTS / 4)
/** Memory after all rounds against after the warm-up. Heads and rings are shared memory that fills up to its bound first. */
const GROWTH_MAX = 1.5
const GROWTH_MIB = 250
/** Two hundred a second at least; a quiet machine does a thousand. */
const timeout = Math.max(600_000, REQUESTS * 10)

let server: TestServer
let watch: Watch
beforeAll(async () => {
  server = await TestServer.start({ flags: ['--server.log_level=warn'] })
  watch = new Watch(server)
})
afterAll(async () => {
  await watch.end()
  await server.remove()
})

it(`${REQUESTS} mutated requests (seed ${SEED}) find nothing`, { timeout }, async () => {
  const fuzzer = new Fuzzer(server.ports, SEED)
  const started = performance.now()
  await fuzzer.run(WARM_UP, LANES)
  await watch.isWell()
  const before_mib = await watch.settled_mib()
  const rss: number[] = [Math.round(before_mib)]
  const isOver = () => performance.now() - started > MINUTES * 60_000
  for (let round = 0; round < ROUNDS && !isOver(); round++) {
    await fuzzer.run(Math.ceil((REQUESTS - WARM_UP) / ROUNDS), LANES)
    await watch.isWell()
    rss.push(Math.round(watch.rss_mib))
    const { requests, findings, byKind } = fuzzer.tally
    process.stderr.write(
      `fuzz: ${requests} of ${REQUESTS}, ${findings.length} findings, ${rss.at(-1)} MiB, ${words(byKind)}\n`,
    )
  }
  const seconds = (performance.now() - started) / 1000
  fuzzer.close()
  const after_mib = await watch.settled_mib()
  const { tally } = fuzzer
  console.log(
    [
      `fuzz: ${tally.requests} requests of ${REQUESTS}, seed ${SEED}, ${Math.round(seconds)} s, ${Math.round(tally.requests / seconds)} a second`,
      `  sent:     ${words(tally.byKind)}`,
      `  answered: ${words(tally.byAnswer)}`,
      `  memory:   ${rss.join(' ')} MiB, settled at ${Math.round(after_mib)} (anonymous and shared)`,
      `  slowest answer to what costs nothing: ${Math.round(watch.slowest_ms)} ms`,
      `  restarts: 0, findings: ${tally.findings.length}`,
      ...tally.findings.map(({ request, kind, what }) => `  #${request} ${kind}: ${what}`),
    ].join('\n'),
  )
  tell({
    group: 'mutated requests',
    fault: `over gRPC, HTTP, the API and TCP, seed ${SEED}`,
    tries: tally.requests,
    acknowledged: 0,
    lost: 0,
    doubled: 0,
    crashes: tally.findings.length,
    found: `${words(tally.byKind)}; memory ${Math.round(before_mib)} MiB before, ${Math.round(after_mib)} after`,
  })
  expect(tally.findings.length, 'findings').toBe(0)
  expect(after_mib).toBeLessThan(Math.max(before_mib * GROWTH_MAX, before_mib + GROWTH_MIB))
})

function words(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ')
}
