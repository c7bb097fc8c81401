import { describe, expect, it } from 'vitest'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { NO_LIMITS } from '../../../src/storage/head/trace-limits.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { openHead } from '../../../src/storage/head/source.js'
import { request, shopRequests, span } from '../../support/otlp-gen.js'
import { readSpans } from './reference.js'

const FACTS = { blockId: '01234567-89ab-cdef-0123-456789abcdef', tenant: 'a', partition: 0 }
const id = (n: number) => Buffer.alloc(16, n)
const key = (n: number) => id(n).toString('latin1')
const spans = (trace: number, count: number, from = 1) =>
  Array.from({ length: count }, (_, i) => span(id(trace), Buffer.from(`span${from + i}`.padEnd(8))))

function head() {
  const arena = HeadArena.create({ bytes: 8 << 20, readers: 2 })
  return HeadWriter.create(arena, FACTS)!
}

/** OTLP bytes of one of `spans`. */
const SPAN_BYTES = (() => {
  const writer = head()
  return writer.append(request(spans(1, 1))).bytes
})()

async function stored(writer: HeadWriter): Promise<number> {
  writer.publish(32)
  const source = openHead(writer.arena, writer.headerChunk, { order: 'arrival' })
  const { size } = await readSpans(source)
  await source.close()
  return size
}

describe('an append within limits', () => {
  it('takes a trace up to its bytes, and of one byte more nothing', async () => {
    const writer = head()
    const limits = { ...NO_LIMITS, max_trace_bytes: 3 * SPAN_BYTES }
    writer.setLimits(limits)
    expect(writer.append(request(spans(1, 3)))).toMatchObject({ code: 'ok', spans: 3 })
    writer.setLimits(limits)
    const over = writer.append(request([...spans(1, 1, 4), ...spans(2, 2)]))
    expect(over).toMatchObject({ code: 'over_limit', spans: 3, newTraces: 0, bytes: 0 })
    expect([...writer.overLimits]).toEqual([[key(1), 'trace_too_large']])
    expect(writer.spanCount).toBe(3)
    expect(writer.traceCount).toBe(1)
    expect(writer.traceBytes(id(2))).toBe(0)
    writer.setLimits(limits)
    expect(writer.append(request(spans(2, 3)))).toMatchObject({ code: 'ok', spans: 3 })
    expect(await stored(writer)).toBe(6)
  })

  it('counts no span twice: a retry of a trace that is full is no news', () => {
    const writer = head()
    const limits = { ...NO_LIMITS, max_trace_bytes: 3 * SPAN_BYTES }
    for (let i = 0; i < 3; i++) {
      writer.setLimits(limits)
      const result = writer.append(request(spans(1, 3)))
      expect(result).toMatchObject({ code: 'ok', spans: i === 0 ? 3 : 0 })
    }
  })

  it('makes no more traces than it may, in the order in which they come', () => {
    const writer = head()
    const limits = { ...NO_LIMITS, max_traces: 2 }
    writer.setLimits(limits)
    const all = [1, 2, 3, 4, 1].flatMap((trace, i) => spans(trace, 1, 10 * i))
    expect(writer.append(request(all)).code).toBe('over_limit')
    expect([...writer.overLimits]).toEqual([
      [key(3), 'live_traces_exceeded'],
      [key(4), 'live_traces_exceeded'],
    ])
    writer.setLimits(limits)
    expect(writer.append(request([...spans(1, 1), ...spans(2, 1)])).code).toBe('ok')
    writer.setLimits({ ...NO_LIMITS, max_traces: 0 })
    expect(writer.append(request(spans(2, 1, 7))).code).toBe('ok')
    writer.setLimits({ ...NO_LIMITS, max_traces: 0 })
    expect(writer.append(request(spans(5, 1))).code).toBe('over_limit')
  })

  it('counts what earlier heads had of a trace', () => {
    const writer = head()
    const limits = {
      ...NO_LIMITS,
      max_trace_bytes: 4 * SPAN_BYTES,
      carried: new Map([[key(1), 3 * SPAN_BYTES]]),
    }
    writer.setLimits(limits)
    expect(writer.append(request([...spans(1, 1), ...spans(2, 4)])).code).toBe('ok')
    writer.setLimits(limits)
    expect(writer.append(request(spans(1, 1, 2))).code).toBe('over_limit')
    const large = writer.tracesFrom(4 * SPAN_BYTES)
    expect([...large]).toEqual([
      [key(1), 4 * SPAN_BYTES],
      [key(2), 4 * SPAN_BYTES],
    ])
    expect(writer.tracesFrom(4 * SPAN_BYTES + 1).size).toBe(0)
  })

  it('leaves nothing behind when it is refused: what follows is as if it had never been', async () => {
    const [first, second, third] = shopRequests({ traces: 60 }).map(({ bytes }) => bytes)
    const plain = head()
    const limited = head()
    for (const writer of [plain, limited]) writer.append(first!)
    limited.setLimits({ ...NO_LIMITS, max_traces: limited.traceCount })
    expect(limited.append(second!).code).toBe('over_limit')
    limited.setLimits(NO_LIMITS)
    for (const writer of [plain, limited]) writer.append(third!)
    expect(limited.tableBytes()).toEqual(plain.tableBytes())
    expect(limited.otlpBytes).toBe(plain.otlpBytes)
    expect(await stored(limited)).toBe(await stored(plain))
  })
})
