/** The example as a reader gets it: in a folder of its own, by `npm install && npm start`, beside a store that runs. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../../src/bench/free-port.js'
import { eventually, TestServer } from '../support/server.js'
import { Program, run } from './program.js'
import { parentIds, search } from './tempo-api.js'

const EXAMPLE = new URL('../../examples/hono-app', import.meta.url).pathname
const INSTALL_MS = 300_000
const DRAIN_MS = 5_000

describe('the Hono app of examples/', () => {
  let folder: string
  let server: TestServer
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'hono-app-'))
    cpSync(EXAMPLE, folder, { recursive: true, filter: (path) => !path.includes('node_modules') })
    const [started] = await Promise.all([
      TestServer.start(),
      run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund'], {
        cwd: folder,
        timeout_ms: INSTALL_MS,
      }),
    ])
    server = started
  })
  afterAll(async () => {
    await server.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  it('goes on with the trace of its caller, nests its spans, and sends the rest when it is stopped', async () => {
    const port = await freePort()
    const app = startApp({
      PORT: String(port),
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://${server.grpc}`,
    })
    await app.says(/curl -X POST/)
    const traceId = 'c0ffee'.padEnd(32, '7')
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`
    const url = `http://127.0.0.1:${port}`
    const order = await fetch(`${url}/checkout/tea`, { method: 'POST', headers: { traceparent } })
    expect(order.status, await order.text()).toBe(201)
    expect(order.headers.get('x-trace-id')).toBe(traceId)
    expect((await fetch(`${url}/broken`)).status).toBe(500)
    // The batch is on its way for up to 5 seconds; the end of the app does not wait for them.
    const asked_ms = performance.now()
    app.signal('SIGINT')
    expect((await app.end()).code, app.output).toBe(0)
    expect(performance.now() - asked_ms).toBeLessThan(DRAIN_MS)
    const parents = await parentIds(server.base, traceId)
    expect(parents.size).toBe(7)
    const roots = [...parents.values()].filter((parent) => !parents.has(parent))
    expect(roots).toEqual(['00f067aa0ba902b7'])
    const failed = '{ resource.service.name = "hono-shop" && name = "SELECT" && status = error }'
    expect([...(await search(server.base, failed)).values()]).toEqual([1])
  })

  it('says which protocols there are when it is asked for another', async () => {
    const app = startApp({ OTEL_EXPORTER_OTLP_PROTOCOL: 'carrier-pigeon' })
    const { code, output } = await app.end()
    expect(code).toBe(1)
    expect(output).toContain("'carrier-pigeon', expected one of grpc, http/protobuf, http/json")
  })

  it('has a README whose query finds its errors', async () => {
    const readme = readFileSync(join(folder, 'README.md'), 'utf8')
    const query = /q=(\{.*?\})'/.exec(readme)?.[1]
    expect(query).toBeDefined()
    await eventually('the query of the README finds a trace', 10_000, async () => {
      return (await search(server.base, query!)).size > 0
    })
  })

  // npm itself does not hand a signal on to what `npm start` runs, so the script is started as npm does.
  function startApp(env: Record<string, string>): Program {
    const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      scripts: { start: string }
    }
    const [command, ...args] = scripts.start.split(' ') as [string, ...string[]]
    return new Program(command, args, { cwd: folder, env })
  }
})
