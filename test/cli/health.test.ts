import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { serve } from '../../src/cli/serve.js'

let server: Server | undefined
afterEach(() => server?.close())

/** `-health` of a store whose /ready answers like this. */
async function health(status: number, text: string) {
  server = createServer((_, reply) => reply.writeHead(status).end(text))
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  return ask((server.address() as AddressInfo).port)
}

async function ask(port: number) {
  let said = ''
  const take = (text: string) => void (said += text)
  const url = `http://127.0.0.1:${port}/ready`
  const code = await serve(['-health', `-health.url=${url}`], { out: take, err: take })
  return { code, said: said.replace(String(port), 'PORT') }
}

it('says whether a store is ready, for a container that asks', async () => {
  expect(await health(200, 'ready\n')).toEqual({ code: 0, said: 'tempo-actors is ready\n' })
  server!.close()
  expect(await health(503, 'livestore-0 is starting\n')).toEqual({
    code: 1,
    said: 'tempo-actors: http://127.0.0.1:PORT/ready answers 503: livestore-0 is starting\n',
  })
})

it('says why, when there is none', async () => {
  await health(200, '')
  const { port } = server!.address() as AddressInfo
  await new Promise((resolve) => server!.close(resolve))
  expect(await ask(port)).toEqual({
    code: 1,
    said: `tempo-actors: http://127.0.0.1:PORT/ready does not answer: connect ECONNREFUSED 127.0.0.1:${port}\n`,
  })
})
