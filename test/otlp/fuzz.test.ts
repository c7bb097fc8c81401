/** Millions of mutated requests through everything that reads OTLP without a socket: no throw, no harm, and one judgement. */
import { describe, expect, it } from 'vitest'
import { requestFromJson, OtlpJsonError } from '../../src/otlp/json.js'
import { Regrouper } from '../../src/otlp/regroup.js'
import { splitRequest } from '../../src/otlp/split.js'
import { traceToJson } from '../../src/otlp/trace-json.js'
import { HeadArena } from '../../src/storage/head/arena.js'
import { HeadWriter } from '../../src/storage/head/writer.js'
import { mutateJson, mutateProto } from '../support/mutations.js'
import { shopRequests } from '../support/otlp-gen.js'
import { Random } from '../support/random.js'

/** Enough to guard in seconds; `npm run fuzz` says how to run millions. */
const ROUNDS = Number(process.env.FUZZ_IN_PROCESS ?? 4000)
const SEED = Number(process.env.FUZZ_SEED ?? 1)
const PARTITIONS = 3
const timeout = Math.max(20_000, ROUNDS * 6)

const small = shopRequests({ seed: 5, traces: 30, batch: 4 }).map(({ bytes }) => bytes)

/** A head that is made anew when it is full, as the livestore does. */
class Heads {
  readonly #arena = HeadArena.create({ bytes: 32 * 1024 * 1024, readers: 2 })
  #writer = this.#make()

  append(slice: Uint8Array): number {
    for (let attempt = 0; attempt < 3; attempt++) {
      const result = this.#writer.append(slice)
      if (result.code === 'ok') {
        this.#writer.publish(0)
        return result.spans + result.duplicates
      }
      this.#writer.retire()
      this.#arena.reclaim()
      this.#writer = this.#make()
    }
    throw new Error(`a slice of ${slice.length} bytes does not fit an empty head`)
  }

  #make(): HeadWriter {
    const writer = HeadWriter.create(this.#arena, {
      blockId: '11111111-1111-4111-8111-111111111111',
      tenant: 'single-tenant',
      partition: 0,
    })
    if (!writer) throw new Error('no room for a head')
    return writer
  }
}

describe('mutated protobuf', () => {
  it('that the distributor accepts is accepted by the head, span for span, and shown as JSON', { timeout }, () => {
    const random = new Random(SEED)
    const regrouper = new Regrouper({ partitions: PARTITIONS, max_attribute_bytes: 64 })
    const heads = new Heads()
    let accepted = 0
    for (let round = 0; round < ROUNDS; round++) {
      const request = mutateProto(random, random.pick(small))
      const malformed = regrouper.read('single-tenant', request)
      if (malformed) {
        ensure(malformed.message.length > 10, round, 'no words for what is malformed')
        continue
      }
      accepted++
      let spans = 0
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const slice = new Uint8Array(regrouper.size_bytes(partition))
        if (regrouper.writeSlice(partition, slice, 0) !== slice.length) {
          throw new Error(`round ${round}: a slice is not as long as it was measured`)
        }
        if (slice.length > 0) spans += heads.append(slice)
      }
      if (spans !== regrouper.spans) {
        throw new Error(`round ${round}: ${regrouper.spans} spans accepted, ${spans} in the heads`)
      }
      if (round % 8 === 0) JSON.parse(traceToJson(request, { v1: false }))
    }
    // A fuzzer of which nothing is accepted, or everything, tests nothing.
    expect(accepted).toBeGreaterThan(ROUNDS / 20)
    expect(accepted).toBeLessThan(ROUNDS * 0.95)
  }) // prettier-ignore

  it('is split into parts that are valid again, or refused', { timeout }, () => {
    const random = new Random(SEED + 1)
    const regrouper = new Regrouper({ partitions: 1, max_attribute_bytes: 0 })
    for (let round = 0; round < ROUNDS / 4; round++) {
      const request = mutateProto(random, random.pick(small))
      const result = splitRequest(request, { limit_bytes: 200 + random.below(2000) })
      const judged = regrouper.read('t', request)
      ensure('malformed' in result === (judged !== undefined), round, 'two judgements')
      if (!('parts' in result)) continue
      let { rejectedSpans: spans } = result
      const whole = regrouper.spans
      for (const part of result.parts) {
        ensure(!regrouper.read('t', part.body), round, 'a part is malformed')
        spans += regrouper.spans
      }
      ensure(spans === whole, round, `${spans} spans in the parts of ${whole}`)
    }
  })
})

describe('mutated JSON', () => {
  it('becomes a request or an OtlpJsonError, nothing else', { timeout }, () => {
    const random = new Random(SEED + 2)
    const regrouper = new Regrouper({ partitions: 1, max_attribute_bytes: 0 })
    const good = small.map((bytes) => withHexIds(traceToJson(bytes, { v1: false })))
    let accepted = 0
    for (let round = 0; round < ROUNDS / 2; round++) {
      const text = mutateJson(random, random.pick(good))
      try {
        const request = requestFromJson(Buffer.from(text))
        // What it writes is well formed; ids of zeros may still be refused.
        const malformed = regrouper.read('t', request)
        if (!malformed) accepted++
        else ensure(/^BAD_|^TOO_DEEP/.test(malformed.code), round, malformed.message)
      } catch (error) {
        if (!(error instanceof OtlpJsonError)) throw error
        ensure(error.message.length < 1000, round, 'the error says too much')
      }
    }
    expect(accepted).toBeGreaterThan(ROUNDS / 50)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })
})

/** As a client writes it: OTLP's JSON has hex ids where Tempo's has base64. */
function withHexIds(json: string): unknown {
  return JSON.parse(json, (key, value: unknown) =>
    /^(trace|span|parentSpan)Id$/.test(key)
      ? Buffer.from(value as string, 'base64').toString('hex')
      : value,
  ) as unknown
}

/** `expect` costs more than what is tested here. */
function ensure(holds: boolean, round: number, what: string): void {
  if (!holds) throw new Error(`round ${round} of seed ${SEED}: ${what}`)
}
