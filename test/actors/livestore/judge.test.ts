import { describe, expect, it, vi } from 'vitest'
import { DISCARD_REASONS } from '../../../src/actors/distributor/contract.js'
import { LiveTraces } from '../../../src/actors/livestore/judge.js'
import type { SomeLimits } from '../../../src/config/limits.js'
import { toHex } from '../../../src/lib/bytes.js'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { noLimits } from '../../limits/no-limits.js'
import { request, span } from '../../support/otlp-gen.js'
import { House, Life, type Sent } from './house.js'

const TENANT = 'a'
const id = (trace: number) => Buffer.alloc(16, trace)

/** Spans of traces, as [trace, first span, spans]. */
function record(...parts: [trace: number, from: number, count: number][]): Omit<Sent, 'end'> {
  const all = parts.flatMap(([trace, from, count]) =>
    Array.from({ length: count }, (_, i) => {
      const spanId = Buffer.alloc(8)
      spanId.writeUInt32BE(from + i + 1, 4)
      return { trace, spanId }
    }),
  )
  return {
    tenant: TENANT,
    bytes: request(all.map(({ trace, spanId }) => span(id(trace), spanId))),
    spans: all.map(({ trace, spanId }) => `${toHex(id(trace))} ${toHex(spanId)} 1`),
  }
}

const SPAN_BYTES = (() => {
  const arena = HeadArena.create({ bytes: 8 << 20, readers: 1 })
  const facts = { blockId: '01234567-89ab-cdef-0123-456789abcdef', tenant: 'a', partition: 0 }
  return HeadWriter.create(arena, facts)!.append(record([1, 0, 1]).bytes).bytes
})()

async function alive(limits: SomeLimits, max_bytes = 2 ** 40) {
  const house = new House()
  house.limits.max_bytes = max_bytes
  house.tenantLimits = noLimits(limits)
  const rejected: [spans: number, reason: number][] = []
  vi.spyOn(house.acks, 'reject').mockImplementation((_, spans, reason) => {
    rejected.push([spans, reason])
    return true
  })
  const life = await Life.begin(house)
  return { house, life, rejected }
}

const acknowledgedAll = (house: House) => () => house.sent.every((s) => house.isAcknowledged(s))
const found = async (house: House) => [...(await house.found(TENANT)).keys()].sort()
const spansOf = (...records: Omit<Sent, 'end'>[]) => records.flatMap((r) => r.spans).sort()

describe('a trace that would be larger than its limit', () => {
  const limits = { max_bytes_per_trace: 5 * SPAN_BYTES }

  it('is told before the ack, is not found, and leaves the rest of its request alone', async () => {
    const { house, life, rejected } = await alive(limits)
    house.send(record([1, 0, 5], [2, 0, 1]))
    house.send(record([1, 5, 1], [2, 1, 3], [3, 0, 6]))
    await life.until(acknowledgedAll(house))
    expect(rejected).toEqual([[7, DISCARD_REASONS.trace_too_large]])
    expect(await found(house)).toEqual(spansOf(record([1, 0, 5], [2, 0, 4])))
    await life.end()
  })

  it('is not found after a restart of the process either, and what was kept is judged no more', async () => {
    const { house, life, rejected } = await alive(limits)
    house.send(record([1, 0, 5]))
    house.send(record([1, 5, 2], [2, 0, 2]))
    await life.until(acknowledgedAll(house))
    await life.end()
    await house.restartProcess()
    // The limit is far lower now: what was acknowledged stays.
    house.tenantLimits = noLimits({ max_bytes_per_trace: 1, max_traces_per_user: 1 })
    const second = await Life.begin(house)
    expect(await found(house)).toEqual(spansOf(record([1, 0, 5], [2, 0, 2])))
    expect(rejected).toHaveLength(1)
    await second.end()
  })

  it('is not rejected for a retry of what is stored', async () => {
    const { house, life, rejected } = await alive(limits)
    for (let i = 0; i < 3; i++) house.send(record([1, 0, 5]))
    await life.until(acknowledgedAll(house))
    expect(rejected).toEqual([])
    // Half of it is stored: only the other half is rejected.
    house.send(record([1, 3, 4]))
    await life.until(acknowledgedAll(house))
    expect(rejected).toEqual([[2, DISCARD_REASONS.trace_too_large]])
    await life.end()
  })

  it('goes on counting in the next slice, and is forgotten once a slice had nothing of it', async () => {
    const { house, life, rejected } = await alive(limits)
    const cut = async () => {
      await life.until(acknowledgedAll(house))
      await life.partition.cutNow()
    }
    house.send(record([1, 0, 4], [2, 0, 1]))
    await cut()
    house.send(record([1, 4, 2], [2, 1, 1]))
    await cut()
    expect(rejected).toEqual([[2, DISCARD_REASONS.trace_too_large]])
    house.send(record([1, 6, 1], [2, 2, 1]))
    await cut()
    expect(rejected).toHaveLength(2)
    house.send(record([3, 0, 1]))
    await cut()
    house.send(record([1, 7, 5]))
    await cut()
    expect(rejected).toHaveLength(2)
    await life.until(() => life.pipeline.length === 0)
    await life.end()
  })

  it('does not take the bytes of a record that is rejected whole into the WAL', async () => {
    const { house, life, rejected } = await alive({ max_bytes_per_trace: 1 })
    const append = vi.spyOn(life.wal, 'append')
    house.send(record([1, 0, 3]))
    house.send(record([2, 0, 3]))
    await life.until(acknowledgedAll(house))
    expect(rejected.reduce((sum, [spans]) => sum + spans, 0)).toBe(6)
    expect(append.mock.calls.flatMap(([records]) => records)).toEqual([])
    expect(await found(house)).toEqual([])
    await life.end()
  })
})

describe('more live traces than a tenant may have', () => {
  it('are rejected, while the traces that are live go on', async () => {
    const { house, life, rejected } = await alive({ max_traces_per_user: 2 })
    house.send(record([1, 0, 1], [2, 0, 1], [3, 0, 2]))
    house.send(record([3, 2, 1], [1, 1, 4], [4, 0, 1]))
    await life.until(acknowledgedAll(house))
    const reason = DISCARD_REASONS.live_traces_exceeded
    expect(rejected).toEqual([
      [2, reason],
      [2, reason],
    ])
    expect(await found(house)).toEqual(spansOf(record([1, 0, 5], [2, 0, 1])))
    await life.partition.cutNow()
    house.send(record([3, 0, 1]))
    await life.until(acknowledgedAll(house))
    expect(rejected).toHaveLength(2)
    await life.until(() => life.pipeline.length === 0)
    await life.end()
  })

  it('are told apart from traces that are too large', async () => {
    const limits = { max_traces_per_user: 1, max_bytes_per_trace: 2 * SPAN_BYTES }
    const { house, life, rejected } = await alive(limits)
    house.send(record([1, 0, 3], [2, 0, 1], [3, 0, 1]))
    await life.until(acknowledgedAll(house))
    expect(rejected).toEqual([
      [3, DISCARD_REASONS.trace_too_large],
      [1, DISCARD_REASONS.live_traces_exceeded],
    ])
    expect(await found(house)).toEqual(spansOf(record([2, 0, 1])))
    await life.end()
  })

  it('are counted over all partitions', () => {
    const live = new LiveTraces()
    const counts = [3, 4, 5]
    const others = counts.map((count) => live.join((tenant) => (tenant === 'a' ? count : 0)))
    expect(others.map((ask) => ask('a'))).toEqual([9, 8, 7])
    expect(others[0]!('b')).toBe(0)
  })
})
