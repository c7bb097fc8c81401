import { describe, expect, it } from 'vitest'
import { RecentSpans, spanSetOfSource } from '../../../src/actors/livestore/recent-spans.js'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { openHead } from '../../../src/storage/head/source.js'
import { SpanSet } from '../../../src/storage/head/span-set.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { shopRequests } from '../../support/otlp-gen.js'
import { House, Life, RETRY_HORIZON_MS } from './house.js'
import { record } from './records.js'

const WHOLE = 2 ** 40

/** A house whose slices are cut by order only. */
function quietHouse(): House {
  const house = new House()
  house.limits.max_bytes = WHOLE
  return house
}

const acknowledgedAll = (house: House) => () => house.sent.every((s) => house.isAcknowledged(s))

async function cutAndBuilt(life: Life): Promise<void> {
  await life.partition.cutNow()
  await life.settled()
}

describe('a retry that comes after the cut', () => {
  it('is acknowledged and not stored again, whether its first copy is in a cut head or in a block', async () => {
    const house = quietHouse()
    const life = await Life.begin(house)
    const sent = record('a', 1, 5)
    const others = [house.send(sent), house.send(record('b', 1, 5))]
    await life.until(acknowledgedAll(house))
    await life.partition.cutNow()
    const again = house.send(sent)
    await life.until(acknowledgedAll(house))
    await house.expectExactlyOnce(new Set([...others, again]), 'while it is built')
    await life.settled()
    house.send(sent)
    await life.until(acknowledgedAll(house))
    await house.expectExactlyOnce(new Set(house.sent), 'when it is a block')
    expect(life.wal.current.recordCount).toBe(0)
    expect(life.wal.appliedOffset).toBe(house.sent.at(-1)!.end)
    await life.end()
  })

  it('is another tenant’s own when only the ids are the same', async () => {
    const house = quietHouse()
    const life = await Life.begin(house)
    house.send(record('a', 1, 5))
    await life.until(acknowledgedAll(house))
    await cutAndBuilt(life)
    house.send(record('b', 1, 5))
    await life.until(acknowledgedAll(house))
    expect((await house.found('b')).size).toBe(5)
    await life.end()
  })

  it('leaves a slice that holds nothing: it goes without a block', async () => {
    const house = quietHouse()
    const life = await Life.begin(house)
    house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    await cutAndBuilt(life)
    house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    await cutAndBuilt(life)
    expect(house.catalog.list()).toHaveLength(1)
    expect(life.state.blocks()).toHaveLength(1)
    await life.end()
  })

  it('is stored again when its time is over, and the memory is given back', async () => {
    const house = quietHouse()
    const life = await Life.begin(house)
    house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    await cutAndBuilt(life)
    expect(life.recent.memory_bytes).toBeGreaterThan(0)
    await house.clock.advance(RETRY_HORIZON_MS)
    await life.until(() => life.recent.memory_bytes === 0)
    house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    const found = await house.found('a')
    expect([...found.values()].map((blocks) => blocks.length)).toEqual([2, 2, 2])
    await life.end()
  })
})

describe('a restart between the first copy and its retry', () => {
  const endings = [
    ['of the actor', false],
    ['of the process', true],
  ] as const
  for (const [name, isProcess] of endings) {
    for (const stage of ['cut', 'built'] as const) {
      it(`${name}, first copy ${stage}: the retry is still known`, async () => {
        const house = quietHouse()
        const life = await Life.begin(house)
        const sent = record('a', 1, 5)
        house.send(sent)
        await life.until(acknowledgedAll(house))
        await life.partition.cutNow()
        if (stage === 'built') await life.settled()
        await life.end()
        if (isProcess) await house.restartProcess()
        const second = await Life.begin(house)
        house.send(sent)
        await second.until(acknowledgedAll(house))
        await house.expectExactlyOnce(new Set(house.sent), 'after the restart')
        await second.settled()
        await house.expectExactlyOnce(new Set(house.sent), 'and when all is built')
        await second.end()
      })
    }
  }

  it('replays a record whose spans were partly stored before as it was applied when it came', async () => {
    const house = quietHouse()
    const first = record('a', 1, 3)
    const second = record('a', 2, 4)
    const both = { tenant: 'a', bytes: joined(first.bytes, second.bytes), spans: [...first.spans, ...second.spans] } // prettier-ignore
    const life = await Life.begin(house)
    house.send(first)
    await life.until(acknowledgedAll(house))
    await cutAndBuilt(life)
    house.send(both)
    await life.until(acknowledgedAll(house))
    expect(life.partition.slice.spans).toBe(4)
    await life.end()
    for (let round = 0; round < 2; round++) {
      await house.restartProcess()
      const next = await Life.begin(house)
      expect(next.partition.slice.spans).toBe(4)
      await house.expectExactlyOnce(new Set(house.sent), `after restart ${round}`)
      await next.end()
    }
  })
})

