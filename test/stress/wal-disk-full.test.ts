/**
 * Owns the test of a full disk with the real addon. A limit on file sizes stands in for the disk (the kernel fails the same write); the
 * signal that would come with it is ignored, since a full disk sends none.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

interface Outcome {
  acknowledged: number
  refusal?: { code: string; text: string }
}

const script = fileURLToPath(new URL('./wal-death/full-disk.js', import.meta.url))
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

function run(limit_kib: number | 'unlimited', path: string, act: 'fill' | 'read'): Outcome {
  const command = `trap "" XFSZ; ulimit -f ${limit_kib === 'unlimited' ? limit_kib : limit_kib * 2}; exec "$0" "$@"`
  const out = execFileSync('sh', ['-c', command, process.execPath, script, path, act])
  return JSON.parse(out.toString().trim().split('\n').at(-1)!) as Outcome
}

describe.runIf(process.platform === 'linux')('a full disk', () => {
  it('is told by the append that hit it, and all that was acknowledged before is there afterwards', () => {
    const path = mkdtempSync(join(tmpdir(), 'tempo-actors-full-'))
    folders.push(path)
    const full = run(4096, path, 'fill')
    expect(full.refusal?.code).toBe('WAL_FAILED')
    expect(full.refusal?.text).toMatch(/File too large/)
    expect(full.acknowledged).toBeGreaterThan(1_000_000)
    const after = run('unlimited', path, 'read')
    expect(after.refusal).toBeUndefined()
    expect(after.acknowledged).toBe(full.acknowledged)
  })

  it('is told at open, where lmdb would end the process', () => {
    const path = mkdtempSync(join(tmpdir(), 'tempo-actors-full-'))
    folders.push(path)
    const { refusal } = run(4, path, 'fill')
    expect(refusal?.code).toBe('WAL_FAILED')
    expect(refusal?.text).toMatch(/cannot|EFBIG|bytes could be written/)
  })
})
