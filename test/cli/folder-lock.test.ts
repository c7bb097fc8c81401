import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { claimFolder } from '../../src/cli/folder-lock.js'
import { silentLog } from '../../src/lib/log.js'

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'lock-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** What a kill -9 leaves: a socket that nobody listens at. */
function leaveStale(name: string): void {
  const script = `require('net').createServer().listen(${JSON.stringify(join(folder, name))}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
  expect(existsSync(join(folder, name))).toBe(true)
}

const claim = () =>
  claimFolder(folder, silentLog).then(
    (release) => release,
    () => undefined,
  )

describe('the claim on a data folder', () => {
  it('is one process’s, and the next one’s when that gives it back', async () => {
    const release = await claim()
    await expect(claimFolder(folder, silentLog)).rejects.toThrow('another tempo-actors is using it')
    await release!()
    expect(readdirSync(folder)).toEqual([])
    await (await claim())!()
  })

  it.each([['in-use.sock'], ['in-use.0123abcd.sock']])(
    'of a process that was killed (%s) is taken over by one only, however many start at once',
    async (stale) => {
      for (let round = 0; round < 3; round++) {
        leaveStale(stale)
        const releases = await Promise.all(Array.from({ length: 4 }, claim))
        const winners = releases.filter((release) => release !== undefined)
        expect(winners).toHaveLength(1)
        expect(existsSync(join(folder, stale))).toBe(false)
        await winners[0]!()
      }
    },
    60_000,
  )
})
