/** Owns a story of a partition that is cut short: a life dies before a given step, the next one takes over and lives on. */
import { expect } from 'vitest'
import { House, Life, type Sent } from './house.js'
import { Mortal } from './mortal.js'
import { record } from './records.js'

/** Two slices that are cut, the first with two tenants, and one that stays live. */
const SLICES = [
  [record('a', 1), record('b', 2, 5), record('a', 3)],
  [record('a', 4)],
  [record('a', 7), record('b', 8)],
]
const CUT = 2

export type Death = 'actor' | 'process'

/** Lets a life do what is left of the script: a slice when the one before is acknowledged. Ends early with the life. */
async function liveOn(house: House, life: Life): Promise<void> {
  let before = 0
  for (const [i, slice] of SLICES.entries()) {
    house.limits.max_bytes = i < CUT ? 1 : 2 ** 40
    for (const one of slice.slice(Math.max(0, house.sent.length - before))) house.send(one)
    before += slice.length
    if (!(await life.until(() => house.sent.every((sent) => house.isAcknowledged(sent))))) return
  }
  if (!(await life.settled())) return
  await clearAll(house, life)
}

/** The flushed blocks are known to the frontend, old enough, and deleted locally. */
async function clearAll(house: House, life: Life): Promise<void> {
  await house.clock.advance(60_001)
  await house.poll()
  house.refreshFrontend()
  await life.clearLocal()
}

/**
 * Dies before the step, as an actor or with the whole process; then lives to the end. At every stop each acknowledged
 * span is found exactly once, and in the end nothing is left over. Returns the step that was not done.
 */
export async function dieAndLiveOn(
  before: number | string,
  death: Death,
): Promise<string | undefined> {
  const house = new House()
  const mortal = new Mortal(before)
  const first = await Life.begin(house, mortal)
  if (!mortal.isDead) await liveOn(house, first)
  await first.end()
  const acknowledged = new Set<Sent>(house.sent.filter((sent) => house.isAcknowledged(sent)))
  const when = `after a death before ${String(mortal.diedBefore)}`
  // An actor's memory outlives it: what it held can be queried before anybody takes it over.
  if (death === 'actor') await house.expectExactlyOnce(acknowledged, `${when}, nobody there`)
  else await house.restartProcess()
  house.limits.max_bytes = 2 ** 40
  const second = await Life.begin(house)
  await house.expectExactlyOnce(acknowledged, `${when}, recovered`)
  if (death === 'actor') {
    await liveOn(house, second)
    for (const sent of house.sent) acknowledged.add(sent)
  } else {
    house.limits.max_bytes = 1
    const last = house.send(record('a', 99))
    acknowledged.add(last)
    await second.until(() => house.isAcknowledged(last))
  }
  await second.settled()
  await house.expectExactlyOnce(acknowledged, `${when}, lived on`)
  await clearAll(house, second)
  await house.expectExactlyOnce(acknowledged, `${when}, cleared`)
  expectNothingLeftOver(house, second, when)
  await second.end()
  return mortal.diedBefore
}

/** Every place holds what it must and no more: a leak in one life is an outage after many. */
function expectNothingLeftOver(house: House, life: Life, when: string): void {
  const live = [...life.partition.slice.heads.values()]
  const entries = house.catalog.list()
  expect(
    entries.map((entry) => [entry.state, entry.blockId]),
    when,
  ).toEqual(live.map((head) => ['head', head.blockId]))
  expect(life.state.blocks(), when).toEqual([])
  expect(life.wal.segments(), when).toHaveLength(1)
  house.arena.reclaim()
  const used = live.reduce((bytes, head) => bytes + head.writer.arena_bytes, 0)
  expect(house.arena.used_bytes(), when).toBe(used)
  const flags = [...house.backend.objects.keys()].filter((path) => path.endsWith('nocompact.flg'))
  expect(flags, when).toEqual([])
}
