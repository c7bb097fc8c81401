import { describe, expect, it } from 'vitest'
import type { Death } from '../../../src/bus/poison.js'
import { House, Life, type Sent } from './house.js'
import { record } from './records.js'

const DEATH: Death = { kind: 'threw', text: 'livestore-0 threw' }
const TRIES = 3

class Poisoned extends Error {}

/** Makes the bytes of a record deadly at a stage; the fault of a stage is that of its thread, which is then gone. */
function poisonous(house: House, stage: string, ...deadly: Sent[]): void {
  const isDeadly = (bytes: Uint8Array) =>
    deadly.some((sent) => Buffer.compare(sent.bytes, bytes) === 0)
  house.kill = (at, bytes) => {
    if (at === stage && isDeadly(bytes)) throw new Poisoned(`poison at ${stage}`)
  }
}

/** Lives until one survives its start and takes all that is in the ring; answers it, and how many died. */
async function survive(house: House): Promise<{ life: Life; deaths: number }> {
  for (let deaths = 0; deaths < 20; deaths++) {
    const life = await Life.begin(house).catch((error: unknown) => {
      if (!(error instanceof Poisoned)) throw error
      return undefined
    })
    if (life && (await consumed(house, life))) return { life, deaths }
    house.death = DEATH
  }
  throw new Error('it kills for ever')
}

/** False when the life died of it. */
async function consumed(house: House, life: Life): Promise<boolean> {
  const death = { hasCome: false }
  life.lane.catch(() => (death.hasCome = true))
  await life.until(() => death.hasCome || house.ring.committed(0) >= house.ring.tail)
  if (!death.hasCome) return true
  await life.end().catch(() => undefined)
  return false
}

const live = () => {
  const house = new House()
  house.limits.max_bytes = 2 ** 40
  return house
}

describe('a record that kills the livestore when it is taken', () => {
  it('is put aside after three deaths; the others are found once', async () => {
    const house = live()
    const sent = [1, 2, 3, 4, 5].map((seed) => house.send(record('a', seed)))
    poisonous(house, 'livestore', sent[2]!)
    const { life, deaths } = await survive(house)
    expect(deaths).toBe(TRIES)
    await house.expectExactlyOnce(new Set(sent.filter((one) => one !== sent[2])), 'put aside')
    expect(life.state.deadLetters.list()).toMatchObject([
      { topic: 'traces', tenant: 'a', spans: 3, tries: TRIES, why: DEATH.text },
    ])
    const [letter] = life.state.deadLetters.list()
    expect(life.state.deadLetterBytes(letter!.id)).toEqual(sent[2]!.bytes)
    // The last one's note goes a moment after its commit.
    expect(await life.until(() => life.state.notes('try/').length === 0)).toBe(true)
    await life.end()
  })

  it('does not come back after a restart of the process: the log went past it', async () => {
    const house = live()
    const sent = [1, 2, 3].map((seed) => house.send(record('a', seed)))
    poisonous(house, 'livestore', sent[2]!)
    const first = await survive(house)
    // The last of all: nothing after it has moved the log, and the next process takes its offsets from there.
    expect(first.life.wal.appliedOffset).toBe(sent[2]!.end)
    await first.life.end()
    await house.restartProcess()
    house.death = undefined
    const { life, deaths } = await survive(house)
    expect(deaths).toBe(0)
    await house.expectExactlyOnce(new Set([sent[0]!, sent[1]!]), 'restarted')
    expect(life.state.deadLetters.count).toBe(1)
    await life.end()
  })
})

describe('a record that kills the replay of the log', () => {
  /** Records that are in the log, and a process that is gone. */
  async function logged(count: number): Promise<{ house: House; sent: Sent[] }> {
    const house = live()
    const life = await Life.begin(house)
    const sent = Array.from({ length: count }, (_, seed) => house.send(record('a', seed)))
    await life.until(() => house.isAcknowledged(sent.at(-1)!))
    await life.end()
    await house.restartProcess()
    return { house, sent }
  }

  it('is put aside after three deaths, as one that was acknowledged; the others are found once', async () => {
    const { house, sent } = await logged(30)
    poisonous(house, 'replay', sent[17]!)
    const { life, deaths } = await survive(house)
    expect(deaths).toBe(TRIES)
    await house.expectExactlyOnce(new Set(sent.filter((one) => one !== sent[17])), 'put aside')
    expect((await house.found('a')).has(sent[17]!.spans[0]!)).toBe(false)
    expect(life.state.deadLetters.list()).toMatchObject([{ wasAcknowledged: true, spans: 3 }])
    expect(life.state.note('replay')).toBeUndefined()
    await life.end()
  })

  it('is put aside though each death is one of the process', async () => {
    const { house, sent } = await logged(10)
    poisonous(house, 'replay', sent[4]!)
    for (let death = 0; death < TRIES; death++) {
      await expect(Life.begin(house)).rejects.toThrow('poison at replay')
      await house.restartProcess()
    }
    const life = await Life.begin(house)
    expect(life.state.deadLetters.list()).toMatchObject([{ reason: 'process_ended' }])
    await house.expectExactlyOnce(new Set(sent.filter((one) => one !== sent[4])), 'put aside')
    await life.end()
  })

  it('stays left out as long as its segment is there, also when its letter was thrown away', async () => {
    const { house, sent } = await logged(5)
    poisonous(house, 'replay', sent[0]!)
    const first = await survive(house)
    const [letter] = first.life.state.deadLetters.list()
    await first.life.quarantine.asks.discardDeadLetter({ id: letter!.id, why: 'test' })
    await first.life.end()
    await house.restartProcess()
    house.death = undefined
    const { life, deaths } = await survive(house)
    expect(deaths).toBe(0)
    expect(life.state.notes('skip/')).toHaveLength(1)
    await house.expectExactlyOnce(new Set(sent.slice(1)), 'replayed again')
    // Its segment goes, and the note with it at the next start.
    house.limits.max_bytes = 1
    const last = house.send(record('a', 99))
    await life.until(() => house.isAcknowledged(last))
    await life.settled()
    await life.end()
    await house.restartProcess()
    const after = await survive(house)
    expect(after.life.state.notes('skip/')).toEqual([])
    await after.life.end()
  })

  it('may be several: each is put aside, and nothing else', async () => {
    const { house, sent } = await logged(40)
    const deadly = [sent[3]!, sent[4]!, sent[39]!]
    poisonous(house, 'replay', ...deadly)
    const { life } = await survive(house)
    expect(life.state.deadLetters.count).toBe(3)
    await house.expectExactlyOnce(
      new Set(sent.filter((one) => !deadly.includes(one))),
      'all put aside',
    )
    await life.end()
  })

  it('leaves no marker when it goes well', async () => {
    const { house, sent } = await logged(5)
    const { life, deaths } = await survive(house)
    expect(deaths).toBe(0)
    expect(life.state.note('replay')).toBeUndefined()
    await house.expectExactlyOnce(new Set(sent), 'replayed')
    await life.end()
  })
})
