/**
 * Owns the command line of the simulator: many seeds on all cores, or one with its schedule.
 *
 *     npm run simulate -- --seeds 1..100000 [--jobs 2] [--bug <name>] [--keep-going] [--time-box <seconds>]
 *     npm run simulate -- --seed 4711 [--trace] [--bug <name>]
 *
 * It lives beside the tests because it runs the sources as they are, through a loader, and is no part of the package.
 */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { installAtomics } from './atomics.js'
import { runSeed, type Outcome } from './scenario.js'
import { installSteps } from './steps.js'
import { begin, world } from './world.js'

/** Seeds that a job takes at once. */
const CHUNK_SEEDS = 10
const CHUNKS_PER_PROCESS = 100
const REPORT_MS = 10_000
const STACK_LINES = 30

interface Totals {
  seeds: number
  events: number
  steps: number
  acknowledged: number
  processes: number
  simulated_ms: number
  cpu_ms: number
}

interface Failure {
  readonly seed: number
  readonly message: string
}

interface Report {
  readonly totals: Totals
  readonly failures: readonly Failure[]
}

const NOTHING: Totals = {
  seeds: 0,
  events: 0,
  steps: 0,
  acknowledged: 0,
  processes: 0,
  simulated_ms: 0,
  cpu_ms: 0,
}

const { values: flags } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1..1000' },
    seed: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    bug: { type: 'string' },
    'time-box': { type: 'string', default: 'Infinity' },
    trace: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    job: { type: 'boolean', default: false },
  },
})

/** From here on this process has no time and no chance of its own. */
function install(): void {
  Error.stackTraceLimit = flags.trace ? STACK_LINES : 0
  installAtomics()
  installSteps()
  process.on('unhandledRejection', (reason) => world.unhandled(reason))
  const soon = (act: () => void) => void world.at(0, world.current, 'immediate', act)
  Object.assign(globalThis, { setImmediate: soon })
  begin(0)
}

function add(totals: Totals, outcome: Outcome): void {
  totals.seeds++
  totals.events += outcome.events
  totals.steps += outcome.steps
  totals.acknowledged += outcome.acknowledged
  totals.processes += outcome.processes
  totals.simulated_ms += outcome.now_ms
}

async function runChunk(from: number, to: number): Promise<Report> {
  const totals = { ...NOTHING }
  const failures: Failure[] = []
  const cpu = process.cpuUsage()
  for (let seed = from; seed <= to; seed++) {
    const outcome = await runSeed(seed)
    add(totals, outcome)
    if (!outcome.error) continue
    failures.push({ seed, message: outcome.error.message })
    if (!flags['keep-going']) break
  }
  const { user, system } = process.cpuUsage(cpu)
  totals.cpu_ms = (user + system) / 1000
  return { totals, failures }
}

/** One seed in this process, told in full. */
async function runOne(seed: number): Promise<number> {
  install()
  const { error, ...outcome } = await runSeed(
    seed,
    flags.trace ? (line) => process.stdout.write(`${line}\n`) : undefined,
  )
  const { events, steps, acknowledged, processes, now_ms, digest } = outcome
  process.stdout.write(
    `seed=${seed} events=${events} steps=${steps} acknowledged=${acknowledged} processes=${processes} simulated_ms=${Math.round(now_ms)} digest=${digest}\n`,
  )
  if (!error) return 0
  process.stdout.write(`${replayLine({ seed, message: error.message })}\n`)
  if (flags.trace) process.stdout.write(`${error.stack ?? ''}\n`)
  return 1
}

function replayLine({ seed, message }: Failure): string {
  const bug = flags.bug === undefined ? '' : ` --bug ${flags.bug}`
  return `FAILED seed=${seed} ${message} | replay: npm run simulate -- --seed ${seed} --trace${bug}`
}

/** A job takes chunks until there are none, one has failed, or the time is up. */
async function runJobs(from: number, to: number): Promise<number> {
  const totals = { ...NOTHING }
  const failures: Failure[] = []
  const timeBox_ms = Number(flags['time-box']) * 1000
  const started = performance.now()
  let next = from
  const summary = () => {
    const wall_s = (performance.now() - started) / 1000
    const { seeds, cpu_ms, events, steps, acknowledged, processes, simulated_ms } = totals
    return (
      `seeds=${seeds} failed=${failures.length} wall_s=${wall_s.toFixed(1)} seeds_per_s=${(seeds / wall_s).toFixed(1)} ` +
      `seeds_per_core_s=${((1000 * seeds) / Math.max(1, cpu_ms)).toFixed(1)} events=${events} steps=${steps} ` +
      `acknowledged=${acknowledged} processes=${processes} simulated_h=${(simulated_ms / 3_600_000).toFixed(1)}`
    )
  }
  const timer = setInterval(() => process.stderr.write(`${summary()}\n`), REPORT_MS)
  const take = (): [number, number] | undefined => {
    if (next > to || (failures.length > 0 && !flags['keep-going'])) return undefined
    if (performance.now() - started >= timeBox_ms) return undefined
    const first = next
    next = Math.min(to + 1, next + CHUNK_SEEDS)
    return [first, next - 1]
  }
  const gather = (report: Report) => {
    for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] += report.totals[key]
    for (const failure of report.failures) {
      failures.push(failure)
      process.stdout.write(`${replayLine(failure)}\n`)
    }
  }
  await Promise.all(Array.from({ length: Number(flags.jobs) }, () => runJob(take, gather)))
  clearInterval(timer)
  process.stdout.write(`${summary()}\n`)
  return failures.length > 0 ? 1 : 0
}

/** A process for so many chunks at a time: what seeds leave behind in one is bounded so. */
async function runJob(
  take: () => [number, number] | undefined,
  gather: (report: Report) => void,
): Promise<void> {
  for (let chunk = take(); chunk; chunk = take()) await runChunks(chunk, take, gather)
}

function runChunks(
  first: [number, number],
  take: () => [number, number] | undefined,
  gather: (report: Report) => void,
): Promise<void> {
  const args = ['--job', ...(flags['keep-going'] ? ['--keep-going'] : [])]
  const child = fork(fileURLToPath(import.meta.url), args)
  let given = 0
  return new Promise((resolve, reject) => {
    const give = (chunk: [number, number] | undefined) => {
      given++
      if (chunk) child.send(chunk)
      else child.disconnect()
    }
    child.on('message', (report: Report) => {
      gather(report)
      give(given < CHUNKS_PER_PROCESS ? take() : undefined)
    })
    child.on('exit', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`a job ended with code ${code ?? 'none'}`))
    })
    give(first)
  })
}

function serveJobs(): void {
  install()
  // Nobody is left who wants to know.
  process.on('disconnect', () => process.exit())
  process.on('message', ([from, to]: [number, number]) => {
    runChunk(from, to).then(
      (report) => process.send!(report),
      (error: unknown) => {
        process.stderr.write(`seeds ${from}..${to}: the simulator failed: ${String(error)}\n`)
        process.exit(1)
      },
    )
  })
}

if (flags.job) serveJobs()
else if (flags.seed !== undefined) process.exitCode = await runOne(Number(flags.seed))
else {
  const [from, to] = flags.seeds.split('..').map(Number)
  process.exitCode = await runJobs(from!, to ?? from!)
}
