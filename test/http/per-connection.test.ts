import { createServer, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { OPEN_PER_CONNECTION_MAX, PerConnection } from '../../src/http/per-connection.js'

it('a connection that sends thousands of requests at once has only a few of them worked on', async () => {
  const connections = new PerConnection()
  const taken: ServerResponse[] = []
  const server = createServer((request, response) => {
    if (connections.admits(request, response)) taken.push(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address() as { port: number }
  const socket = connect(address.port, '127.0.0.1')
  let text = ''
  socket.on('data', (bytes: Buffer) => (text += bytes.toString()))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1000))
  while (taken.length < OPEN_PER_CONNECTION_MAX) await new Promise((r) => setTimeout(r, 5))
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(taken.length).toBe(OPEN_PER_CONNECTION_MAX)
  for (const response of taken) response.end('ok')
  await closed
  expect(text.match(/HTTP\/1\.1 200/g)?.length).toBe(OPEN_PER_CONNECTION_MAX)
  expect(text).toContain('HTTP/1.1 429')
  server.close()
})
