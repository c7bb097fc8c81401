/** What a person gets who installs the packed tarball into an empty folder: it starts by one command, stores, answers and stops there. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePorts, type Ports } from '../support/server.js'
import { jsonRequest } from './otlp-traces.js'
import { Program, run } from './program.js'
import { search, spanIds } from './tempo-api.js'

const PROJECT = new URL('../..', import.meta.url).pathname
const INSTALL_MS = 300_000
const DRAIN_MS = 5_000

describe('the packed tarball in an empty folder', () => {
  let folder: string
  let app: string
  let packed: string[]
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'pack-'))
    app = join(folder, 'app')
    mkdirSync(app)
    // What `npm run build` left in dist is packed; `prepare` would build it again.
    const json = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], { cwd: PROJECT, timeout_ms: INSTALL_MS }) // prettier-ignore
    const [{ filename, files }] = JSON.parse(json.slice(json.indexOf('['))) as [
      { filename: string; files: { path: string }[] },
    ]
    packed = files.map(({ path }) => path)
    await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, filename)], { cwd: app, timeout_ms: INSTALL_MS }) // prettier-ignore
  })
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  it('holds the program, its configurations and its licence, and neither sources nor tests', () => {
    for (const path of ['package.json', 'LICENSE', 'dist/main.js', 'config/single.yaml', 'config/single-minio.yaml']) expect(packed).toContain(path) // prettier-ignore
    const foreign = packed.filter((path) => !/^(dist|config)\/|^[^/]+$/.test(path))
    expect(foreign).toEqual([])
    expect(packed.filter((path) => /\.tsbuildinfo$|\.ts$/.test(path))).toEqual([])
  })

  it('runs by `npx tempo-actors --config single.yaml`, keeps a trace, and ends by Ctrl-C with 0', async () => {
    const ports = await freePorts()
    const before = readdirSync(app)
    const began_ms = performance.now()
    const npx = new Program('npx', ['tempo-actors', '--config', 'single.yaml', ...flags(ports)], {
      cwd: app,
    })
    await npx.says(/msg=ready/)
    const own_ms = /msg=ready after_ms=(\d+)/.exec(npx.output)?.[1] ?? '?'
    console.log(`npx to ready: ${Math.round(performance.now() - began_ms)} ms, of which actors ${own_ms} ms`) // prettier-ignore
    expect(npx.output).toContain('single.yaml: the packaged configuration of that name')
    expect(npx.output).toContain(join(app, 'tempo-data'))

    const base = `http://127.0.0.1:${ports.api}`
    expect((await fetch(`${base}/ready`)).status).toBe(200)
    const { body, sent } = jsonRequest('packed', 9)
    const headers = { 'content-type': 'application/json' }
    const reply = await fetch(`http://127.0.0.1:${ports.http}/v1/traces`, { method: 'POST', headers, body }) // prettier-ignore
    expect(reply.status, await reply.text()).toBe(200)
    expect(await spanIds(base, sent.traceId)).toEqual(sent.spanIds)
    expect(await search(base, '{ resource.service.name = "packed" }')).toEqual(
      new Map([[sent.traceId, 9]]),
    )

    // A terminal sends Ctrl-C to all; npx would end by the signal then and not tell what the program's code was.
    const pid = Number(/ pid=(\d+)/.exec(npx.output)?.[1])
    const stopped_ms = performance.now()
    process.kill(pid, 'SIGINT')
    const { code, output } = await npx.end()
    expect(code, output).toBe(0)
    expect(performance.now() - stopped_ms).toBeLessThan(DRAIN_MS)
    expect(readdirSync(app).sort()).toEqual([...before, 'tempo-data'].sort())
    expect(existsSync(join(app, 'tempo-data/live-store/wal'))).toBe(true)
  })

  it('loads and verifies by `npx tempo-actors load`', async () => {
    const ports = await freePorts()
    const npx = new Program('npx', ['tempo-actors', '--config', 'single.yaml', ...flags(ports)], {
      cwd: app,
    })
    await npx.says(/msg=ready/)
    const ledger = join(folder, 'ledger')
    const endpoint = `127.0.0.1:${ports.grpc}`
    await run('npx', ['tempo-actors', 'load', '--endpoint', endpoint, '--traces', '200', '--ledger', ledger], { cwd: app }) // prettier-ignore
    const verdict = await run('npx', ['tempo-actors', 'load', 'verify', ledger, '--base', `http://127.0.0.1:${ports.api}`], { cwd: app }) // prettier-ignore
    expect(verdict).toMatch(/lost +0\n/)
    expect(verdict).toMatch(/verdict +ok/)
    process.kill(Number(/ pid=(\d+)/.exec(npx.output)?.[1]), 'SIGINT')
    expect(await npx.end()).toMatchObject({ code: 0 })
  })
})

/** The packaged configuration has Tempo's ports, and another test may run beside this one. */
function flags({ grpc, http, api }: Ports): string[] {
  return [
    `--server.http_listen_port=${api}`,
    `--distributor.receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${grpc}`,
    `--distributor.receivers.otlp.protocols.http.endpoint=127.0.0.1:${http}`,
  ]
}
