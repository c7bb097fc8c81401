/** Owns the test of a write-ahead log whose bytes were changed on the disk: never a crash, never a wrong record, never a loss in silence. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { tell } from '../support/faults.js'

interface Outcome {
  seed: number
  records: number
  found: number
  wrong: number
  told: boolean
}

const DAMAGES = Number(process.env.WAL_DAMAGES ?? 300)
const SEED = Number(process.env.WAL_SEED ?? 1)
const script = fileURLToPath(new URL('./wal-damage/damage.js', import.meta.url))

it(`${DAMAGES} damages of a segment: the process lives, what is lost is told, and all else is as it was written`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'wal-damage-'))
  const run = spawnSync(process.execPath, [script, folder, String(SEED), String(DAMAGES)], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  rmSync(folder, { recursive: true, force: true })
  // LMDB follows a damaged page into a crash: the last line is the seed.
  expect([run.status, run.signal], run.stdout.slice(-300) + run.stderr).toEqual([0, null])
  const outcomes = run.stdout
    .split('\n')
    .filter((line) => line.includes('"found"'))
    .map((line) => JSON.parse(line) as Outcome)
  expect(outcomes).toHaveLength(DAMAGES)
  expect(outcomes.filter(({ wrong }) => wrong > 0)).toEqual([])
  expect(outcomes.filter(({ records, found, told }) => found < records && !told)).toEqual([])
  const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((n, o) => n + of(o), 0)
  const records = sum((outcome) => outcome.records)
  tell({
    group: 'damaged WAL',
    fault: '1, 4 or 16 bytes changed anywhere in a segment',
    tries: DAMAGES,
    acknowledged: records,
    lost: 0,
    doubled: 0,
    crashes: 0,
    found: `${records - sum((outcome) => outcome.found)} records stood in the damage, each told in the log (acknowledged: records)`,
  })
}, 300_000)
