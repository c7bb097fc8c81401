import { randomUUID } from 'node:crypto'
import { describe, expect, it, vi } from 'vitest'
import { openHead } from '../../../src/storage/head/source.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { House, Life } from './house.js'
import { record } from './records.js'

const WHOLE = 2 ** 40

async function alive(max_bytes = WHOLE, arena_bytes = 8 << 20) {
  const house = new House(arena_bytes)
  house.limits.max_bytes = max_bytes
  return { house, life: await Life.begin(house) }
}

const all = (house: House) => new Set(house.sent)
const acknowledgedAll = (house: House) => () => house.sent.every((s) => house.isAcknowledged(s))

describe('a partition', () => {
  it('acknowledges nothing before the WAL has it, and shows nothing before either', async () => {
    const { house, life } = await alive()
    let commit: () => void = () => undefined
    const append = life.wal.append.bind(life.wal)
    vi.spyOn(life.wal, 'append').mockImplementation(async (records, offset) => {
      await new Promise<void>((resolve) => (commit = resolve))
      return append(records, offset)
    })
    const sent = house.send(record('a', 1))
    await life.until(() => life.partition.slice.spans === 3)
    expect(house.isAcknowledged(sent)).toBe(false)
    expect(await house.found('a')).toEqual(new Map())
    commit()
    await life.until(() => house.isAcknowledged(sent))
    expect((await house.found('a')).size).toBe(3)
    await life.end()
  })

  it('keeps tenants apart: a head, a block and an answer each', async () => {
    const { house, life } = await alive()
    house.send(record('a', 1, 2))
    house.send(record('b', 2, 4))
    house.send(record("c'(!)", 3, 1))
    await life.until(acknowledgedAll(house))
    expect(house.catalog.list().map((e) => e.tenant)).toEqual(['a', 'b', "c'(!)"])
    expect((await house.found('b')).size).toBe(4)
    await house.expectExactlyOnce(all(house), 'live')
    await life.end()
  })

  it('refuses bytes that are no OTLP without losing their neighbours, and starts again with them behind it', async () => {
    const { house, life } = await alive()
    const good = [house.send(record('a', 1)), house.send(record('b', 2))]
    const bad = house.send({ tenant: 'a', bytes: Uint8Array.of(10, 5, 1), spans: [] })
    const alone = house.send({ tenant: 'c', bytes: Uint8Array.of(10, 5, 1), spans: [] })
    good.push(house.send(record('a', 3)))
    await life.until(acknowledgedAll(house))
    expect(house.isAcknowledged(bad) && house.isAcknowledged(alone)).toBe(true)
    await house.expectExactlyOnce(all(house), 'live')
    await life.end()
    await house.restartProcess()
    const second = await Life.begin(house)
    await house.expectExactlyOnce(new Set(good), 'after a restart')
    expect(house.catalog.list().map((e) => e.tenant)).toEqual(['a', 'b'])
    await second.end()
  })

  it('a WAL record that no version of ours can read does not keep the partition from starting', async () => {
    const { house, life } = await alive()
    const good = house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    const at = life.wal.appliedOffset
    await life.wal.append(
      [
        {
          tenant: 'a',
          blockId: life.wal.blockOf('a')!,
          startOffset: at,
          endOffset: at + 64,
          timestamp_ms: 1,
          bytes: Uint8Array.of(10, 5, 1),
        },
      ],
      at + 64,
    )
    await life.end()
    await house.restartProcess()
    const second = await Life.begin(house)
    await house.expectExactlyOnce(new Set([good]), 'after a restart')
    await second.end()
  })

  it('finds a retried span in the head of its predecessor, and keeps it once', async () => {
    const { house, life } = await alive()
    house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    await life.end()
    const second = await Life.begin(house)
    house.send(record('a', 1))
    await second.until(acknowledgedAll(house))
    const [entry] = house.catalog.list('a')
    const head = openHead(house.arena, entry!.headChunk, { order: 'arrival' })
    expect(head.spanCount).toBe(3)
    await head.close()
    await second.end()
  })

  it('takes nothing from the ring while memory is full, and goes on when a build has freed some', async () => {
    const { house, life } = await alive(WHOLE, 1 << 20)
    for (let i = 0; i < 40; i++) {
      house.send(record('a', i, 400))
      await life.until(acknowledgedAll(house))
    }
    expect(life.mortal.steps).toContain('wal.rotate')
    expect(house.arena.used_bytes()).toBeLessThanOrEqual(house.arena.capacity_bytes)
    await life.settled()
    const found = await house.found('a')
    expect(found.size).toBe(40 * 400)
    await life.end()
  })

  it('holds nothing of a memory that is full of others’ heads, and goes on when one of theirs is built', async () => {
    const { house, life } = await alive(WHOLE, 1 << 20)
    const head = (tenant: string) =>
      HeadWriter.create(house.arena, { blockId: randomUUID(), tenant, partition: 1 })!
    // Room for a head, and for no span of the record that comes.
    const small = head('small')
    const large = head('large')
    for (let n = 0; large.append(record('large', n, 50).bytes).code === 'ok'; n++);
    for (let n = 0; large.append(record('large', -n - 1, 1).bytes).code === 'ok'; n++);
    large.publish(1)
    house.arena.retire(small.headerChunk)
    house.arena.reclaim()
    const used = house.arena.used_bytes()
    expect(used).toBeLessThan(house.arena.capacity_bytes)
    const made = vi.spyOn(house.catalog, 'addHead')
    const sent = house.send(record('a', 1, 400))
    await life.until(() => life.room.waiting > 0)
    for (let tries = 0; tries < 3; tries++) await house.clock.advance(1000)
    expect(made).toHaveBeenCalled()
    // No entry of the catalog, no memory, and no WAL segment for each time that it tried.
    expect(house.catalog.list()).toEqual([])
    expect(life.partition.slice.heads.size).toBe(0)
    expect(house.arena.used_bytes()).toBe(used)
    expect(life.mortal.steps).not.toContain('wal.rotate')
    expect(life.wal.segments()).toHaveLength(1)
    // Woken by a build of another partition: the clock stands still.
    house.arena.retire(large.headerChunk)
    house.arena.reclaim()
    life.room.wake()
    await life.until(() => house.isAcknowledged(sent))
    await house.expectExactlyOnce(all(house), 'after room came')
    await life.end()
  })

  it('waits while the catalog is full, and takes no memory meanwhile', async () => {
    const { house, life } = await alive()
    const entries: number[] = []
    while (house.catalog.hasRoom) entries.push(house.catalog.addHead(randomUUID(), 'other', 1, 1))
    expect(entries).toHaveLength(house.catalog.capacity)
    const used = house.arena.used_bytes()
    const reclaimed = vi.spyOn(house.arena, 'reclaim')
    const sent = house.send(record('a', 1))
    await life.until(() => life.room.waiting > 0)
    for (let tries = 0; tries < 3; tries++) await house.clock.advance(1000)
    expect(reclaimed.mock.calls.length).toBeLessThan(20)
    expect(house.arena.used_bytes()).toBe(used)
    for (const entry of entries) house.catalog.remove(entry)
    life.room.wake()
    await life.until(() => house.isAcknowledged(sent))
    await life.end()
  })

  it('cuts on order, also when no span comes', async () => {
    const { house, life } = await alive()
    house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    await life.partition.cutNow()
    expect(life.partition.slice.spans).toBe(0)
    await life.settled()
    await house.expectExactlyOnce(all(house), 'cut')
    expect(house.catalog.list().map((e) => e.state)).toEqual(['local'])
    await life.end()
  })

  it('an order to cut nothing is answered too', async () => {
    const { life } = await alive()
    await life.partition.cutNow()
    expect(life.wal.segments()).toHaveLength(1)
    await life.end()
  })
})

