/** Owns `tempo-actors load` and `tempo-actors load verify`: options, progress on a terminal, tables or JSON, exit codes. */
import { parseArgs } from 'node:util'
import { load, type LoadOptions, type LoadProgress, type LoadReport } from '../load/load.js'
import { verify, type VerifyReport } from '../load/verify.js'
import { errorText } from '../lib/log.js'
import { oneLine } from '../lib/one-line.js'
import { systemClock } from '../lib/time.js'
import { formatBytes, parseDuration_ms } from '../lib/units.js'

const USAGE_ERROR = 2

const LOAD_HELP = `Usage: tempo-actors load [options]
       tempo-actors load verify LEDGER [options]

Sends a web shop's traces over OTLP, the same for the same seed, and can keep a ledger of what was acknowledged.

  --endpoint HOST:PORT   where to send (default 127.0.0.1:4317, or :4318 with --protocol http)
  --protocol grpc|http   (default grpc)
  --traces N             end after so many traces (default 1000; 0 = no bound, needs --duration)
  --duration TIME        end after this time, such as 30s
  --rate N               spans a second over all connections (default 0: as fast as it goes)
  --connections N        (default 4)
  --batch N              spans a request, about (default 256)
  --split N              spread each trace over about N requests (default 1)
  --late SHARE:TIME      this share of traces lies TIME in the past, such as 0.1:10m
  --spread TIME          trace starts are spread over this time before now (default 30s)
  --shuffle SHARE        share of requests that are sent out of order (default 0)
  --give-up-after TIME   how long one request is retried (default 60s)
  --seed N               (default 1)
  --tenant NAME          X-Scope-OrgID
  --ledger FILE          write what was acknowledged
  --premake              make all requests before the clock starts
  --json                 print the report as JSON
  --quiet                no progress

verify asks the store for every span of the ledger by id, by search and by count_over_time().
  --base URL             Tempo's API (default http://127.0.0.1:3200)
  --concurrency N        requests at once (default 8)
  --json                 print the report as JSON
Exit codes: 0 all is well, 1 spans were given up, lost or doubled, 2 wrong usage.
`

const OPTIONS = {
  endpoint: { type: 'string' },
  protocol: { type: 'string', default: 'grpc' },
  traces: { type: 'string', default: '1000' },
  duration: { type: 'string' },
  rate: { type: 'string', default: '0' },
  connections: { type: 'string', default: '4' },
  batch: { type: 'string', default: '256' },
  split: { type: 'string', default: '1' },
  late: { type: 'string', default: '0:0' },
  spread: { type: 'string', default: '30s' },
  shuffle: { type: 'string', default: '0' },
  'give-up-after': { type: 'string', default: '60s' },
  seed: { type: 'string', default: '1' },
  tenant: { type: 'string', default: '' },
  ledger: { type: 'string' },
  premake: { type: 'boolean', default: false },
  base: { type: 'string', default: 'http://127.0.0.1:3200' },
  concurrency: { type: 'string', default: '8' },
  json: { type: 'boolean', default: false },
  quiet: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

class Usage extends Error {}

type Values = ReturnType<typeof parse>['values']

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
}

/** Resolves with the exit code. */
export async function loadCommand(args: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parseOrUsage(args)
    if (values.help) {
      process.stdout.write(LOAD_HELP)
      return 0
    }
    if (positionals.length === 0) return await runLoad(values)
    if (positionals[0] !== 'verify' || positionals.length !== 2) {
      throw new Usage(
        `unexpected ${JSON.stringify(positionals.join(' '))}; expected: verify LEDGER`,
      )
    }
    return await runVerify(positionals[1]!, values)
  } catch (error) {
    process.stderr.write(`tempo-actors load: ${oneLine(errorText(error))}\n`)
    return error instanceof Usage ? USAGE_ERROR : 1
  }
}

function parseOrUsage(args: readonly string[]) {
  try {
    return parse(args)
  } catch (error) {
    throw new Usage(`${errorText(error)}; see tempo-actors load --help`)
  }
}

async function runLoad(values: Values): Promise<number> {
  const options = loadOptions(values)
  const interrupt = new AbortController()
  const onSignal = () => interrupt.abort()
  process.once('SIGINT', onSignal)
  const showsProgress = !values.quiet && process.stderr.isTTY
  const report = await load({
    ...options,
    signal: interrupt.signal,
    ...(showsProgress && { onProgress: (progress: LoadProgress) => showProgress(progress) }),
  }).finally(() => process.off('SIGINT', onSignal))
  if (showsProgress) process.stderr.write('\n')
  process.stdout.write(values.json ? JSON.stringify(report) + '\n' : loadTable(report))
  return report.failedSpans > 0 ? 1 : 0
}

