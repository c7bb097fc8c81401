/** MinIO is gone for a minute while spans come in: flushes are retried, nothing is lost, and all is flushed when it returns. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { load } from '../../src/load/load.js'
import { verify } from '../../src/load/verify.js'
import { isFlushed, tell } from '../support/faults.js'
import { Minio } from '../support/minio.js'
import { peerPath } from '../support/peers.js'
import { eventually, sleep, TestServer } from '../support/server.js'

const OUTAGE_MS = Number(process.env.CHAOS_OUTAGE_S ?? 60) * 1000
const BUCKET = 'traces'
const FLUSHED = 'tempo_live_store_local_blocks_flushed_total'

describe.skipIf(peerPath('minio') === undefined)('MinIO is stopped under load', () => {
  let minio: Minio
  let server: TestServer
  beforeAll(async () => {
    minio = await Minio.start()
    await minio.createBucket(BUCKET)
    server = await TestServer.start({ flags: s3Flags(minio) })
  })
  afterAll(async () => {
    await server.remove()
    await minio.stop()
  })

  it(`flushes everything after an outage of ${OUTAGE_MS / 1000} s, with no span lost or doubled`, async () => {
    const ledger = join(server.folder, 'ledger')
    const loading = load({
      endpoint: server.grpc,
      protocol: 'grpc',
      tenant: '',
      seed: 77,
      run: 'outage',
      ledger,
      traces: Infinity,
      duration_ms: OUTAGE_MS + 10_000,
      rate: 5500,
      connections: 8,
      batch: 128,
      split: 3,
      lateShare: 0,
      late_ms: 0,
      spread_ms: 5000,
      shuffle: 0.1,
      giveUpAfter_ms: 60_000,
      premake: false,
    })
    await eventually(
      'the first block is flushed',
      60_000,
      async () => (await server.metric(FLUSHED)) > 0,
    )
    await minio.suspend()
    await sleep(OUTAGE_MS)
    const failed = await server.metric('tempo_live_store_local_failed_flushes_total')
    const waiting = await server.metric('tempo_actors_live_store_flush_queue_length')
    await minio.resume()
    const report = await loading
    await eventually('nothing waits for its flush', 120_000, () => isFlushed(server))
    const found = await verify({ ledger, base: server.base, concurrency: 4 })
    console.log(
      `outage ${OUTAGE_MS / 1000} s: ${failed} flushes failed, ${waiting} blocks waited, ${found.acknowledgedSpans} spans ` +
        `acknowledged, lost ${found.lostSpans}, doubled ${found.doubledSpans}, ${await server.metric(FLUSHED)} blocks flushed in the end`,
    )
    tell({
      group: 'S3',
      fault: `MinIO is gone for ${OUTAGE_MS / 1000} s`,
      tries: 1,
      acknowledged: found.acknowledgedSpans,
      lost: found.lostSpans + found.tracesMissingInSearch,
      doubled: found.doubledSpans,
      crashes: server.crashes,
      found: `${failed} flushes failed, ${waiting} blocks waited, all flushed afterwards`,
    })
    expect(server.crashes, server.log.slice(-4000)).toBe(0)
    expect(failed).toBeGreaterThan(0)
    expect(waiting).toBeGreaterThan(0)
    expect(report.failedSpans, report.firstError).toBe(0)
    expect(found, found.examples.join('\n')).toMatchObject({ ok: true })
  })
})

function s3Flags(minio: Minio): string[] {
  const { endpoint, access_key, secret_key } = minio.config(BUCKET)
  return [
    '--storage.trace.backend=s3',
    `--storage.trace.s3.bucket=${BUCKET}`,
    `--storage.trace.s3.endpoint=${endpoint}`,
    `--storage.trace.s3.access_key=${access_key}`,
    `--storage.trace.s3.secret_key=${secret_key}`,
    '--storage.trace.s3.insecure=true',
    '--storage.trace.s3.forcepathstyle=true',
    '--live_store.max_block_duration=4s',
    '--actors.max_head_idle=2s',
  ]
}