describe('a block whose WAL segment could not be dropped', () => {
  it('is not deleted, since a restart would make it again', async () => {
    const { house, life } = await alive(1)
    vi.spyOn(life.wal, 'drop').mockRejectedValue(new Error('disk says no'))
    house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    await life.settled()
    await house.clock.advance(3_600_000)
    expect(life.state.blocks().map((block) => block.state)).toEqual(['flushed'])
    expect(life.pipeline.deletable()).toEqual([])
    await life.end()
    await house.restartProcess()
    const second = await Life.begin(house)
    await second.settled()
    await house.expectExactlyOnce(all(house), 'after a restart')
    expect(second.wal.segments()).toHaveLength(1)
    expect(second.pipeline.deletable()).toHaveLength(1)
    await second.end()
  })

  it('goes when a later try drops it, without a restart', async () => {
    const { house, life } = await alive(1)
    vi.spyOn(life.wal, 'drop').mockRejectedValueOnce(new Error('disk says no'))
    house.send(record('a', 1))
    await life.until(acknowledgedAll(house))
    await life.settled()
    expect(life.wal.segments()).toHaveLength(2)
    await house.clock.advance(3_600_000)
    await life.until(() => life.pipeline.deletable().length === 1)
    expect(life.wal.segments()).toHaveLength(1)
    await life.end()
  })
})
