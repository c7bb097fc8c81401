/** That a hedged read's loser is ended down to its socket, with the real client against a server that is slow by order. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../../src/config.js'
import { silentLog } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import { hedged } from '../../../src/storage/backend/hedged.js'
import { S3Backend } from '../../../src/storage/backend/s3.js'

const BODY = Buffer.alloc(100_000, 'x')
/** Far above what a loaded machine takes to do what is waited for. */
const PATIENCE_MS = 10_000

type Answer = (response: ServerResponse) => void
const atOnce: Answer = (response) => {
  response.writeHead(200, { 'content-length': BODY.length }).end(BODY)
}
const never: Answer = () => {}
const halfABody: Answer = (response) => {
  response.writeHead(200, { 'content-length': BODY.length }).write(BODY.subarray(0, 50_000))
}

/** Each request in turn is answered as ordered; `closed` is of those whose answers did not end. */
async function slowStore() {
  const orders: Answer[] = []
  const state = { requests: 0, closed: 0 }
  const server = createServer((_, response) => {
    response.on('close', () => {
      if (!response.writableFinished) state.closed++
    })
    orders[state.requests++]!(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { orders, state, endpoint: `http://127.0.0.1:${port}`, close }
}

describe('a hedged read of S3', () => {
  let store: Awaited<ReturnType<typeof slowStore>>
  let backend: S3Backend

  beforeEach(async () => {
    store = await slowStore()
    const { s3 } = loadConfig({ cwd: '/', files: [], env: {} }).config.storage
    const keys = { access_key: 'a', secret_key: 'b' }
    const place = { ...s3, ...keys, bucket: 'b', endpoint: store.endpoint }
    backend = new S3Backend(place, { clock: systemClock, log: silentLog })
  })
  afterEach(async () => {
    await backend.close()
    store.close()
  })

  const reader = () => hedged(backend, { clock: systemClock, after_ms: 50, upTo: 2 })

  it('takes the second answer, and closes the connection of the first request', async () => {
    store.orders.push(never, atOnce)
    expect(await reader().get('t/object')).toHaveLength(BODY.length)
    await expect
      .poll(() => store.state, { timeout: PATIENCE_MS })
      .toEqual({ requests: 2, closed: 1 })
  })

  it('waits for a body that has begun, without a second request', async () => {
    let first!: ServerResponse
    store.orders.push((response) => {
      first = response
      halfABody(response)
    })
    const read = reader().get('t/object')
    await systemClock.sleep(300)
    expect(store.state).toEqual({ requests: 1, closed: 0 })
    first.end(BODY.subarray(50_000))
    expect(await read).toHaveLength(BODY.length)
  })

  it('is closed in the midst of its body when who asked gives up, and is not begun again', async () => {
    store.orders.push(halfABody, atOnce, atOnce, atOnce)
    const asker = new AbortController()
    const begun = new Promise<void>((onAnswer) => {
      const watch = { signal: asker.signal, onAnswer }
      reader()
        .get('t/object', undefined, watch)
        .catch(() => undefined)
    })
    await begun
    asker.abort()
    await expect.poll(() => store.state.closed, { timeout: PATIENCE_MS }).toBe(1)
    await systemClock.sleep(200)
    expect(store.state.requests).toBe(1)
    const late = backend.get('t/object', undefined, { signal: asker.signal })
    await expect(late).rejects.toThrow('cannot read t/object: who asked for it gave it up')
    expect(store.state.requests).toBe(1)
  })
})