function loadOptions(values: Values): LoadOptions {
  const { protocol } = values
  if (protocol !== 'grpc' && protocol !== 'http')
    throw new Usage(`--protocol is grpc or http, not ${protocol}`)
  const seed = whole('seed', values.seed)
  const traces = whole('traces', values.traces)
  const duration_ms = values.duration === undefined ? Infinity : time('duration', values.duration)
  if (traces === 0 && duration_ms === Infinity)
    throw new Usage('--traces 0 has no bound: give --duration')
  const [share, late] = values.late.split(':')
  return {
    endpoint: values.endpoint ?? (protocol === 'grpc' ? '127.0.0.1:4317' : '127.0.0.1:4318'),
    protocol,
    tenant: values.tenant,
    seed,
    run: `run-${seed}-${systemClock.now().toString(36)}`,
    traces: traces === 0 ? Infinity : traces,
    duration_ms,
    rate: fraction('rate', values.rate),
    connections: Math.max(1, whole('connections', values.connections, 10_000)),
    batch: Math.max(1, whole('batch', values.batch, 100_000)),
    split: Math.max(1, whole('split', values.split, 10_000)),
    lateShare: fraction('late', share ?? '0'),
    late_ms: time('late', late ?? '0'),
    spread_ms: time('spread', values.spread),
    shuffle: fraction('shuffle', values.shuffle),
    giveUpAfter_ms: time('give-up-after', values['give-up-after']),
    ledger: values.ledger,
    premake: values.premake,
  }
}

async function runVerify(ledger: string, values: Values): Promise<number> {
  const showsProgress = !values.quiet && process.stderr.isTTY
  const report = await verify({
    ledger,
    base: values.base.replace(/\/$/, ''),
    concurrency: Math.max(1, whole('concurrency', values.concurrency, 1000)),
    ...(showsProgress && {
      onProgress: (done: number, total: number) => {
        if (done % 100 === 0 || done === total)
          process.stderr.write(`\rby id: ${done} of ${total} traces`)
      },
    }),
  })
  if (showsProgress) process.stderr.write('\n')
  process.stdout.write(values.json ? JSON.stringify(report) + '\n' : verifyTable(report))
  return report.ok ? 0 : 1
}

function whole(name: string, text: string, most = Number.MAX_SAFE_INTEGER): number {
  if (!/^\d+$/.test(text))
    throw new Usage(`--${name} is a whole number, not ${JSON.stringify(text)}`)
  if (Number(text) > most) throw new Usage(`--${name} is ${most} at most, not ${text}`)
  return Number(text)
}

function fraction(name: string, text: string): number {
  const value = Number(text)
  if (text === '' || !(value >= 0 && value < Infinity))
    throw new Usage(`--${name} is a number, not ${JSON.stringify(text)}`)
  return value
}

function time(name: string, text: string): number {
  const ms = parseDuration_ms(text)
  if (ms === undefined)
    throw new Usage(`--${name} is a time such as 30s, not ${JSON.stringify(text)}`)
  return ms
}

function showProgress({ elapsed_ms, acknowledgedSpans, failedSpans }: LoadProgress): void {
  const rate = Math.round(acknowledgedSpans / (elapsed_ms / 1000))
  const failed = failedSpans > 0 ? `, ${failedSpans} given up` : ''
  process.stderr.write(
    `\r${(elapsed_ms / 1000).toFixed(0).padStart(4)} s  ${acknowledgedSpans} spans acknowledged (${rate}/s)${failed}   `,
  )
}

function loadTable(report: LoadReport): string {
  const { ack_ms } = report
  return table([
    ['run', report.run],
    [
      'spans',
      `${report.spans} in ${report.traces} traces, ${report.requests} requests, ${formatBytes(report.bytes)}`,
    ],
    [
      'acknowledged',
      `${report.acknowledgedSpans} (${report.spansPerSecond}/s over ${report.wall_s} s)`,
    ],
    ['given up', String(report.failedSpans)],
    ['rejected', String(report.rejectedSpans)],
    [
      'retries',
      `${report.retries}${report.firstError === '' ? '' : `, first: ${report.firstError}`}`,
    ],
    ['ack ms', `p50 ${ack_ms.p50}  p90 ${ack_ms.p90}  p99 ${ack_ms.p99}  max ${ack_ms.max}`],
  ])
}

function verifyTable(report: VerifyReport): string {
  const rows: [string, string][] = [
    ['traces', String(report.traces)],
    ['acknowledged', `${report.acknowledgedSpans} spans`],
    ['lost', String(report.lostSpans)],
    ['doubled', String(report.doubledSpans)],
    ['never sent', String(report.foreignSpans)],
    [
      'unacknowledged',
      `${report.unacknowledgedSpans}, of which ${report.keptUnacknowledged} are there`,
    ],
    ['by search', `${report.tracesMissingInSearch} traces missing`],
    ['by count', `${report.counted} counted, ${report.foundById} found by id`],
    ['verdict', report.ok ? 'ok' : 'NOT OK'],
  ]
  return table(rows) + report.examples.map((text) => `  ${text}\n`).join('')
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join('')
}
