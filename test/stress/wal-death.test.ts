/**
 * Owns the first test of the store: the owner of the log dies in every way there is, at random moments of its commits, and its
 * replacement must open within a second and find all that was acknowledged, once. WAL_DEATH_ROUNDS sets the number of each.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

interface Times {
  p50_ms: number
  p99_ms: number
  max_ms: number
}

interface Series {
  how: string
  sync: 'committed' | 'flushed'
  rounds: number
  defect?: string
  exits: Record<string, number>
  withWritesInFlight: number
  /** Opening the log and the state. */
  open: Times
  /** From the birth of the thread until both are open. */
  ready: Times
  load: number
  appends: number
  MB: number
  replayed: number
  rotations: number
  drops: number
  stateChanges: number
}

const ROUNDS = Number(process.env.WAL_DEATH_ROUNDS ?? 1000)
const SEED = Number(process.env.WAL_DEATH_SEED ?? 7)
const KILLS = Math.max(1, Math.min(50, ROUNDS))
const LONGEST_OPEN_MS = 1000
const MINUTES = 60_000

const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-death-'))
const table: Series[] = []

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  const rows = table.map(({ exits, open, ready, defect, ...row }) => ({
    ...row,
    'open p50/p99/max': Object.values(open).join('/'),
    'ready p50/p99/max': Object.values(ready).join('/'),
    exits: Object.entries(exits)
      .map(([end, count]) => `${end} x${count}`)
      .join(', '),
    defect: defect ?? 'none',
  }))
  console.table(rows)
})

let running = 0
const turns: (() => void)[] = []

/** Two series at a time: more would measure the scheduler. */
async function inTurn<T>(run: () => Promise<T>): Promise<T> {
  while (running >= 2) await new Promise<void>((resolve) => turns.push(resolve))
  running++
  try {
    return await run()
  } finally {
    running--
    turns.shift()?.()
  }
}

/** Runs a series in a process of its own: an abort of that process is a failure, and says which signal it was. */
async function die(how: string, rounds: number, sync: Series['sync']): Promise<Series> {
  const driver = fileURLToPath(new URL('./wal-death/driver.js', import.meta.url))
  const options = { how, rounds, sync, seed: SEED, path: join(folder, `${how}-${sync}`) }
  const child = spawn(process.execPath, [driver, JSON.stringify(options)])
  let out = ''
  let complaints = ''
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (complaints += data.toString()))
  const end = await new Promise<string>((resolve) => {
    child.on('close', (code, signal) => resolve(signal ?? String(code)))
  })
  const line = out.trim().split('\n').at(-1)
  if (!line) throw new Error(`the process of "${how}" ended by ${end}: ${complaints.slice(-2000)}`)
  const series = JSON.parse(line) as Series
  table.push(series)
  expect(series.defect).toBeUndefined()
  expect(end).toBe('0')
  return series
}

function check(series: Series, rounds: number): void {
  const deaths = Object.values(series.exits).reduce((sum, count) => sum + count, 0)
  expect(deaths).toBe(rounds + 1)
  // On a busy machine the birth of a thread takes what it takes; opening the log is ours.
  expect(series.open.p99_ms).toBeLessThan(LONGEST_OPEN_MS)
  expect(series.ready.p50_ms).toBeLessThan(LONGEST_OPEN_MS)
  expect(series.replayed).toBeGreaterThan(0)
}

describe('the owner of the log', () => {
  it.concurrent.each([
    ['throw', 0.8],
    ['hang', 0.8],
    ['oom', 0.5],
    ['stop', 0],
  ])(
    `dies by %s with writes in flight, ${ROUNDS} times, and loses nothing acknowledged`,
    async (how, inFlight) => {
      const series = await inTurn(() => die(how, ROUNDS, 'committed'))
      check(series, ROUNDS)
      expect(series.withWritesInFlight).toBeGreaterThanOrEqual(inFlight * ROUNDS)
    },
    60 * MINUTES,
  )

  it(`is killed with its process ${KILLS} times and loses nothing acknowledged`, async () => {
    const series = await die('kill', KILLS, 'committed')
    check(series, KILLS)
    expect(series.exits['exit SIGKILL']).toBe(KILLS)
  })

  it(`dies while commits are flushed to disk`, async () => {
    for (const how of ['throw', 'hang', 'oom']) check(await die(how, KILLS, 'flushed'), KILLS)
  })
})