/** Messages of one type are joined by putting one after the other. */
function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}

describe('the memory for it', () => {
  function setOf(spans: number): SpanSet {
    const set = new SpanSet(1, 1, spans)
    const slot = set.addTrace(1, 2, 3, 4)
    for (let id = 0; id < spans; id++) set.addSpan(slot, id, 1, 1)
    return set
  }

  it('has a bound: the oldest goes, whoever it is of, and is counted', () => {
    let forgotten = 0
    const max_bytes = 3 * setOf(100).memory_bytes
    const recent = new RecentSpans({ horizon_ms: 1000, max_bytes, onForgotten: (n) => (forgotten += n) }) // prettier-ignore
    recent.add('a', setOf(100), 0)
    for (let i = 1; i < 10; i++) recent.add('b', setOf(100), i)
    expect(recent.memory_bytes).toBe(max_bytes)
    expect([recent.of('a').length, recent.of('b').length]).toEqual([0, 3])
    expect(forgotten).toBe(700)
    recent.expire(1008)
    expect(recent.of('b')).toHaveLength(1)
    recent.expire(1009)
    expect(recent.memory_bytes).toBe(0)
    expect(forgotten).toBe(700)
  })

  it('fits a head that is larger than all of it, as far as its last spans go', () => {
    const writer = HeadWriter.create(HeadArena.create({ bytes: 16 << 20, readers: 1 }), {
      blockId: '01234567-89ab-cdef-0123-456789abcdef',
      tenant: 'a',
      partition: 0,
    })!
    for (const { bytes } of shopRequests({ traces: 400 })) writer.append(bytes)
    const max_bytes = 16 * 1024
    const recent = new RecentSpans({ horizon_ms: 1000, max_bytes, onForgotten: () => undefined })
    recent.addHeads([{ tenant: 'a', writer }], 0)
    expect(recent.of('a')).toHaveLength(1)
    expect(recent.memory_bytes).toBeLessThanOrEqual(max_bytes)
    expect(recent.memory_bytes).toBeGreaterThan(0.98 * max_bytes)
    expect(recent.of('a')[0]!.count).toBeLessThan(writer.spanCount)
  })

  it('is filled from a block with what the head would have given', async () => {
    const arena = HeadArena.create({ bytes: 16 << 20, readers: 1 })
    const facts = { blockId: '01234567-89ab-cdef-0123-456789abcdef', tenant: 'a', partition: 0 }
    const writer = HeadWriter.create(arena, facts)!
    const requests = shopRequests({ traces: 100 }).map(({ bytes }) => bytes)
    for (const bytes of requests) writer.append(bytes)
    writer.publish(1)
    const source = openHead(arena, writer.headerChunk, { order: 'traceId', groupSpans: 100 })
    expect(source.groupCount).toBeGreaterThan(2)
    const set = (await spanSetOfSource(arena.seed, source, Infinity))!
    expect(set.count).toBe(writer.spanCount)
    const other = HeadWriter.create(arena, { ...facts, blockId: facts.blockId.replace('0', 'f') })!
    for (const bytes of requests) expect(other.append(bytes, [set]).spans).toBe(0)
    expect(await spanSetOfSource(arena.seed, source, set.memory_bytes - 1)).toBeUndefined()
    await source.close()
  })
})
