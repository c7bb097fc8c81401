import { describe, expect, test } from 'vitest'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import { ByteReader, ByteWriter, Malformed } from '../../../src/storage/block/codec/bytes.js'
import { CorruptBlock } from '../../../src/storage/block/encoding.js'
import { decodeFilters, encodeFilters, filterOf } from '../../../src/storage/block/trace-filter.js'
import { memorySource } from '../../support/memory-source.js'
import { Random } from '../../support/random.js'
import { shopTraces } from '../../support/shop-traces.js'
import { build, groupsOf, tracesOf } from './blocks.js'

const ABSENT = 20_000

/** Ids back to back, rising. */
function idsOf(count: number, make: (id: Uint8Array, i: number) => void): Uint8Array {
  const ids = Array.from({ length: count }, (_, i) => {
    const id = new Uint8Array(16)
    make(id, i)
    return id
  })
  return Buffer.concat(ids.sort((a, b) => Buffer.compare(a, b)))
}

function filterOver(groups: readonly Uint8Array[]) {
  const out = new ByteWriter()
  encodeFilters(out, groups.map(filterOf)) // prettier-ignore
  const firstIds = Buffer.concat(groups.map((ids) => ids.subarray(0, 16)))
  return decodeFilters(new ByteReader(out.view()), firstIds)
}

const each = (ids: Uint8Array) =>
  Array.from({ length: ids.length / 16 }, (_, i) => ids.subarray(16 * i, 16 * i + 16))

describe('a trace filter', () => {
  const random = new Random(31)
  const KINDS: [string, (id: Uint8Array, i: number) => void][] = [
    ['random ids', (id) => random.fill(id)],
    ['ids of 64 bits, the upper half zero', (id) => random.fill(id.subarray(8))],
    ['ids counted up from one', (id, i) => new DataView(id.buffer).setUint32(12, i + 1)],
    ['ids that differ in their first bytes alone', (id, i) => new DataView(id.buffer).setUint32(0, i)],
  ] // prettier-ignore
  test.each(KINDS)('never rules out a trace that is there, and lets few others by: %s', (_, make) => {
    const count = 3000
    const all = idsOf(2 * count, make)
    const present = each(all).filter((_, i) => i % 2 === 0)
    const absent = each(all).filter((_, i) => i % 2 === 1)
    const half = count / 2
    const groups = [present.slice(0, half), present.slice(half)].map((ids) => Buffer.concat(ids))
    const filter = filterOver(groups)
    expect(present.every((id) => filter.mayHave(id))).toBe(true)
    const passed = absent.filter((id) => filter.mayHave(id)).length
    expect(passed / absent.length).toBeLessThan(0.012)
  }) // prettier-ignore

  test('lets about one absent id in 250 by', () => {
    const filter = filterOver([idsOf(2000, (id) => random.fill(id))])
    let passed = 0
    for (let i = 0; i < ABSENT; i++) if (filter.mayHave(random.fill(new Uint8Array(16)))) passed++
    expect(passed / ABSENT).toBeLessThan(0.008)
  })

  test('costs about a byte and a half a trace', () => {
    expect(filterOf(idsOf(10_000, (id) => random.fill(id))).length / 10_000).toBeLessThan(1.6)
  })

  test('bytes that are no filters are refused', () => {
    const firstIds = new Uint8Array(16)
    for (const bytes of [[], [0], [2, ...new Array<number>(32).fill(0)], [1, 2, 3]]) {
      const read = () => decodeFilters(new ByteReader(Uint8Array.from(bytes)), firstIds)
      expect(read).toThrow(Malformed)
    }
    const rest = Uint8Array.from([1, ...new Array<number>(33).fill(0)])
    expect(() => decodeFilters(new ByteReader(rest), firstIds)).toThrow(Malformed)
  })
})

describe('the trace filter of a block', () => {
  test('knows every trace of the block', async () => {
    const { meta, backend } = await build(groupsOf(memorySource(shopTraces({ traces: 60, seed: 3 }))))
    const block = await blockpack.open(meta, backend)
    const filter = await block.traceFilter!()
    const ids = [...(await tracesOf(block)).keys()]
    expect(ids.length).toBeGreaterThan(50)
    expect(ids.every((id) => filter!.mayHave(Buffer.from(id, 'hex')))).toBe(true)
  }) // prettier-ignore

  test('a damaged one is told by its section', async () => {
    const { meta, backend, data } = await build(groupsOf(memorySource(shopTraces({ traces: 60, seed: 3 })))) // prettier-ignore
    const block = await blockpack.open(meta, backend)
    const filter = filterOf(idsIn(await tracesOf(block)))
    const at = Buffer.from(data).indexOf(Buffer.from(filter))
    expect(at).toBeGreaterThan(0)
    data[at + 5]! ^= 1
    const read = (await blockpack.open(meta, backend)).traceFilter!()
    await expect(read).rejects.toThrow(CorruptBlock)
    await expect(read).rejects.toThrow(/trace filters at byte \d+: checksum does not match/)
  })
})

function idsIn(traces: Map<string, unknown>): Uint8Array {
  return Buffer.concat([...traces.keys()].map((id) => Buffer.from(id, 'hex')))
}
