/** S3 on a bad day: errors, silence, lost answers, cut bodies, late listings, an endpoint that is not there. Nothing acknowledged is lost or counted twice. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { IS_FULL, isFlushed, round, SHORT_LIVES, tell } from '../support/faults.js'
import { Minio } from '../support/minio.js'
import { freePort } from '../../src/bench/free-port.js'
import { peerPath, peerTitle } from '../support/peers.js'
import { S3Proxy, type S3Fault } from '../support/s3-proxy.js'
import { eventually, sleep, TestServer } from '../support/server.js'

const BUCKET = 'traces'
const GROUP = 'S3'
const FAULT_MS = IS_FULL ? 15_000 : 5000
const SETTLED_MS = 90_000
/** Of the requests; the SDK tries each five times. */
const SHARE = IS_FULL ? 0.5 : 0.3
const FAULTS: readonly (readonly [string, readonly S3Fault[]])[] = [
  ['HTTP 500', ['error']],
  ['HTTP 503 SlowDown', ['slow-down']],
  ['no answer', ['silence']],
  ['connections reset', ['reset']],
  ['requests done, answers lost', ['lost-answer']],
  ['bodies cut off', ['truncated']],
  ['wrong ETags', ['wrong-etag']],
  ['listings 4 s late', ['late-listing']],
  ['all of them', ['error', 'slow-down', 'reset', 'lost-answer', 'truncated', 'wrong-etag']],
]

/** A slice tries what is unlike the others, and those together. */
const TRIED = IS_FULL ? FAULTS : FAULTS.slice(-2)

describe.skipIf(peerPath('minio') === undefined)(peerTitle('S3 on a bad day', 'minio'), () => {
  let minio: Minio
  let proxy: S3Proxy
  let server: TestServer
  let buckets = 0
  beforeAll(async () => {
    minio = await Minio.start()
    proxy = await S3Proxy.start(minio, 5)
  })
  // Blocks live for a second here: with those of all faults in one bucket, each search would look at hundreds.
  beforeEach(async () => {
    const bucket = `${BUCKET}-${++buckets}`
    await minio.createBucket(bucket)
    const own = flags(minio, proxy.endpoint, bucket)
    server = await TestServer.start({ flags: [...own, ...SHORT_LIVES] })
  })
  afterEach(() => server.remove())
  afterAll(async () => {
    await proxy.stop()
    await minio.stop()
  })

  it.each(TRIED)('%s: flushes are tried again, every span is found once', async (fault, kinds) => {
    const seed = 300 + FAULTS.findIndex(([name]) => name === fault)
    const { pid } = server
    await round({
      server,
      group: GROUP,
      fault,
      seed,
      load_ms: FAULT_MS,
      rate: 1000,
      happens: async () => {
        proxy.met.clear()
        proxy.share = SHARE
        proxy.faults = kinds
        await sleep(FAULT_MS)
        return `${proxy.metTotal} requests met it`
      },
      settles: async () => {
        // A listing is only late while the blocks are young: the search runs against it.
        proxy.faults = kinds.includes('late-listing') ? kinds : []
        await eventually('all is flushed', SETTLED_MS, () => isFlushed(server))
      },
    })
    proxy.faults = []
    expect(proxy.metTotal).toBeGreaterThan(0)
    expect(server.pid).toBe(pid)
  })

  it('reads blocks whose local copies are gone through resets, errors and cut bodies', async () => {
    await round({
      server,
      group: GROUP,
      fault: 'reads of S3 alone: resets, errors, cut bodies',
      seed: 390,
      load_ms: 3000,
      rate: 1000,
      happens: async () => {
        await sleep(3000)
        await eventually('all is flushed', SETTLED_MS, () => isFlushed(server))
        const cleared = 'tempo_live_store_blocks_cleared_total'
        await eventually('the local copies are gone', SETTLED_MS, async () => {
          const flushed = await server.metric('tempo_live_store_local_blocks_flushed_total')
          return (await server.metric(cleared)) >= flushed
        })
        proxy.met.clear()
        proxy.share = 0.15
        proxy.faults = ['error', 'reset', 'truncated']
        return 'no local copies left'
      },
    })
    proxy.faults = []
    expect(proxy.metTotal).toBeGreaterThan(0)
  })
})

describe.skipIf(peerPath('minio') === undefined)(peerTitle('S3 at a start', 'minio'), () => {
  let minio: Minio
  let server: TestServer | undefined
  beforeAll(async () => {
    minio = await Minio.start()
    await minio.createBucket(BUCKET)
  })
  afterEach(async () => {
    await server?.remove()
    server = undefined
  })
  afterAll(() => minio.stop())

  it('is not there: spans are taken and found all the same, told as partial, and flushed when it comes', async () => {
    const port = await freePort()
    const running = (server = await TestServer.start({
      flags: [...flags(minio, `127.0.0.1:${port}`), ...SHORT_LIVES],
    }))
    let proxy: S3Proxy | undefined
    try {
      await round({
        server: running,
        group: GROUP,
        fault: 'not there at the start',
        seed: 401,
        load_ms: 4000,
        rate: 500,
        happens: async () => {
          await sleep(3000)
          const unknown = await fetch(`${running.base}/api/v2/traces/${'a'.repeat(32)}`)
          expect(await unknown.json()).toMatchObject({ status: 'PARTIAL' })
          expect((await fetch(`${running.base}/api/traces/${'a'.repeat(32)}`)).status).toBe(503)
          return 'spans were taken and found before S3 was there'
        },
      })
      proxy = await S3Proxy.start(minio, 6, port)
      await eventually('all is flushed', SETTLED_MS, () => isFlushed(running))
      await eventually('answers are whole', 30_000, async () => {
        const reply = await running.get(`/api/v2/traces/${'a'.repeat(32)}`)
        return !Object.hasOwn(reply as object, 'status')
      })
    } finally {
      await proxy?.stop()
    }
  })

  it.each([
    [
      'bucket',
      'no-such-bucket',
      /does not exist: create it, or correct storage\.trace\.s3\.bucket/,
    ],
    ['secret_key', 'not-the-key', /the secret key does not fit the access key/],
    ['access_key', 'nobody', /the access key is not known there/],
  ])('refuses us for its %s: told in one sentence, with exit code 1', async (key, value, words) => {
    const flag = `--storage.trace.s3.${key}=`
    const others = flags(minio, minio.endpoint).filter((given) => !given.startsWith(flag))
    server = await TestServer.at({ flags: [...others, flag + value] })
    server.launch()
    const exit = await server.ended(30_000)
    expect(exit, server.log).toEqual({ code: 1, signal: null })
    expect(server.log).toMatch(words)
    expect(server.log).not.toMatch(/^\s+at /m)
    const found = words.exec(server.log)![0]
    tell({ group: GROUP, fault: `wrong ${key} at the start`, tries: 1, acknowledged: 0, lost: 0, doubled: 0, crashes: 0, found: `does not start: ${found}` }) // prettier-ignore
  })
})

function flags(minio: Minio, endpoint: string, bucket = BUCKET): string[] {
  const { access_key, secret_key } = minio.config(bucket)
  return [
    '--storage.trace.backend=s3',
    `--storage.trace.s3.bucket=${bucket}`,
    `--storage.trace.s3.endpoint=${endpoint}`,
    `--storage.trace.s3.access_key=${access_key}`,
    `--storage.trace.s3.secret_key=${secret_key}`,
    '--storage.trace.s3.insecure=true',
    '--storage.trace.s3.forcepathstyle=true',
  ]
}
