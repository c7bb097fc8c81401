/** Owns what the tests of the write-ahead log share: a folder that goes away, seeded randomness, and records made from it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach } from 'vitest'
import { createLog, silentLog, type Log } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import { Wal, type WalOptions } from '../../../src/storage/wal/wal.js'
import type { WalRecord } from '../../../src/storage/wal/segment.js'

const folders: string[] = []

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-wal-'))
  folders.push(folder)
  return folder
}

/** mulberry32: small, seeded, good enough for tests. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export const blockOne = '11111111-1111-4111-8111-111111111111'
export const blockTwo = '22222222-2222-4222-8222-222222222222'

/** A record whose bytes follow from its offset, as a ring would hold it: aligned to 32, behind a 32-byte header. */
export function recordAt(startOffset: number, length: number, tenant = 'single-tenant'): WalRecord {
  const bytes = new Uint8Array(length)
  const random = seeded(startOffset)
  for (let i = 0; i < length; i++) bytes[i] = Math.floor(random() * 256)
  const endOffset = startOffset + 32 * Math.ceil((32 + length) / 32)
  const blockId = tenant === 'single-tenant' ? blockOne : blockTwo
  return { tenant, blockId, startOffset, endOffset, timestamp_ms: 1000 + startOffset, bytes }
}

/** Consecutive records of these lengths from `startOffset`. */
export function recordsFrom(startOffset: number, lengths: readonly number[]): WalRecord[] {
  const records: WalRecord[] = []
  let at = startOffset
  for (const length of lengths) {
    const record = recordAt(at, length)
    records.push(record)
    at = record.endOffset
  }
  return records
}

export function openWal(path: string, more: Partial<WalOptions> = {}): Promise<Wal> {
  return Wal.open({
    path,
    partition: 0,
    sync: 'committed',
    clock: systemClock,
    log: silentLog,
    ...more,
  })
}

export async function append(wal: Wal, records: readonly WalRecord[]): Promise<void> {
  await wal.append(records, records.at(-1)!.endOffset)
}

/** Comparing big arrays element by element takes vitest seconds. */
export type Told = Omit<WalRecord, 'bytes'> & { bytes: string }

export function told(records: readonly WalRecord[]): Told[] {
  return records.map((record) => ({
    ...record,
    bytes: `${record.bytes.length} bytes, crc ${crc32(record.bytes)}`,
  }))
}

export async function replayAll(wal: Wal, seq: number, from = 0): Promise<Told[]> {
  const all: Told[] = []
  for await (const records of wal.replay(seq, from)) all.push(...told(records))
  return all
}

/** A log that keeps its lines. */
export function keepingLog(): { log: Log; lines: string[] } {
  const lines: string[] = []
  return { lines, log: createLog({ write: (line) => lines.push(line) }) }
}
