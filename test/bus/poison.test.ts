import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Consumer, type BusRecord } from '../../src/bus/consumer.js'
import { assignGroup, attemptsOf, countAttempt } from '../../src/bus/group.js'
import {
  identityOf,
  PoisonGuard,
  REPLAYED_FLAG,
  TrialRoom,
  SUSPICION_MS,
  TRIES_MAX,
  type Death,
  type Poison,
  type PoisonLedger,
  type Suspicion,
} from '../../src/bus/poison.js'
import { Ring } from '../../src/bus/ring.js'
import { FakeClock } from '../../src/lib/fake-clock.js'
import { silentLog } from '../../src/lib/log.js'

const DEATH: Death = { kind: 'threw', text: 'x-0 threw' }
const WINDOW_BYTES = 4096
const TOPIC = 'traces'

/** A ledger on a disk that outlives all: plain memory of the test. */
class Disk implements PoisonLedger {
  readonly tries = new Map<string, Suspicion>()
  readonly letters = new Map<string, Poison>()
  hasRoom = true
  writes = 0
  refused = 0

  known() {
    const letters = [...this.letters.values()]
    return Promise.resolve({
      suspicions: [...this.tries.values()],
      letters: letters.map(({ identity, bytes }) => ({ identity, length_bytes: bytes.length })),
    })
  }
  trying(suspicion: Suspicion) {
    this.writes++
    this.tries.set(suspicion.identity, suspicion)
    return Promise.resolve()
  }
  cleared(identity: string) {
    this.writes++
    this.tries.delete(identity)
    return Promise.resolve()
  }
  quarantine(poison: Poison) {
    if (!this.hasRoom) return Promise.resolve(false)
    this.letters.set(poison.identity, { ...poison, bytes: poison.bytes.slice() })
    this.tries.delete(poison.identity)
    return Promise.resolve(true)
  }
  again(identity: string) {
    if (this.letters.has(identity)) this.refused++
    return Promise.resolve(this.letters.has(identity))
  }
}

/** Records that were taken in, and the deaths of those who tried. */
class World {
  ring!: Ring
  readonly disk = new Disk()
  readonly clock = new FakeClock()
  room = new TrialRoom()
  readonly stopping = new AbortController()
  readonly taken: string[] = []
  /** Content that kills its consumer. */
  poison = new Set<string>()
  deaths = 0
  /** What the supervisor was told of deaths that are explained. */
  readonly forgiven: number[] = []
  #actorId = 0
  #hasDied = false

  constructor() {
    this.newProcess()
  }

  newProcess(): void {
    const groups = [{ name: 'g', mode: 'gating' as const }]
    this.ring = new Ring(
      Ring.create({ topic: TOPIC, partition: 0, capacity_bytes: 1 << 16, groups }),
    )
    this.#hasDied = false
  }

  send(value: string, flags = 0): void {
    const bytes = Buffer.from(value)
    const head = { type: 1, flags, correlation: 0, key: Buffer.from('t'), timestamp_ms: 5 }
    expect(this.ring.append(9, head, bytes.length, (to, at) => to.set(bytes, at))).toBeGreaterThan(
      0,
    )
  }

