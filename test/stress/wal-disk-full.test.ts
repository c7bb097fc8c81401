/** Owns the test of a full disk with the real addon, on a small tmpfs in a namespace of its own, where the system allows one. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

interface Outcome {
  held: { asked: number; acknowledged: number; applied: number }
  acknowledged: number
  replayed: number
  refusal: string
}

const SIZE = '80m'
const script = fileURLToPath(new URL('./wal-death/full-disk.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-full-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs node with these arguments where `folder` is a file system of 80 MiB. */
function onSmallDisk(...args: string[]) {
  const mount = `mount -t tmpfs -o size=${SIZE} none "$0" && exec "$@"`
  const command = ['-rm', 'sh', '-c', mount, folder, process.execPath, ...args]
  return spawnSync('unshare', command, { encoding: 'utf8' })
}

describe.runIf(onSmallDisk('--version').status === 0)('a full disk', () => {
  it('holds commits back until there is room, loses none, and refuses to open without any', () => {
    const run = onSmallDisk(script, folder)
    expect(run.stderr).toMatch(/disk is full: wal commits wait/)
    expect(run.status, run.stderr).toBe(0)
    const { held, acknowledged, replayed, refusal } = JSON.parse(run.stdout) as Outcome
    expect(held.acknowledged).toBeLessThan(held.asked)
    expect(held.applied).toBe(held.acknowledged)
    expect(held.acknowledged).toBeGreaterThan(1_000_000)
    expect(acknowledged).toBe(held.asked)
    expect(replayed).toBe(held.asked)
    expect(refusal).toMatch(/WAL_FAILED: .*(ENOSPC|bytes could be written)/)
  })
})
