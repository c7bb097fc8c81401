import { describe, expect, it } from 'vitest'
import { OtlpWriter } from '../../src/load/otlp-writer.js'
import { RUN_ATTRIBUTE, Shop, type Payload, type ShopOptions } from '../../src/load/shop.js'
import { Regrouper } from '../../src/otlp/regroup.js'
import { toHex } from '../../src/lib/bytes.js'
import { attributePairs, decodeTraces } from '../support/otlp-objects.js'
import { Proto } from '../support/otlp-gen.js'
import { Random } from '../support/random.js'

const NOW_NS = 1_700_000_000_000_000_000n

function payloads(traces: number, more: Partial<ShopOptions> = {}): Payload[] {
  const defaults = {
    seed: 1,
    run: 'r1',
    batch: 64,
    split: 1,
    lateShare: 0,
    late_ms: 0,
    spread_ms: 0,
  }
  const shop = new Shop({ ...defaults, ...more })
  const made: Payload[] = []
  for (let n = 0; n < traces; n++) {
    shop.addTrace(NOW_NS)
    for (let next = shop.next(); next; next = shop.next()) made.push(next)
  }
  made.push(...shop.finish())
  expect(shop.spans).toBe(made.reduce((sum, payload) => sum + payload.spans, 0))
  return made
}

const spansOf = (payload: Payload) =>
  decodeTraces(payload.bytes).flatMap((rs) => rs.scopes.flatMap((scope) => scope.spans))

describe('the shop', () => {
  it('gives the same requests for the same seed, and others for another', () => {
    const bytes = (seed: number) => payloads(20, { seed }).map((payload) => toHex(payload.bytes))
    expect(bytes(7)).toEqual(bytes(7))
    expect(bytes(7)).not.toEqual(bytes(8))
  })

  it('writes requests that the store takes, with as many spans and the ids that its ledger says', () => {
    const regrouper = new Regrouper({ partitions: 2, max_attribute_bytes: 2048 })
    for (const payload of payloads(50, { split: 3 })) {
      expect(regrouper.read('a', payload.bytes)).toBeUndefined()
      expect(regrouper.spans).toBe(payload.spans)
      const ids = spansOf(payload).map((span) => toHex(span.traceId) + toHex(span.spanId))
      const ledger = Array.from({ length: payload.spans }, (_, i) =>
        toHex(payload.ids.subarray(i * 24, i * 24 + 24)),
      )
      expect(ids.sort()).toEqual(ledger.sort())
    }
  })

  it('loses no span when traces are spread over requests, and no id is there twice', () => {
    const whole = payloads(60).flatMap(spansOf)
    const split = payloads(60, { split: 4 })
    const ids = split.flatMap(spansOf).map((span) => toHex(span.traceId) + toHex(span.spanId))
    expect(new Set(ids).size).toBe(ids.length)
    expect(whole.length).toBeGreaterThan(60 * 4)
    const homes = new Map<string, Set<number>>()
    for (const [n, payload] of split.entries()) {
      for (const { traceId } of spansOf(payload)) {
        const id = toHex(traceId)
        homes.set(id, (homes.get(id) ?? new Set()).add(n))
      }
    }
    expect([...homes.values()].some((requests) => requests.size > 1)).toBe(true)
  })

  it('marks every resource with its run, so that it can be counted', () => {
    for (const payload of payloads(10)) {
      for (const { resource } of decodeTraces(payload.bytes))
        expect(new Map(attributePairs(resource?.attributes)).get(RUN_ATTRIBUTE)).toBe('r1')
    }
  })

  it('puts late spans into the past and the others within the spread', () => {
    const starts = (more: Partial<ShopOptions>) =>
      payloads(40, more)
        .flatMap(spansOf)
        .map((span) => Number((NOW_NS - span.start) / 1_000_000n))
    expect(Math.min(...starts({ lateShare: 1, late_ms: 3_600_000 }))).toBeGreaterThan(3_500_000)
    expect(Math.max(...starts({ spread_ms: 1000 }))).toBeLessThanOrEqual(1000)
  })
})

describe('the writer', () => {
  it('writes what protobuf asks for, at every length of a nested message', () => {
    const writer = new OtlpWriter()
    for (const length of [0, 1, 127, 128, 16_383, 16_384, 70_000, 2_097_151, 2_097_152]) {
      const text = 'é'.repeat(length)
      writer.message(3, () => writer.message(4, () => writer.text(5, text)))
      const inner = new Proto().message(4, new Proto().string(5, text))
      expect(Buffer.compare(writer.take(), new Proto().message(3, inner).finish())).toBe(0)
    }
  })

  it('writes numbers as they are', () => {
    const random = new Random(3)
    const writer = new OtlpWriter()
    const proto = new Proto()
    for (let n = 0; n < 100; n++) {
      const value = Math.floor(random.float() * 2 ** (1 + random.below(52)))
      writer.int(1, value)
      proto.int(1, BigInt(value))
      writer.fixed64(2, BigInt(value) << 3n)
      proto.fixed64(2, BigInt(value) << 3n)
    }
    expect(toHex(writer.take())).toBe(toHex(proto.finish()))
  })
})
