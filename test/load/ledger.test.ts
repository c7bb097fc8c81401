import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  ACKNOWLEDGED,
  LedgerWriter,
  readLedger,
  REJECTED,
  UNACKNOWLEDGED,
} from '../../src/load/ledger.js'
import { verify } from '../../src/load/verify.js'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tempo-actors-ledger-'))
  path = join(folder, 'ledger')
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const HEADER = { run: 'r1', seed: 1, tenant: 'acme', startedAt_ms: 1, oldest_ms: 1 }
const id = (trace: number, span: number) => {
  const bytes = Buffer.alloc(24)
  bytes[15] = trace
  bytes[23] = span
  return bytes
}
const traceHex = (trace: number) => id(trace, 0).toString('hex', 0, 16)
const spanHex = (span: number) => id(0, span).toString('hex', 16)

function write(records: readonly [Buffer, number][]): void {
  const ledger = new LedgerWriter(path, HEADER)
  for (const [ids, outcome] of records) ledger.add(ids, outcome)
  ledger.close()
}

describe('the ledger', () => {
  it('reads back what was written, by trace and outcome', () => {
    write([
      [Buffer.concat([id(1, 1), id(1, 2), id(2, 3)]), ACKNOWLEDGED],
      [id(2, 4), UNACKNOWLEDGED],
      [id(2, 5), REJECTED],
    ])
    const ledger = readLedger(path)
    expect(ledger.header).toEqual(HEADER)
    expect(ledger.traces.get(traceHex(1))!.acknowledged).toEqual(new Set([spanHex(1), spanHex(2)]))
    expect(ledger.traces.get(traceHex(2))!.unacknowledged).toEqual(
      new Set([spanHex(4), spanHex(5)]),
    )
    expect([ledger.acknowledgedSpans, ledger.unacknowledgedSpans]).toEqual([3, 2])
  })

  it('of a load that was killed has a torn end, which is left out', () => {
    write([[id(1, 1), ACKNOWLEDGED]])
    appendFileSync(path, Buffer.alloc(24, 9))
    expect(readLedger(path).acknowledgedSpans).toBe(1)
  })

  it('is not any file', () => {
    writeFileSync(path, 'nothing')
    expect(() => readLedger(path)).toThrow(/is no ledger/)
  })
})

describe('verifying a store by its ledger', () => {
  let server: Server
  /** Span numbers that the store has, by trace; as often as they are there. */
  let stored: Record<number, number[]>
  let searchable: number[]
  let counted: number
  let asked: { url: string; tenant: unknown }[]

  beforeEach(async () => {
    asked = []
    server = createServer((request: IncomingMessage, reply) => {
      asked.push({ url: request.url!, tenant: request.headers['x-scope-orgid'] })
      reply.setHeader('content-type', 'application/json').end(JSON.stringify(answer(request.url!)))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve))
  })

  function answer(url: string): object {
    if (url.startsWith('/api/v2/traces/')) {
      const trace = parseInt(url.slice(-2), 16)
      const spans = (stored[trace] ?? []).map((n) => ({
        spanId: Buffer.from(spanHex(n), 'hex').toString('base64'),
      }))
      return { trace: { resourceSpans: [{ scopeSpans: [{ spans }] }] } }
    }
    if (url.startsWith('/api/search?'))
      return { traces: searchable.map((t) => ({ traceID: traceHex(t).replace(/^0+/, '') })) }
    return { series: [{ samples: [{ value: counted - 1 }, {}] }, { samples: [{ value: 1 }] }] }
  }

  const run = async () => {
    const { port } = server.address() as AddressInfo
    return verify({ ledger: path, base: `http://127.0.0.1:${port}`, concurrency: 2 })
  }

  beforeEach(() => {
    write([
      [Buffer.concat([id(1, 1), id(1, 2), id(2, 3)]), ACKNOWLEDGED],
      [id(2, 4), UNACKNOWLEDGED],
    ])
    stored = { 1: [1, 2], 2: [3] }
    searchable = [1, 2]
    counted = 3
  })

  it('is content with each acknowledged span once, and asks as the tenant', async () => {
    expect(await run()).toMatchObject({ ok: true, lostSpans: 0, doubledSpans: 0, counted: 3 })
    expect(asked.every(({ tenant }) => tenant === 'acme')).toBe(true)
  })

  it('lets an unacknowledged span be there, once', async () => {
    stored[2] = [3, 4]
    counted = 4
    expect(await run()).toMatchObject({ ok: true, keptUnacknowledged: 1 })
    stored[2] = [3, 4, 4]
    expect(await run()).toMatchObject({ ok: false, doubledSpans: 1 })
  })

  it.each([
    ['a lost span', () => (stored[1] = [1]), { lostSpans: 1 }],
    ['a doubled span', () => (stored[1] = [1, 2, 2]), { doubledSpans: 1 }],
    ['a span nobody sent', () => (stored[1] = [1, 2, 77]), { foreignSpans: 1 }],
    ['a trace that search does not return', () => (searchable = [1]), { tracesMissingInSearch: 1 }],
    ['a count that is off', () => (counted = 2), { counted: 2 }],
  ])('finds %s, and names it', async (_, harm, report) => {
    harm()
    expect(await run()).toMatchObject({ ok: false, ...report })
  })
})
