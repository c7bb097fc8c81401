/** Power cuts at every point of a server's life under `actors.wal_sync: flushed`: a run is recorded by strace and replayed on a model of a disk. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { load } from '../../src/load/load.js'
import { SHORT_LIVES, tell } from '../support/faults.js'
import { cutPowerEverywhere } from '../support/power-loss.js'
import { eventually, TestServer } from '../support/server.js'
import { packRecording, parseStrace, STRACE_CALLS, type DiskOp } from '../support/strace.js'

/** Where to put the recording for test/storage/power-loss.test.ts. */
const KEEP = process.env.POWER_LOSS_RECORDING
const LOAD_MS = 5000
const DELETED_MS = 90_000

const hasStrace = spawnSync('strace', ['-V']).status === 0
const title = 'a power cut' + (hasStrace ? '' : ' (skipped: there is no strace)')

describe.skipIf(!hasStrace)(title, () => {
  it('at any point of a recorded run leaves every acknowledged span on the disk', async () => {
    const ops = await record()
    if (KEEP !== undefined) writeFileSync(KEEP, packRecording(ops))
    const report = await cutPowerEverywhere(ops, {
      walPath: 'tempo-data/live-store',
      backendPath: 'tempo-data/blocks',
      seed: 1,
      samples: 1,
    })
    tell({
      group: 'power loss',
      fault: 'cut at every commit, rename and deletion of a recorded run (wal_sync: flushed)',
      tries: report.disks,
      acknowledged: report.commits,
      lost: report.violations.length,
      doubled: 0,
      crashes: 0,
      found: `${report.cuts} cuts, ${report.segments} segments, found ${report.fromBlocks} times in blocks (acknowledged: commits)`,
    })
    expect(report.violations).toEqual([])
    expect(report.commits).toBeGreaterThan(10)
    expect(report.fromBlocks).toBeGreaterThan(10)
  })
})

/** A server that takes spans of two tenants, cuts, builds, flushes and deletes. */
async function record(): Promise<DiskOp[]> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'power-')))
  const [recording, marks] = [join(folder, 'strace.txt'), join(folder, 'marks.txt')]
  const strace = ['strace', '-f', '-y', '-xx', '-s', '1000000', '-o', recording]
  const server = await TestServer.at({
    under: [...strace, '-e', `trace=${STRACE_CALLS}`],
    env: { TEMPO_ACTORS_FAILPOINT_TRACE: marks, UV_USE_IO_URING: '0' },
    flags: [
      '--actors.chaos=true',
      '--actors.wal_sync=flushed',
      '--multitenancy_enabled=true',
      '--actors.supervisor.heartbeat_timeout=60s',
      ...SHORT_LIVES,
    ],
  })
  try {
    await server.up()
    await Promise.all(['one', 'two'].map((tenant, at) => send(server, tenant, at)))
    const gone = () => readFileSync(marks, 'utf8').split('\n').filter((line) => line.startsWith('local.forget.after')).length // prettier-ignore
    await eventually('local copies are deleted', DELETED_MS, () => gone() >= 4)
    const [node] = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').split(' ') // prettier-ignore
    process.kill(Number(node), 'SIGKILL')
    await server.ended(10_000)
    const text = readFileSync(recording, 'latin1')
    return parseStrace(text, { cwd: server.folder, root: server.folder, marks })
  } finally {
    await server.remove()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function send(server: TestServer, tenant: string, seed: number): Promise<void> {
  const report = await load({
    endpoint: server.grpc,
    protocol: 'grpc',
    tenant,
    seed: seed + 1,
    run: `power-${tenant}`,
    ledger: undefined,
    traces: Infinity,
    duration_ms: LOAD_MS,
    rate: 20,
    connections: 1,
    batch: 16,
    split: 1,
    lateShare: 0,
    late_ms: 0,
    spread_ms: 1000,
    shuffle: 0,
    giveUpAfter_ms: 60_000,
    premake: false,
  })
  expect(report.failedSpans, report.firstError).toBe(0)
}
