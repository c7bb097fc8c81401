/**
 * Owns the run of the whole fault suite: every test of test/chaos, its rows as a table on the screen and, of a full run, in docs/faults.md.
 *
 *   npm run faults                everything: 100 kills, each named point three times, each fault at its full length
 *   npm run faults -- --slice     what fits into ten minutes, for CI; writes nothing, unless --write
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
const DOCUMENT = join(ROOT, 'docs/faults.md')
const SLICE_MS = 10 * 60_000
/** In the order of the table. */
const SUITES = [
  'test/chaos/kill-process.test.ts',
  'test/chaos/failpoints.test.ts',
  'test/chaos/power-loss.test.ts',
  'test/chaos/disk.test.ts',
  'test/chaos/time-and-wal.test.ts',
  'test/chaos/s3-faults.test.ts',
  'test/stress/wal-damage.test.ts',
]
const FULL_SUITES = [
  ...SUITES,
  'test/chaos/crash-actors.test.ts',
  'test/chaos/minio-outage.test.ts',
]

const isSlice = process.argv.includes('--slice')
const writes = !isSlice || process.argv.includes('--write')
const folder = mkdtempSync(join(tmpdir(), 'faults-'))
const rowsFile = join(folder, 'rows')
const env = {
  ...process.env,
  FAULTS: isSlice ? 'slice' : 'full',
  FAULTS_ROWS: rowsFile,
  CHAOS_KILLS: process.env.CHAOS_KILLS ?? (isSlice ? '5' : '100'),
}
const began = performance.now()
const code = await run(isSlice ? SUITES : FULL_SUITES)
const minutes = (performance.now() - began) / 60_000
const text = report(rows(), minutes, code)
console.log(`\n${text}`)
if (writes && code === 0) writeFileSync(DOCUMENT, text)
rmSync(folder, { recursive: true, force: true })
process.exit(code)

/** The exit code of vitest; 1 also when the slice takes longer than it may. */
function run(suites) {
  const args = ['vitest', 'run', '--project', 'chaos', '--project', 'stress', ...suites]
  const child = spawn('npx', args, { cwd: ROOT, env, stdio: 'inherit', detached: true })
  const end = () => {
    console.error(`the slice is not done within ${SLICE_MS / 60_000} minutes`)
    // vitest and the servers that it started are one group of processes, ours.
    process.kill(-child.pid, 'SIGTERM')
  }
  const timer = isSlice ? setTimeout(end, SLICE_MS) : undefined
  return new Promise((resolve) => {
    child.once('exit', (exitCode) => {
      clearTimeout(timer)
      resolve(exitCode ?? 1)
    })
  })
}

/** Rounds of the same fault are one row. */
function rows() {
  const found = new Map()
  const text = existsSync(rowsFile) ? readFileSync(rowsFile, 'utf8') : ''
  for (const line of text.split('\n').filter(Boolean)) {
    const row = JSON.parse(line)
    const key = `${row.group}\n${row.fault}`
    const sum = found.get(key)
    if (!sum) {
      found.set(key, row)
      continue
    }
    for (const name of ['tries', 'acknowledged', 'lost', 'doubled', 'crashes'])
      sum[name] += row[name]
    sum.found = row.found
  }
  return [...found.values()]
}

function report(all, took_min, exitCode) {
  const sum = (name) => all.reduce((total, row) => total + row[name], 0)
  const number = (value) => value.toLocaleString('en-US')
  const cell = (value) => String(value).replaceAll('|', '\\|').replaceAll('\n', ' ')
  const tables = [...new Set(all.map(({ group }) => group))].map((group) => {
    const lines = all
      .filter((row) => row.group === group)
      .map(
        ({ fault, tries, acknowledged, lost, doubled, crashes, found }) =>
          `| ${cell(fault)} | ${number(tries)} | ${number(acknowledged)} | ${lost} | ${doubled} | ${crashes} | ${cell(found)} |`,
      )
    return `## ${group[0].toUpperCase()}${group.slice(1)}

| fault | tries | acknowledged | lost | doubled | crashes | found |
| --- | ---: | ---: | ---: | ---: | ---: | --- |
${lines.join('\n')}
`
  })
  const memory = Math.round(totalmem() / 2 ** 30)
  return `# Faults that were tried

Written by \`npm run faults\`${isSlice ? ' (a slice)' : ''} on ${new Date().toISOString().slice(0, 10)} at commit ${commit()}, Node ${process.version},
${process.platform}, ${cpus().length} cores, ${memory} GiB, in ${took_min.toFixed(0)} minutes. Result: ${exitCode === 0 ? 'every test passed' : 'FAILED'}.

Spans are sent with a ledger of what was acknowledged; after the fault each acknowledged span is looked for by trace id, by search and by
\`count_over_time()\`. **${number(sum('tries'))} tries, ${number(sum('acknowledged'))} acknowledged, ${sum('lost')} lost, ${sum('doubled')} doubled, ${sum('crashes')} crashes of the process** that the fault does not excuse.

${tables.join('\n')}`
}

function commit() {
  const git = (...args) => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout.trim()
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', 'src')
  return git('rev-parse', '--short', 'HEAD') + (changed === '' ? '' : ' with changes')
}