  /** One life of the consumer: takes all that is there, a batch at a time; false when it died. */
  async live(): Promise<boolean> {
    const actorId = ++this.#actorId
    this.room = new TrialRoom()
    const epoch = assignGroup(this.ring, 0, actorId)
    const consumer = new Consumer(this.ring, 0, { actorId, epoch })
    if (this.#hasDied) countAttempt(this.ring, 0)
    const guard = await this.guard(attemptsOf(this.ring, 0) > 0 ? DEATH : undefined)
    for (let batch = consumer.poll(); batch; batch = consumer.poll()) {
      if (!guard.isWatching) {
        if (batch.records.some((record) => this.#kills(record))) return this.#die()
        for (const record of batch.records) this.taken.push(record.value.toString())
        consumer.commit(batch.end)
        continue
      }
      for (const record of batch.records) {
        const admission = await guard.admit(record)
        if (admission === 'stop') return true
        if (admission === 'take') {
          if (this.#kills(record)) return this.#die()
          this.taken.push(record.value.toString())
        }
        await guard.done()
        consumer.commit(record.end)
      }
    }
    this.#hasDied = false
    return true
  }

  async liveOn(): Promise<void> {
    while (!(await this.live())) expect(this.deaths).toBeLessThan(100)
  }

  guard(death: Death | undefined): Promise<PoisonGuard> {
    return PoisonGuard.open({
      ...{ topic: TOPIC, room: this.room, ledger: this.disk, death, window_bytes: WINDOW_BYTES },
      ...{ tail: this.ring.tail, clock: this.clock, log: silentLog },
      ...{ signal: this.stopping.signal, progress: () => undefined, count: () => 2 },
      forgive: (deaths) => Promise.resolve(void this.forgiven.push(deaths)),
    })
  }

  #kills(record: BusRecord): boolean {
    return this.poison.has(record.value.toString())
  }

  #die(): boolean {
    this.deaths++
    this.#hasDied = true
    return false
  }
}

describe('a record that kills its consumer', () => {
  let world: World
  beforeEach(() => (world = new World()))
  afterEach(() => world.stopping.abort())

  it(`is put aside after ${TRIES_MAX} deaths, and all others are taken once`, async () => {
    world.poison.add('bad')
    for (const value of ['a', 'b', 'bad', 'c']) world.send(value)
    await world.liveOn()
    expect(world.deaths).toBe(TRIES_MAX)
    expect(world.taken).toEqual(['a', 'b', 'c'])
    expect([...world.disk.letters.values()]).toMatchObject([
      { tenant: 't', count: 2, tries: TRIES_MAX, death: DEATH, timestamp_ms: 5 },
    ])
    expect(Buffer.from([...world.disk.letters.values()][0]!.bytes).toString()).toBe('bad')
    expect(world.disk.tries.size).toBe(0)
  })

  it('explains its deaths once it is put aside, and not before', async () => {
    world.poison.add('bad').add('evil')
    for (const value of ['bad', 'evil', 'c']) world.send(value)
    for (let deaths = 0; deaths < TRIES_MAX; deaths++) await world.live()
    expect(world.forgiven).toEqual([])
    await world.liveOn()
    expect(world.forgiven).toEqual([TRIES_MAX, TRIES_MAX])
    world.send('bad')
    await world.liveOn()
    expect(world.forgiven).toHaveLength(2)
  })

  it('is known by its bytes after the process has died in between: the ring is gone, the sender comes again', async () => {
    world.poison.add('bad')
    world.send('bad')
    await world.live()
    await world.live()
    expect(world.deaths).toBe(2)
    world.newProcess()
    // At another offset, and not before it has killed a third time.
    for (const value of ['x', 'bad', 'y']) world.send(value)
    await world.live()
    expect(world.deaths).toBe(3)
    await world.liveOn()
    expect(world.deaths).toBe(3)
    expect(world.taken).toEqual(['x', 'y'])
    expect(world.disk.letters.size).toBe(1)
  })

  it('kills nobody when its sender comes again', async () => {
    world.poison.add('bad')
    world.send('bad')
    await world.liveOn()
    world.send('bad')
    world.send('bae')
    await world.liveOn()
    world.newProcess()
    world.send('bad')
    await world.liveOn()
    expect(world.deaths).toBe(TRIES_MAX)
    expect(world.disk.refused).toBe(2)
    expect(world.taken).toEqual(['bae'])
  })

  it('is tried again when a person sends it again, and put aside again when it still kills', async () => {
    world.poison.add('bad')
    world.send('bad')
    await world.liveOn()
    world.send('bad', REPLAYED_FLAG)
    await world.liveOn()
    expect(world.deaths).toBe(2 * TRIES_MAX)
    expect(world.disk.letters.size).toBe(1)
    world.poison.clear()
    world.send('bad', REPLAYED_FLAG)
    await world.liveOn()
    expect(world.taken).toEqual(['bad'])
  })

  it('is taken when its letter was thrown away meanwhile', async () => {
    world.poison.add('bad')
    world.send('bad')
    await world.liveOn()
    const guard = await world.guard(undefined)
    world.disk.letters.clear()
    world.send('bad')
    const consumer = reader(world.ring)
    const record = consumer.poll()!.records[0]!
    expect(guard.isFree(record)).toBe(false)
    expect(await guard.admit(record)).toBe('take')
    expect(guard.isFree(record)).toBe(true)
  })

  it('waits for room among the dead letters, and nothing behind it is taken meanwhile', async () => {
    world.poison.add('bad')
    for (const value of ['bad', 'after']) world.send(value)
    for (let i = 0; i < TRIES_MAX; i++) await world.live()
    world.disk.hasRoom = false
    let isOver = false
    const living = world.live().then(() => (isOver = true))
    await world.clock.advance(10_000)
    expect({ isOver, taken: world.taken }).toEqual({ isOver: false, taken: [] })
    world.disk.hasRoom = true
    await world.clock.advance(2000)
    await living
    expect(world.taken).toEqual(['after'])
    expect(world.disk.letters.size).toBe(1)
  })

  it('does not keep an actor from stopping while it waits for room', async () => {
    world.poison.add('bad')
    world.send('bad')
    for (let i = 0; i < TRIES_MAX; i++) await world.live()
    world.disk.hasRoom = false
    const living = world.live()
    await world.clock.advance(1)
    world.stopping.abort()
    expect(await living).toBe(true)
    expect(world.taken).toEqual([])
    expect(world.ring.committed(0)).toBeLessThan(world.ring.tail)
  })
})

describe('a record that does no harm', () => {
  it('costs nothing on a healthy day', async () => {
    const world = new World()
    for (let i = 0; i < 100; i++) world.send(`record ${i}`)
    const guard = await world.guard(undefined)
    expect(guard.isWatching).toBe(false)
    await world.liveOn()
    expect(world.taken).toHaveLength(100)
    expect(world.disk.writes).toBe(0)
  })

  it('is cleared once it was taken, and costs nothing beyond what the dead had in hand', async () => {
    const world = new World()
    world.poison.add('bad')
    world.send('bad')
    for (let i = 0; i < 400; i++) world.send(`record ${i}`)
    await world.live()
    world.poison.clear()
    await world.liveOn()
    expect(world.taken).toHaveLength(401)
    expect(world.disk.tries.size).toBe(0)
    // Two writes for each of the records in the window, none for the others.
    expect(world.disk.writes).toBe(2 * (WINDOW_BYTES / 64))
    const guard = await world.guard(undefined)
    expect(guard.isWatching).toBe(false)
  })

  it('is not blamed for a death in a wait', async () => {
    const world = new World()
    world.send('slow')
    for (let i = 0; i < 10; i++) {
      const guard = await world.guard(DEATH)
      const [record] = reader(world.ring).poll()!.records
      expect(await guard.admit(record!)).toBe('take')
      await guard.pause()
    }
    expect(world.disk.letters.size).toBe(0)
  })

  it('is forgotten when its sender never came again', async () => {
    const world = new World()
    world.poison.add('bad')
    world.send('bad')
    await world.live()
    await world.live()
    world.newProcess()
    const guard = await world.guard(undefined)
    expect(guard.isWatching).toBe(true)
    await world.clock.advance(SUSPICION_MS)
    world.send('bda')
    const [record] = reader(world.ring).poll()!.records
    expect(await guard.admit(record!)).toBe('take')
    expect(world.disk.tries.size).toBe(0)
    expect(guard.isWatching).toBe(false)
  })
})

describe('two partitions of one thread', () => {
  it('know the same letters: a retry by the other partition kills nobody', async () => {
    const world = new World()
    world.poison.add('bad')
    world.send('bad')
    for (let i = 0; i < TRIES_MAX; i++) await world.live()
    const room = (world.room = new TrialRoom())
    const other = new World()
    other.room = room
    const theirs = await other.guard(undefined)
    expect(theirs.isWatching).toBe(false)
    const mine = await world.guard(DEATH)
    const [record] = reader(world.ring).poll()!.records
    expect(await mine.admit(record!)).toEqual({ aside: 2 })
    expect(theirs.isWatching).toBe(true)
    other.disk.letters.set([...world.disk.letters.keys()][0]!, [...world.disk.letters.values()][0]!)
    other.send('bad')
    const [retry] = reader(other.ring).poll()!.records
    expect(await theirs.admit(retry!)).toEqual({ aside: 2 })
  })

  it('are never on trial at once: a death counts against one record only', async () => {
    const worlds = [new World(), new World()]
    const room = new TrialRoom()
    const trials: string[] = []
    const lane = async (world: World, name: string) => {
      world.room = room
      world.send('a')
      world.send('b')
      const guard = await world.guard(DEATH)
      for (const record of reader(world.ring).poll()!.records) {
        expect(await guard.admit(record)).toBe('take')
        trials.push(`${name} begins`)
        for (let i = 0; i < 20; i++) await Promise.resolve()
        trials.push(`${name} ends`)
        await guard.done()
      }
    }
    await Promise.all([lane(worlds[0]!, 'x'), lane(worlds[1]!, 'y')])
    expect(trials).toHaveLength(8)
    for (let i = 0; i < trials.length; i += 2) {
      expect(trials[i + 1]).toBe(trials[i]!.replace('begins', 'ends'))
    }
  })
})

describe('the identity of a record', () => {
  it('tells tenants, topics and bytes apart', () => {
    const of = (topic: string, tenant: string, value: string) =>
      identityOf(topic, Buffer.from(tenant), Buffer.from(value))
    const all = [of('a', 't', 'v'), of('b', 't', 'v'), of('a', 'u', 'v'), of('a', 't', 'w'), of('a', 'tv', '')] // prettier-ignore
    expect(new Set(all).size).toBe(all.length)
  })
})

function reader(ring: Ring): Consumer {
  const actorId = 77
  return new Consumer(ring, 0, { actorId, epoch: assignGroup(ring, 0, actorId) })
}
