import { createConnection, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ShieldedSocket } from '../../../src/actors/receiver/shielded-socket.js'

let server: Server
let client: Socket
let shielded: ShieldedSocket

beforeEach(async () => {
  const accepted = new Promise<Socket>((resolve) => {
    server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, resolve)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  client = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true })
  client.on('error', () => undefined)
  shielded = new ShieldedSocket(await accepted)
  shielded.on('error', () => undefined)
})
afterEach(async () => {
  client.destroy()
  shielded.destroy()
  await new Promise((resolve) => server.close(resolve))
})

const event = (emitter: NodeJS.EventEmitter, name: string) =>
  new Promise<void>((resolve) => emitter.once(name, () => resolve()))

async function received(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

describe('a shielded socket', () => {
  it('passes every byte both ways, in order, and both ends', async () => {
    const up = Buffer.alloc(3_000_000, 'up')
    const down = Buffer.alloc(3_000_000, 'down')
    client.end(up)
    shielded.end(down)
    const [heard, told] = await Promise.all([received(shielded), received(client)])
    expect(Buffer.compare(heard, up)).toBe(0)
    expect(Buffer.compare(told, down)).toBe(0)
  })

  it('does not read on while nobody listens: a client cannot fill our memory', async () => {
    const push = () => {
      while (client.writable && client.write(Buffer.alloc(65_536)));
    }
    client.on('drain', push)
    push()
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(shielded.readableLength).toBeLessThan(1_000_000)
    expect(client.writableLength).toBeGreaterThan(0)
  })

  it('tells its writer to wait while the client does not read', async () => {
    client.pause()
    while (shielded.write(Buffer.alloc(65_536)));
    for (let turn = 0; turn < 100 && shielded.writableLength < 1_000_000; turn++) {
      shielded.write(Buffer.alloc(1_000_000))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(shielded.writableNeedDrain).toBe(true)
    client.resume()
    await event(shielded, 'drain')
  })

  it('closes when the client is gone without a word', async () => {
    const closed = event(shielded, 'close')
    shielded.resume()
    client.resetAndDestroy()
    await closed
    expect(shielded.destroyed).toBe(true)
  })

  it('closes the real socket when it is destroyed', async () => {
    client.resume()
    const closed = event(client, 'end')
    shielded.destroy()
    await closed
  })
})
