/** Owns one round of the fault suite: load runs, a fault happens, and what was acknowledged is looked for; each round is a row of the table. */
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { load, type LoadReport } from '../../src/load/load.js'
import { verify, type VerifyReport } from '../../src/load/verify.js'
import type { TestServer } from './server.js'

/** FAULTS=full takes every point and its time; otherwise a slice that fits into CI. */
export const IS_FULL = process.env.FAULTS === 'full'
/** Where scripts/faults.js collects the rows, one JSON line each. */
const ROWS = process.env.FAULTS_ROWS

export interface FaultRow {
  /** Rows of one group are one table. */
  readonly group: string
  readonly fault: string
  readonly tries: number
  readonly acknowledged: number
  readonly lost: number
  readonly doubled: number
  /** Deaths of the process that the fault does not excuse. */
  readonly crashes: number
  readonly found: string
}

export function tell(row: FaultRow): void {
  console.log(
    `${row.group}: ${row.fault}: ${row.tries} tries, ${row.acknowledged} spans acknowledged, lost ${row.lost}, doubled ${row.doubled}, ` +
      `crashes ${row.crashes}; ${row.found}`,
  )
  if (ROWS !== undefined) appendFileSync(ROWS, `${JSON.stringify(row)}\n`)
}

/** What a row says of what was found. */
export function figuresOf(
  found: VerifyReport,
): Pick<FaultRow, 'acknowledged' | 'lost' | 'doubled'> {
  return {
    acknowledged: found.acknowledgedSpans,
    lost: found.lostSpans + found.tracesMissingInSearch,
    doubled: found.doubledSpans + Math.max(0, found.counted - found.foundById),
  }
}

/** Expects more than `least` spans acknowledged, and each of them once: by id, by search and by count. */
export function expectFoundOnce(found: VerifyReport, least: number): void {
  expect(found.acknowledgedSpans).toBeGreaterThan(least)
  expect(found, found.examples.join('\n')).toMatchObject({
    lostSpans: 0,
    doubledSpans: 0,
    foreignSpans: 0,
    tracesMissingInSearch: 0,
    counted: found.foundById,
  })
}

/** Nothing is live, waits to become a block, or waits for its flush. */
export async function isFlushed(of: TestServer): Promise<boolean> {
  const live = await of.metric('tempo_actors_live_store_live_spans')
  const cut = await of.metric('tempo_live_store_complete_queue_length')
  return live + cut + (await of.metric('tempo_actors_live_store_flush_queue_length')) === 0
}

export interface RoundOptions {
  readonly server: TestServer
  readonly group: string
  readonly fault: string
  readonly seed: number
  /** How long spans are sent; what the fault holds up is retried beyond. */
  readonly load_ms: number
  readonly rate?: number
  readonly tenant?: string
  /** The fault excuses that the process ends by itself. */
  readonly mayEnd?: boolean
  /** What happens meanwhile; its words go into the table. */
  readonly happens: () => Promise<string>
  /** Before the search: the fault is over, the store is well again. */
  readonly settles?: () => Promise<void>
}

export interface Round {
  readonly report: LoadReport
  readonly found: VerifyReport
}

/** Sends spans, lets the fault happen, and expects every acknowledged span once. */
export async function round(options: RoundOptions): Promise<Round> {
  const { server, group, fault, seed } = options
  const folder = mkdtempSync(join(tmpdir(), 'faults-'))
  const ledger = join(folder, 'ledger')
  const stop = new AbortController()
  const crashesBefore = server.crashes
  try {
    const loading = load({
      endpoint: server.grpc,
      protocol: 'grpc',
      tenant: options.tenant ?? '',
      seed,
      run: `fault-${seed}`,
      ledger,
      traces: Infinity,
      duration_ms: options.load_ms,
      rate: options.rate ?? 2000,
      connections: 4,
      batch: 64,
      split: 3,
      lateShare: 0,
      late_ms: 0,
      spread_ms: 5000,
      shuffle: 0.1,
      giveUpAfter_ms: 60_000,
      premake: false,
      signal: stop.signal,
    })
    // A fault that could not be made must not leave the load running.
    const words = await options.happens().catch(async (error: unknown) => {
      stop.abort()
      await loading
      throw error
    })
    const report = await loading
    await options.settles?.()
    const found = await verify({ ledger, base: server.base, concurrency: 4 })
    const crashes = options.mayEnd === true ? 0 : server.crashes - crashesBefore
    tell({
      group,
      fault,
      tries: 1,
      ...figuresOf(found),
      crashes,
      found: words,
    })
    expect(crashes, server.log.slice(-4000)).toBe(0)
    expect(report.failedSpans, report.firstError).toBe(0)
    expectFoundOnce(found, 100)
    return { report, found }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Slices and blocks live for seconds, so that each step of their life is met soon. */
export const SHORT_LIVES = [
  '--live_store.max_block_duration=1s',
  '--actors.max_head_idle=300ms',
  '--live_store.complete_block_timeout=1s',
  '--live_store.flush_check_period=200ms',
  '--storage.trace.blocklist_poll=1s',
]
