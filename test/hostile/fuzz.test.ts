/** Mutated requests through a running server: `npm run fuzz -- --requests 1000000 --seed 7` for many, a slice of them here. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { TestServer } from '../support/server.js'
import { Fuzzer } from './support/fuzzer.js'
import { Watch } from './support/watch.js'

const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 20_000)
const SEED = Number(process.env.FUZZ_SEED ?? 1)
/** Requests in flight: each waits for its commit. */
const LANES = 48
const ROUNDS = 10
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
  for (let round = 0; round < ROUNDS; round++) {
    await fuzzer.run(Math.ceil((REQUESTS - WARM_UP) / ROUNDS), LANES)
    await watch.isWell()
    rss.push(Math.round(watch.rss_mib))
    const { requests, findings } = fuzzer.tally
    process.stderr.write(
      `fuzz: ${requests} of ${REQUESTS}, ${findings.length} findings, ${rss.at(-1)} MiB\n`,
    )
  }
  const seconds = (performance.now() - started) / 1000
  fuzzer.close()
  const after_mib = await watch.settled_mib()
  const { tally } = fuzzer
  console.log(
    [
      `fuzz: ${tally.requests} requests, seed ${SEED}, ${Math.round(seconds)} s, ${Math.round(tally.requests / seconds)} a second`,
      `  sent:     ${words(tally.byKind)}`,
      `  answered: ${words(tally.byAnswer)}`,
      `  memory:   ${rss.join(' ')} MiB, settled at ${Math.round(after_mib)} (anonymous and shared)`,
      `  slowest answer to what costs nothing: ${Math.round(watch.slowest_ms)} ms`,
      `  restarts: 0, findings: ${tally.findings.length}`,
      ...tally.findings.map(({ request, kind, what }) => `  #${request} ${kind}: ${what}`),
    ].join('\n'),
  )
  expect(tally.findings.length, 'findings').toBe(0)
  expect(after_mib).toBeLessThan(Math.max(before_mib * GROWTH_MAX, before_mib + GROWTH_MIB))
})

function words(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ')
}
