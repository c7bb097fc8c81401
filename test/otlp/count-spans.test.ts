import { describe, expect, it } from 'vitest'
import { countSpans } from '../../src/otlp/count-spans.js'
import { Proto, Random, request, shopRequests, span } from '../support/otlp-gen.js'

const random = new Random(5)
const ids = () => [random.bytes(16), random.bytes(8)] as const

describe('countSpans', () => {
  it('counts over resources and scopes', () => {
    for (const { bytes, spans } of shopRequests({ traces: 30, batch: 64 })) {
      expect(countSpans(bytes)).toBe(spans)
    }
    expect(countSpans(new Uint8Array(0))).toBe(0)
  })

  it('counts what came before a fault, and throws at none', () => {
    const bytes = request([span(...ids()), span(...ids()), span(...ids())])
    for (let end = 0; end < bytes.length; end++) {
      expect(countSpans(bytes.subarray(0, end))).toBeLessThanOrEqual(3)
    }
    for (let i = 0; i < 5000; i++) {
      const broken = bytes.slice()
      broken[random.below(broken.length)] = random.below(256)
      expect(countSpans(broken)).toBeLessThanOrEqual(bytes.length / 2)
    }
  })

  it('does not take other fields of the same length for spans', () => {
    const scope = new Proto().string(3, 'schema').message(2, span(...ids()))
    const bytes = new Proto().message(1, new Proto().string(3, 'url').message(2, scope)).finish()
    expect(countSpans(bytes)).toBe(1)
  })
})
