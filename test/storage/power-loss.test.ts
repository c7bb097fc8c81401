/**
 * Power cuts on a model of a disk, over a recorded run of the server (test/chaos/power-loss.test.ts makes a new one:
 * POWER_LOSS_RECORDING=test/fixtures/power-loss.jsonl.gz npx vitest run --project chaos test/chaos/power-loss.test.ts).
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { cutPowerEverywhere } from '../support/power-loss.js'
import { parseStrace, unpackRecording, type DiskOp } from '../support/strace.js'

const recording = unpackRecording(
  readFileSync(new URL('../fixtures/power-loss.jsonl.gz', import.meta.url)),
)
const places = { walPath: 'tempo-data/live-store', backendPath: 'tempo-data/blocks', seed: 3 }

describe('a power cut at any point of the recorded run', () => {
  it('leaves every acknowledged commit in its segment or in whole blocks', async () => {
    const report = await cutPowerEverywhere(recording, { ...places, samples: 1 })
    expect(report.violations).toEqual([])
    expect(report.commits).toBeGreaterThan(10)
    expect(report.cuts).toBeGreaterThan(report.commits)
    expect(report.fromBlocks).toBeGreaterThan(0)
  }, 60_000)

  const isSyncOf = (path: RegExp) => (op: DiskOp) => op.call === 'sync' && path.test(op.path)
  it.each([
    ['the commit of a segment', isSyncOf(/live-store\/wal\/p\d\/\d+\/data\.mdb$/)],
    ['the folder of a new segment', isSyncOf(/live-store\/wal\/p\d\/\d+$/)],
    ['the folder of the segments', isSyncOf(/live-store\/wal\/p\d$/)],
    ['the folders above the log', isSyncOf(/live-store(\/wal)?$/)],
    ["a block's data", isSyncOf(/\.draft\/data\.blockpack$|\.draft\/(?!meta)[^/]+$/)],
    ["a block's meta.json", isSyncOf(/\.draft\/meta\.json$/)],
    ["the block's folder before its rename", isSyncOf(/live-store\/blocks\/.*\.draft$/)],
    ["a tenant's folder after a block's rename", isSyncOf(/live-store\/blocks\/p\d\/[^/]+$/)],
    ['the folder of the tenants', isSyncOf(/live-store\/blocks\/p\d$/)],
    ['the folder of a block in the backend', isSyncOf(/tempo-data\/blocks\/[^/]+\/[^/]+$/)],
    ["a tenant's folder in the backend", isSyncOf(/tempo-data\/blocks\/[^/]+$/)],
  ])(
    'is found to lose spans when %s is not synced',
    async (_, isLeftOut) => {
      const worse = recording.filter((op) => !isLeftOut(op))
      expect(worse.length).toBeLessThan(recording.length)
      const report = await cutPowerEverywhere(worse, { ...places, samples: 0 })
      expect(report.violations).not.toEqual([])
    },
    60_000,
  )

  it('is found to lose spans when a segment is dropped before its block is there', async () => {
    const drop = recording.findIndex((op) => op.call === 'rename' && op.to.endsWith('.dropping'))
    const dropped = recording[drop]!
    const block = recording.findIndex((op) => op.call === 'rename' && op.path.endsWith('.draft'))
    expect(block).toBeLessThan(drop)
    const early = [...recording.slice(0, block), dropped, ...recording.slice(block)]
    const report = await cutPowerEverywhere(early, { ...places, samples: 0 })
    expect(report.violations[0]).toMatch(/\.dropping.*is gone, and its block .* is not whole/)
  }, 60_000)
})

describe('the reader of recordings', () => {
  const hex = (text: string) => `"${[...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"` // prettier-ignore
  const options = { cwd: '/data', root: '/data', marks: '/marks' }

  it('joins calls that were interrupted, and keeps the place where each began', () => {
    const text = [
      `7 openat(AT_FDCWD</data>, ${hex('a')}, O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</data/a>`,
      `7 write(3</data/a>, ${hex('one, (two)')}, 10 <unfinished ...>`,
      `8 fsync(3</data/a>) = 0`,
      `7 <... write resumed>) = 10`,
      `7 write(3</data/a>, ${hex('!')}, 1) = 1`,
      `7 openat(AT_FDCWD</data>, ${hex('/etc/x')}, O_RDONLY) = -1 ENOENT (No such file)`,
    ].join('\n')
    expect(parseStrace(text, options)).toEqual([
      { began: 0, ended: 0, call: 'create', path: 'a', truncates: true },
      { began: 2, ended: 2, call: 'sync', path: 'a' },
      {
        began: 1,
        ended: 3,
        call: 'write',
        path: 'a',
        offset: 0,
        bytes: Buffer.from('one, (two)'),
        isSynced: false,
      },
      {
        began: 4,
        ended: 4,
        call: 'write',
        path: 'a',
        offset: 10,
        bytes: Buffer.from('!'),
        isSynced: false,
      },
    ])
  })
})
