/**
 * Owns the run of everything that tries to break the store: kills, named points, disks, clocks, S3, dead actors, poison, overload, the
 * simulator, mutated requests. Prints what was tried and found as tables; what a full run found goes to docs/faults.json, and from
 * there into docs/faults.md.
 *
 *   npm run faults                     everything at its full length: some hours
 *   npm run faults -- kills points     these parts alone; the figures of the others stay, each with its own date and commit
 *   npm run faults -- --slice          what fits into ten minutes, for CI; writes nothing
 *
 * FAULTS_REPORTS=FOLDER has vitest's reports put there as JSON, one for each part.
 */
import { spawn, spawnSync } from 'node:child_process'
import console from 'node:console'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { performance } from 'node:perf_hooks'
import { clearTimeout, setTimeout } from 'node:timers'
import { fileURLToPath, URL } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FIGURES = join(ROOT, 'docs/faults.json')
const DOCUMENT = join(ROOT, 'docs/faults.md')
/** What is between these lines of the document is written here; the words around them are not. */
const BEGIN = '<!-- written by npm run faults -->'
const END = '<!-- end -->'
/** A slice begins no part after this; one that is begun is ended by force only when it hangs. */
const SLICE_MS = 8.5 * 60_000
const SLICE_HANGS_MS = 30 * 60_000
const COUNTS = ['tries', 'acknowledged', 'lost', 'doubled', 'crashes']
const SEEDS = 100_000
const SLICE_SEEDS = 2000
const SLICE_SEEDS_S = 20
const REQUESTS = 1_000_000
const SLICE_REQUESTS = 5000

const vitest = (...suites) => ['npx', 'vitest', 'run', '--project', 'chaos', '--project', 'stress', ...suites] // prettier-ignore
const seeds = (to) => ['node', 'test/simulation/simulate.js', '--seeds', `1..${to}`, '--keep-going']
const requests = (count) => ['bash', 'scripts/fuzz.sh', '--requests', String(count), '--seed', '7']

/** In the order of the document. A part without a `slice` runs in a slice as it does in full, told by FAULTS=slice to be short;
 * one that is left out of it CI runs with the unit or stress tests, or its figures are the machine's. */
const PARTS = {
  kills: { command: vitest('test/chaos/kill-process.test.ts') },
  points: { command: vitest('test/chaos/failpoints.test.ts') },
  'power-loss': { command: vitest('test/chaos/power-loss.test.ts'), isLeftOut: true },
  disk: { command: vitest('test/chaos/disk.test.ts') },
  time: { command: vitest('test/chaos/time-and-wal.test.ts') },
  damage: {
    command: vitest('test/stress/wal-damage.test.ts', 'test/stress/wal-map-full.test.ts'),
    isLeftOut: true,
  },
  s3: {
    command: vitest('test/chaos/s3-faults.test.ts', 'test/chaos/minio-outage.test.ts'),
    slice: vitest('test/chaos/s3-faults.test.ts'),
  },
  actors: { command: vitest('test/chaos/crash-actors.test.ts') },
  poison: { command: vitest('test/chaos/poison.test.ts') },
  overload: { command: vitest('test/chaos/overload.test.ts'), isLeftOut: true },
  simulator: {
    command: seeds(SEEDS),
    slice: [...seeds(SLICE_SEEDS), '--time-box', String(SLICE_SEEDS_S)],
    rows: simulatorRows,
  },
  requests: { command: requests(REQUESTS), slice: requests(SLICE_REQUESTS) },
}

const isSlice = process.argv.includes('--slice')
const named = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const unknown = named.find((name) => !(name in PARTS))
if (unknown !== undefined) {
  console.error(`faults: there is no part '${unknown}'; there are ${Object.keys(PARTS).join(', ')}`)
  process.exit(2)
}
const lengths = isSlice
  ? { CHAOS_KILLS: '3', CHAOS_WAYS: 'one', CHAOS_OUTAGE_S: '10', OVERLOAD_SECONDS: '20', OVERLOAD_LIMITS: '512MiB' } // prettier-ignore
  : { CHAOS_KILLS: '100', OVERLOAD_SECONDS: '300', OVERLOAD_LIMITS: '512MiB,LEAST tuned' }

const results = {}
const began = performance.now()
for (const name of named.length > 0
  ? named
  : Object.keys(PARTS).filter((part) => !(isSlice && PARTS[part].isLeftOut))) {
  if (isSlice && performance.now() - began > SLICE_MS) {
    console.log(`\n=== ${name}: not begun, the time of the slice is over`)
    continue
  }
  console.log(`\n=== ${name} (${Math.round((performance.now() - began) / 1000)} s)`)
  results[name] = await run(name, PARTS[name])
  if (!isSlice) keep(name, results[name])
}
const failed = Object.keys(results).filter((name) => !results[name].passed)
console.log(`\n${tables(results)}\n${summary(results)}`)
if (failed.length > 0) console.error(`failed: ${failed.join(', ')}`)
process.exit(failed.length > 0 ? 1 : 0)

