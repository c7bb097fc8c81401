import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LivestoreMetrics } from '../../../src/actors/livestore/metrics.js'
import { Quarantine } from '../../../src/actors/livestore/quarantine.js'
import { SUSPICIONS_MAX, type Poison, type Suspicion } from '../../../src/bus/poison.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { createLog } from '../../../src/lib/log.js'
import { Metrics, MetricsPage, renderMetrics } from '../../../src/lib/metrics.js'
import { systemClock } from '../../../src/lib/time.js'
import { MAX_DEAD_LETTERS } from '../../../src/storage/wal/dead-letters.js'
import { LivestoreState } from '../../../src/storage/wal/state.js'
import { temporaryFolder } from '../../storage/wal/support.js'

const poison = (n: number): Poison => ({
  identity: n.toString(16).padStart(16, '0').repeat(2),
  offset: 64,
  tenant: 'a',
  timestamp_ms: 5,
  count: 4,
  tries: 3,
  death: { kind: 'hung', text: 'x-0 hung' },
  bytes: Uint8Array.of(1, 2, 3),
})

const suspicion = (n: number): Suspicion => ({
  identity: `suspect-${n}`,
  length_bytes: 10,
  tries: 2,
  at_ms: n,
  death: { kind: 'threw', text: 'x-0 threw' },
})

describe('the quarantine of a livestore', () => {
  const lines: string[] = []
  let states: LivestoreState[]
  let quarantine: Quarantine
  let page: SharedArrayBuffer

  beforeEach(async () => {
    lines.length = 0
    const log = createLog({ write: (line) => lines.push(line) })
    const path = temporaryFolder()
    states = await Promise.all(
      [0, 1].map((partition) => LivestoreState.open({ path, partition, clock: systemClock, log })),
    )
    page = MetricsPage.create()
    const { quarantine: metrics } = new LivestoreMetrics(new Metrics(page))
    quarantine = new Quarantine({ metrics, clock: new FakeClock(), log })
    for (const [partition, state] of states.entries()) quarantine.own(partition, state)
  })
  afterEach(async () => {
    for (const state of states) await state.close()
  })

  const metric = async (name: string) =>
    (await renderMetrics([{ actor: 'livestore', sab: page }]))
      .split('\n')
      .filter((line) => line.startsWith(name) && !line.endsWith(' 0'))

  it('keeps what the distributor asks it to, apart from its own, and knows it again', async () => {
    const { asks } = quarantine
    const of = { topic: 'ingress', partition: 1 } as const
    await asks.poisonTrying({ ...of, suspicion: suspicion(1) })
    expect((await asks.poisonKnown(of)).suspicions).toEqual([suspicion(1)])
    expect((await quarantine.ledger('traces', 1).known()).suspicions).toEqual([])
    await asks.poisonCleared({ ...of, identity: suspicion(1).identity })
    expect((await asks.poisonKnown(of)).suspicions).toEqual([])
    expect(await asks.poisonQuarantine({ ...of, poison: poison(1) })).toBe(true)
    expect((await asks.poisonKnown(of)).letters).toEqual([
      { identity: poison(1).identity, length_bytes: 3 },
    ])
    const { identity } = poison(1)
    expect(await asks.poisonAgain({ ...of, identity, tenant: 'a', count: 4 })).toBe(true)
    expect(await asks.poisonAgain({ ...of, partition: 0, identity, tenant: 'a', count: 4 })).toBe(
      true,
    )
    expect(await asks.poisonAgain({ ...of, identity: 'else', tenant: 'a', count: 4 })).toBe(false)
  })

  it('tells, counts and lists each letter, and forgets it when it is discarded', async () => {
    const ledger = quarantine.ledger('traces', 0)
    await ledger.trying({ ...suspicion(1), identity: poison(7).identity })
    expect(await ledger.quarantine(poison(7))).toBe(true)
    expect(states[0]!.notes('try/')).toEqual([])
    const { letters, size_bytes } = await quarantine.asks.deadLetters()
    expect(letters).toMatchObject([
      { topic: 'traces', partition: 0, spans: 4, tries: 3, reason: 'hung', why: 'x-0 hung' },
    ])
    expect(size_bytes).toBe(3)
    const { id } = letters[0]!
    expect(lines.join('\n')).toContain(`tempo-actors bus dlq show ${id}`)
    expect(await metric('tempo_actors_dead_letters_total')).toEqual([
      expect.stringMatching(/topic="traces",reason="hung"\} 1$/),
    ])
    expect(await metric('tempo_discarded_spans_total')).toEqual([
      expect.stringMatching(/tenant="a",reason="quarantined"\} 4$/),
    ])
    expect(await metric('tempo_actors_dead_letters{')).toEqual([
      expect.stringMatching(/partition="0"\} 1$/),
    ])
    expect(await quarantine.asks.deadLetter({ id })).toMatchObject({ bytes: poison(7).bytes })
    expect(await quarantine.asks.discardDeadLetter({ id, why: 'test' })).toBe(true)
    expect(await quarantine.asks.discardDeadLetter({ id, why: 'test' })).toBe(false)
    expect(await metric('tempo_actors_dead_letters{')).toEqual([])
  })

  it('takes no letter over its bound and drops none, but always takes what was acknowledged', async () => {
    const ledger = quarantine.ledger('traces', 0)
    const [state] = states
    Object.defineProperty(state!.deadLetters, 'hasRoom', { value: () => false })
    expect(await ledger.quarantine(poison(1))).toBe(false)
    expect(await ledger.quarantine(poison(1))).toBe(false)
    expect(state!.deadLetters.count).toBe(0)
    expect(lines.filter((line) => line.includes('the partition stands still'))).toHaveLength(1)
    expect(lines.join('\n')).toContain(`max=${MAX_DEAD_LETTERS}`)
    const taken = quarantine.quarantine('traces', 0, poison(2), { wasAcknowledged: true })
    expect(await taken).toBe(true)
    expect(state!.deadLetters.count).toBe(1)
  })

  it('bounds what is suspected at once: the oldest gives way', async () => {
    const ledger = quarantine.ledger('traces', 0)
    for (let n = 0; n <= SUSPICIONS_MAX; n++) await ledger.trying(suspicion(n))
    const { suspicions } = await ledger.known()
    expect(suspicions).toHaveLength(SUSPICIONS_MAX)
    expect(suspicions.map(({ at_ms }) => at_ms)).not.toContain(0)
    expect(suspicions.map(({ at_ms }) => at_ms)).toContain(SUSPICIONS_MAX)
  })
})
