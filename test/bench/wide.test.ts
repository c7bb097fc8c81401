import { describe, expect, it } from 'vitest'
import { shopPayloads, spansOf } from '../../src/bench/block-data.js'
import { SCANS, someTraceIds } from '../../src/bench/block-measures.js'
import { widePayloads } from '../../src/bench/wide.js'
import { toHex } from '../../src/lib/bytes.js'
import { decodeTraces } from '../support/otlp-objects.js'

const OPTIONS = { seed: 2, traces: 40, now_ns: 1_700_000_000_000_000_000n }

describe('wide data', () => {
  const payloads = widePayloads(OPTIONS)
  const resources = payloads.flatMap(({ bytes }) => decodeTraces(bytes))
  const spans = resources.flatMap(({ scopes }) => scopes.flatMap((scope) => scope.spans))

  it('is OTLP with 18 resource attributes and 10 span attributes everywhere', () => {
    expect(spans.length).toBe(spansOf(payloads))
    for (const { resource } of resources) expect(resource?.attributes).toHaveLength(18)
    for (const { attributes } of spans) expect(attributes).toHaveLength(10)
  })

  it('has events and links with attributes', () => {
    const events = spans.flatMap((span) => span.events ?? [])
    const links = spans.flatMap((span) => span.links ?? [])
    expect(events.length).toBeGreaterThan(spans.length / 2)
    expect(links.length).toBeGreaterThan(0)
    for (const { attributes } of events) expect(attributes?.length).toBeGreaterThanOrEqual(2)
    for (const { attributes } of links) expect(attributes).toHaveLength(1)
  })

  it('is the same each time: Tempo and ours get the same bytes', () => {
    const bytesOf = (all: typeof payloads) => Buffer.concat(all.map(({ bytes }) => bytes))
    expect(bytesOf(widePayloads(OPTIONS)).equals(bytesOf(payloads))).toBe(true)
  })

  it('has as many traces as asked for', () => {
    expect(new Set(spans.map(({ traceId }) => toHex(traceId))).size).toBe(40)
  })
})

describe('the ids that are asked for', () => {
  it('are trace ids of the data, the same each time', () => {
    const payloads = shopPayloads(OPTIONS)
    const known = new Set(
      payloads
        .flatMap(({ bytes }) => decodeTraces(bytes))
        .flatMap(({ scopes }) => scopes.flatMap((scope) => scope.spans))
        .map(({ traceId }) => toHex(traceId)),
    )
    const ids = someTraceIds(payloads, 20).map(toHex)
    expect(ids.filter((id) => !known.has(id))).toEqual([])
    expect(someTraceIds(payloads, 20).map(toHex)).toEqual(ids)
  })
})

describe('the searches', () => {
  it('look for a text that is in the data, at any size of it', () => {
    const [first] = shopPayloads({ ...OPTIONS, seed: 1, traces: 20 })
    const user = /"(u-\d+)"/.exec(SCANS.map(({ query }) => query).join())?.[1]
    expect(user).toBeDefined()
    expect(first!.bytes.includes(user!)).toBe(true)
  })
})
