import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, connect, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLog } from '../../src/lib/log.js'
import { retry } from '../../src/lib/retry.js'
import { systemClock } from '../../src/lib/time.js'
import { BackendError, ObjectNotFound } from '../../src/storage/backend/backend.js'
import { hedged } from '../../src/storage/backend/hedged.js'
import { ReadCache } from '../../src/storage/backend/read-cache.js'
import { S3Backend, type S3Options } from '../../src/storage/backend/s3.js'
import { isBlockData } from '../../src/storage/block/registry.js'
import { describeBackendContract } from '../support/backend-contract.js'
import { Minio } from '../support/minio.js'
import { freePort } from '../../src/bench/free-port.js'
import { peerPath, peerTitle } from '../support/peers.js'
import { Random } from '../support/random.js'
import { readingThrough } from '../support/reading-through.js'

const BLOCK = '6f2b8f1e-0000-4000-8000-000000000001'
const MIB = 1 << 20
const options: S3Options = { clock: systemClock, log: silentLog }

describe.skipIf(!peerPath('minio'))(peerTitle('s3 against MinIO', 'minio'), () => {
  let minio: Minio
  let folder: string

  beforeAll(async () => {
    minio = await Minio.start()
    folder = await mkdtemp(join(tmpdir(), 's3-test-'))
    for (const bucket of ['contract', 'shared', 'data']) await minio.createBucket(bucket)
  })
  afterAll(async () => {
    await minio.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const open = (bucket: string, changes = {}, more: Partial<S3Options> = {}) =>
    new S3Backend(minio.config(bucket, changes), { ...options, ...more })

  describeBackendContract('s3', () => Promise.resolve(open('contract')))
  describeBackendContract('s3 under a prefix', () =>
    Promise.resolve(open('shared', { prefix: '/one/two/' })),
  )

  describeBackendContract('s3 as queriers read it', () => {
    const backend = open('contract', { prefix: 'reads' })
    const reader = hedged(backend, { clock: systemClock, after_ms: 2, upTo: 3 })
    const cache = new ReadCache(reader, { max_bytes: MIB, isImmutable: isBlockData })
    return Promise.resolve(readingThrough(backend, cache))
  })

  it('keeps to its prefix: neighbours in the bucket do not see each other', async () => {
    const one = open('data', { prefix: 'one' })
    const other = open('data', { prefix: 'one-more' })
    const whole = open('data')
    await one.put(`t/${BLOCK}/meta.json`, Buffer.from('1'))
    await other.put(`u/${BLOCK}/meta.json`, Buffer.from('2'))
    expect((await one.list('')).folders).toEqual(['t'])
    expect((await other.list('')).folders).toEqual(['u'])
    expect(Buffer.from(await whole.get(`one/t/${BLOCK}/meta.json`)).toString()).toBe('1')
  })

  it('uploads a file of 20 MiB in parts, and reads it in ranges across them', async () => {
    const backend = open('data')
    const content = randomBytes(20 * MIB + 12_345, 7)
    const file = join(folder, 'large')
    await writeFile(file, content)
    await backend.putFile(`large/${BLOCK}/data`, file)
    expect(content.equals(await backend.get(`large/${BLOCK}/data`))).toBe(true)
    for (const [offset, length] of [
      [0, 1],
      [8 * MIB - 3, 6],
      [5 * MIB, 10 * MIB],
      [content.length - 1, 1],
    ] as const) {
      const range = await backend.getRange(`large/${BLOCK}/data`, offset, length)
      expect(content.subarray(offset, offset + length).equals(range)).toBe(true)
    }
    await expect(backend.getRange(`large/${BLOCK}/data`, content.length - 1, 2)).rejects.toThrow(
      `it ends at ${content.length}`,
    )
    await backend.close()
  })

  it('lists more than one page', async () => {
    const backend = open('data')
    const names = Array.from({ length: 1_050 }, (_, i) => `o${String(i).padStart(4, '0')}`)
    for (let i = 0; i < names.length; i += 50) {
      const some = names.slice(i, i + 50)
      await Promise.all(some.map((name) => backend.put(`paged/${name}`, Buffer.from('x'))))
    }
    expect((await backend.list('paged')).objects).toEqual(names)
    await backend.close()
  })

  it('is ready when the bucket is there', async () => {
    await expect(open('data', { prefix: 'empty' }).ensureReady()).resolves.toBeUndefined()
  })

  it('says which bucket is missing, and where', async () => {
    const backend = open('no-such-bucket')
    const text = `the bucket cannot be used: http://${minio.endpoint}: the bucket "no-such-bucket" does not exist: create it, or correct storage.trace.s3.bucket`
    await expect(backend.ensureReady()).rejects.toMatchObject({ message: text, retryable: false })
    await expect(backend.get('t/object')).rejects.toMatchObject({ code: 'BACKEND' })
    await expect(backend.put('t/object', Buffer.from('x'))).rejects.toThrow('does not exist')
  })

  it('says that the secret key is wrong, and that the access key is', async () => {
    const secret = open('data', { secret_key: 'another-secret' })
    await expect(secret.ensureReady()).rejects.toMatchObject({
      message: expect.stringContaining('the secret key does not fit the access key') as string,
      retryable: false,
    })
    const access = open('data', { access_key: 'another-key' })
    await expect(access.ensureReady()).rejects.toThrow('the access key is not known there')
  })

  it('says that nothing listens there, as something that may pass', async () => {
    const endpoint = `127.0.0.1:${await freePort()}`
    const backend = open('data', { endpoint })
    await expect(backend.ensureReady()).rejects.toMatchObject({
      message: `the bucket cannot be used: http://${endpoint}: the connection was refused: is the server running there?`,
      retryable: true,
    })
  })

  it('says that the server speaks no TLS', async () => {
    const backend = open('data', { insecure: false })
    await expect(backend.ensureReady()).rejects.toThrow('set storage.trace.s3.insecure: true')
  })

  it('gives up at the deadline when the server does not answer, and works after', async () => {
    const proxy = await stallingProxy(minio.port)
    const backend = open('data', { endpoint: proxy.endpoint }, { operation_timeout_ms: 500 })
    await backend.put('stall/object', Buffer.alloc(4 * MIB, 's'))
    proxy.stall(true)
    const begun_ms = performance.now()
    const failure = await backend.get('stall/object').catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(BackendError)
    expect(failure).toMatchObject({ retryable: true })
    expect(performance.now() - begun_ms).toBeLessThan(5_000)
    proxy.stall(false)
    expect(await backend.get('stall/object')).toHaveLength(4 * MIB)
    await backend.close()
    proxy.close()
  })

  it('reads again when a body breaks off', async () => {
    const proxy = await stallingProxy(minio.port)
    const backend = open('data', { endpoint: proxy.endpoint })
    await backend.put('broken/object', Buffer.alloc(4 * MIB, 'b'))
    proxy.cutNextAfter(MIB)
    expect(await backend.get('broken/object')).toHaveLength(4 * MIB)
    expect(proxy.cuts).toBe(1)
    proxy.cutNextAfter(MIB)
    expect(await backend.getRange('broken/object', 1, 3 * MIB)).toHaveLength(3 * MIB)
    expect(proxy.cuts).toBe(2)
    await backend.close()
    proxy.close()
  })

  it('shows no object and leaves no upload behind when a part fails', async () => {
    const proxy = await stallingProxy(minio.port)
    const backend = open('data', { endpoint: proxy.endpoint }, { request_attempts: 1 })
    const file = join(folder, 'parts')
    await writeFile(file, Buffer.alloc(40 * MIB, 'p'))
    proxy.cutNextAfter(0, 12 * MIB)
    await expect(backend.putFile('parts/object', file)).rejects.toMatchObject({ retryable: true })
    await expect(open('data').get('parts/object')).rejects.toThrow(ObjectNotFound)
    expect(await minio.openUploads('data')).toBe(0)
    await backend.putFile('parts/object', file)
    expect(await backend.getRange('parts/object', 40 * MIB - 1, 1)).toHaveLength(1)
    await backend.close()
    proxy.close()
  })

  it('carries on when MinIO is stopped and started in the middle of uploads', async () => {
    const backend = open('data')
    const file = join(folder, 'block')
    await writeFile(file, randomBytes(10 * MIB, 3))
    const retries: string[] = []
    const stop = new AbortController()
    const flush = (name: string) =>
      retry(() => backend.putFile(`restart/${name}`, file), {
        clock: systemClock,
        min_delay_ms: 50,
        max_delay_ms: 500,
        attempts: Infinity,
        retryable: (error) => error instanceof BackendError && error.retryable,
        onRetry: (error) => retries.push(String(error)),
        signal: stop.signal,
      })
    await flush('before')
    const names = Array.from({ length: 6 }, (_, i) => `block${i}`)
    const flushes = names.map(flush)
    await new Promise((resolve) => setTimeout(resolve, 20))
    await minio.suspend('SIGKILL')
    const refused = await backend.get('restart/before').catch((error: unknown) => error)
    expect(refused).toMatchObject({ retryable: true })
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    await minio.resume()
    await Promise.all(flushes)
    expect(retries.length).toBeGreaterThan(0)
    expect((await backend.list('restart')).objects).toEqual(['before', ...names])
    for (const name of names) {
      const tail = await backend.getRange(`restart/${name}`, 10 * MIB - 4, 4)
      expect(tail).toHaveLength(4)
    }
    await backend.close()
  })

  it('fails what is under way when it is closed, and what comes after', async () => {
    const proxy = await stallingProxy(minio.port)
    const backend = open('data', { endpoint: proxy.endpoint })
    proxy.stall(true)
    const pending = backend.get('t/object').catch((error: unknown) => error)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await backend.close()
    expect(String(await pending)).toContain('closed')
    await expect(backend.get('t/object')).rejects.toThrow('the backend is closed')
    proxy.close()
  })
})

function randomBytes(length: number, seed: number): Buffer {
  const random = new Random(seed)
  const bytes = Buffer.alloc(length)
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(random.bits(), i)
  return bytes
}

/** A TCP proxy that can go silent, or cut a connection after so many bytes of an answer or of a request. */
async function stallingProxy(port: number) {
  let isStalled = false
  let cutAnswerAfter = 0
  let cutRequestAfter = 0
  const state = { cuts: 0 }
  const sockets = new Set<{ destroy(): void }>()
  const server: Server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', end)
      socket.on('close', end)
    }
    let answered = 0
    let asked = 0
    client.on('data', (chunk) => {
      asked += chunk.length
      if (cutRequestAfter > 0 && asked > cutRequestAfter) {
        cutRequestAfter = 0
        state.cuts++
        end()
      } else upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      answered += chunk.length
      if (isStalled) return
      if (cutAnswerAfter > 0 && answered > cutAnswerAfter) {
        cutAnswerAfter = 0
        state.cuts++
        client.end()
        upstream.destroy()
      } else client.write(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    endpoint: `127.0.0.1:${address.port}`,
    get cuts() {
      return state.cuts
    },
    stall: (on: boolean) => {
      isStalled = on
      if (!on) for (const socket of sockets) socket.destroy()
    },
    cutNextAfter: (answer_bytes: number, request_bytes = 0) => {
      cutAnswerAfter = answer_bytes
      cutRequestAfter = request_bytes
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