async function run(name, { command, slice, rows }) {
  const folder = mkdtempSync(join(tmpdir(), 'faults-'))
  const file = join(folder, 'rows')
  const started = performance.now()
  const { code, output } = await child(name, isSlice ? (slice ?? command) : command, file)
  const found = rows ? rows(output) : rowsOf(file)
  rmSync(folder, { recursive: true, force: true })
  return {
    passed: code === 0,
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    machine: `Node ${process.version}, ${process.platform}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    minutes: Math.ceil((performance.now() - started) / 60_000),
    rows: found,
  }
}

/** Shows what it prints, and keeps it. It ends by force when the whole slice takes longer than it may. */
function child(name, [program, ...args], rowsFile) {
  const env = {
    ...lengths,
    ...process.env,
    FAULTS: isSlice ? 'slice' : 'full',
    FAULTS_ROWS: rowsFile,
  }
  const reports = process.env.FAULTS_REPORTS
  if (reports !== undefined && args[0] === 'vitest') {
    args.push('--reporter=default', '--reporter=json', `--outputFile.json=${reports}/${name}.json`)
  }
  const started = spawn(program, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'], detached: true }) // prettier-ignore
  let output = ''
  started.stdout.setEncoding('utf8').on('data', (text) => {
    output += text
    process.stdout.write(text)
  })
  const end = () => {
    console.error(`the slice is not done within ${SLICE_HANGS_MS / 60_000} minutes`)
    // What it started is in one group with it, ours.
    process.kill(-started.pid, 'SIGTERM')
  }
  const left_ms = Math.max(0, SLICE_HANGS_MS - (performance.now() - began))
  const timer = isSlice ? setTimeout(end, left_ms) : undefined
  return new Promise((resolve) => {
    started.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? 1, output })
    })
  })
}

/** Rounds of the same fault are one row. */
function rowsOf(file) {
  const found = new Map()
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  for (const line of text.split('\n').filter(Boolean)) {
    const row = JSON.parse(line)
    const key = `${row.group}\n${row.fault}`
    const sum = found.get(key)
    if (!sum) {
      found.set(key, row)
      continue
    }
    for (const name of COUNTS) sum[name] += row[name]
    sum.found = row.found
  }
  return [...found.values()]
}

/** The last line of test/simulation/main.ts has the sums. A seed that fails counts as a crash: the store broke its word. */
function simulatorRows(output) {
  const last = output.trim().split('\n').at(-1) ?? ''
  const figure = (name) => Number(new RegExp(`\\b${name}=([\\d.]+)`).exec(last)?.[1] ?? 0)
  const hours = Math.round(figure('simulated_h'))
  const words = `${figure('processes').toLocaleString('en-US')} processes, ${hours} simulated hours; ${figure('failed')} seeds failed`
  return [
    {
      group: 'the simulator',
      fault: 'seeded schedules and faults',
      tries: figure('seeds'),
      acknowledged: figure('acknowledged'),
      lost: 0,
      doubled: 0,
      crashes: figure('failed'),
      found: words,
    },
  ]
}

/** A part that failed keeps its place: what is not well must be seen. */
function keep(name, result) {
  const all = existsSync(FIGURES) ? JSON.parse(readFileSync(FIGURES, 'utf8')) : {}
  all[name] = result
  const ordered = Object.fromEntries(
    Object.keys(PARTS).flatMap((part) => (all[part] ? [[part, all[part]]] : [])),
  )
  writeFileSync(FIGURES, `${JSON.stringify(ordered, undefined, 2)}\n`)
  const text = readFileSync(DOCUMENT, 'utf8')
  const before = text.slice(0, text.indexOf(BEGIN) + BEGIN.length)
  const after = text.slice(text.indexOf(END))
  const left = Object.keys(PARTS).filter((part) => !ordered[part])
  const missing = left.length === 0 ? '' : `\nNot run yet: ${left.join(', ')}.\n`
  writeFileSync(
    DOCUMENT,
    `${before}\n\n${summary(ordered)}\n${missing}\n${tables(ordered)}\n${after}`,
  )
}

function summary(parts) {
  const all = Object.values(parts).flatMap(({ rows }) => rows)
  const sum = (name) => all.reduce((total, row) => total + row[name], 0).toLocaleString('en-US')
  return `**${sum('tries')} tries, ${sum('acknowledged')} spans acknowledged, ${sum('lost')} lost, ${sum('doubled')} doubled, ${sum('crashes')} crashes** that the fault does not excuse.`
}

function tables(parts) {
  const cell = (value) => String(value).replaceAll('|', '\\|').replaceAll('\n', ' ')
  const number = (value) => value.toLocaleString('en-US')
  const table = ([name, { rows, passed, date, commit: at, machine, minutes }]) => {
    const lines = rows.map(
      ({ group, fault, found, ...counts }) =>
        `| ${cell(group)}: ${cell(fault)} | ${COUNTS.map((count) => number(counts[count])).join(' | ')} | ${cell(found)} |`,
    )
    return `### ${name}

\`npm run faults -- ${name}\` on ${date} at commit ${at}, ${machine}, ${minutes} min: ${passed ? 'passed' : '**FAILED**'}.

| fault | tries | acknowledged | lost | doubled | crashes | found |
| --- | ---: | ---: | ---: | ---: | ---: | --- |
${lines.join('\n')}
`
  }
  return Object.entries(parts).map(table).join('\n')
}

function commit() {
  const git = (...args) => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout.trim()
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', 'src')
  return git('rev-parse', '--short', 'HEAD') + (changed === '' ? '' : ' with changes')
}
