/**
 * Owns watching a server while it is maltreated: that it lives, that no actor was restarted, that its loops turn, that it
 * still takes and answers good requests, that its memory stays, and that no stack trace gets out.
 */
import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { expect } from 'vitest'
import { span, request, stringValue, keyValue } from '../../support/otlp-gen.js'
import { Random } from '../../support/random.js'
import type { TestServer } from '../../support/server.js'
import { GrpcConnection, askHttp, framed, sleep, type Answer } from './doors.js'

/** A line of a stack trace, in an answer or in the log. */
const STACK = /^\s+at .+:\d+:\d+\)?$|\n\s+at .+:\d+:\d+\)?|node:internal/m
/**
 * Asks both HTTP doors for what costs nothing, ten times a second, and tells the longest that they took. On a thread of its
 * own: making a bomb holds up the loop of who makes it.
 */
const HEARTBEAT = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { get } = require('node:http')
  const beat = (port, path) => {
    const started = performance.now()
    const again = () => {
      parentPort.postMessage(performance.now() - started)
      setTimeout(() => beat(port, path), 100)
    }
    get({ host: '127.0.0.1', port, path, agent: false }, (reply) => reply.resume().on('close', again)).on('error', again)
  }
  for (const [port, path] of workerData) beat(port, path)`
const MIB = 1024 * 1024

export interface Attempt {
  readonly door: string
  readonly what: string
  readonly answer: string
  readonly took_ms: number
}

export class Watch {
  readonly attempts: Attempt[] = []
  /** The longest that the receiver and the API took to answer what costs nothing. */
  slowest_ms = 0
  readonly #server: TestServer
  readonly #random = new Random(4242)
  readonly #pid: number
  readonly #headers: Readonly<Record<string, string>>
  readonly #heartbeat: Worker
  #logSeen = 0

  /** `headers` go with every good request: the tenant's, where there are tenants. */
  constructor(server: TestServer, headers: Readonly<Record<string, string>> = {}) {
    this.#server = server
    this.#headers = headers
    this.#pid = server.pid
    const { http, api } = server.ports
    const workerData = [[http, '/'], [api, '/api/echo']] // prettier-ignore
    this.#heartbeat = new Worker(HEARTBEAT, { eval: true, workerData })
    this.#heartbeat.on('message', (took_ms: number) => {
      this.slowest_ms = Math.max(this.slowest_ms, took_ms)
    })
  }

  /** Notes an attempt, and that what came back gives nothing away. */
  note(door: string, what: string, answer: Answer): void {
    expect(answer.text, what).not.toMatch(STACK)
    const words = answer.text.replace(/[^\x20-\x7e]+/g, ' ').trim()
    this.attempts.push({
      door,
      what,
      answer: `${answer.status} ${words.length > 70 ? `${words.slice(0, 70)}...` : words}`.trim(),
      took_ms: Math.round(answer.took_ms),
    })
  }

  /** Everything is as it was before: the process, its actors, its doors; and good requests are taken and found. */
  async isWell(): Promise<void> {
    const server = this.#server
    expect(server.pid, 'the process').toBe(this.#pid)
    await server.ready()
    const fresh = server.log.slice(this.#logSeen)
    expect(await server.metric('tempo_actors_restarts_total'), `restarts\n${fresh}`).toBe(0)
    this.#logSeen = server.log.length
    expect(fresh, 'the log').not.toMatch(STACK)
    await this.#goodRequests()
  }

  /** Anonymous and shared memory: the pages of the WAL's map are the file cache's. */
  get rss_mib(): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8')
    const kib = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0)
    return ((kib('RssAnon') + kib('RssShmem')) * 1024) / MIB
  }

  /** Resolves with the bytes of memory once it has stopped falling. */
  async settled_mib(): Promise<number> {
    let least = this.rss_mib
    for (let quiet = 0; quiet < 3; quiet++) {
      await sleep(1000)
      const now = this.rss_mib
      if (now < least - 4) quiet = 0
      least = Math.min(least, now)
    }
    return least
  }

  async end(): Promise<void> {
    await this.#heartbeat.terminate()
  }

  table(title: string): string {
    const rows = this.attempts.map(
      ({ door, what, answer, took_ms }) =>
        `  ${door.padEnd(5)} ${what.padEnd(58)} ${String(took_ms).padStart(6)} ms  ${answer}`,
    )
    return [`${title}: ${rows.length} attempts`, ...rows].join('\n')
  }

  async #goodRequests(): Promise<void> {
    const { grpc, http, api } = this.#server.ports
    const traceIds = [this.#random.bytes(16), this.#random.bytes(16)]
    const [first, second] = traceIds.map((traceId) =>
      request([span(traceId, this.#random.bytes(8), {}, [keyValue('a', stringValue('b'))])]),
    ) as [Uint8Array, Uint8Array]
    const connection = new GrpcConnection(grpc)
    const overGrpc = await connection.ask(framed(first), this.#headers)
    connection.close()
    expect(overGrpc.status, `a good gRPC request: ${overGrpc.text}`).toBe(0)
    const headers = { 'content-type': 'application/x-protobuf', ...this.#headers }
    const overHttp = await askHttp(http, {
      method: 'POST',
      path: '/v1/traces',
      headers,
      body: second,
    })
    expect(overHttp.status, `a good HTTP request: ${overHttp.text}`).toBe(200)
    for (const id of traceIds) {
      const path = `/api/traces/${Buffer.from(id).toString('hex')}`
      const found = await askHttp(api, { path, headers: this.#headers })
      expect(found.status, `${path}: ${found.text}`).toBe(200)
    }
  }
}
