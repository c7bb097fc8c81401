import { afterEach, describe, expect, it } from 'vitest'
import Distributor from '../../../src/actors/distributor/actor.js'
import { DISTRIBUTOR_GROUP, INGRESS_TOPIC } from '../../../src/actors/distributor/contract.js'
import { LIVESTORE_GROUP, TRACES_TOPIC } from '../../../src/actors/livestore/contract.js'
import { Pending } from '../../../src/actors/receiver/pending.js'
import { RingIngest } from '../../../src/actors/receiver/ring-ingest.js'
import { AckReceiver, Acks } from '../../../src/bus/acks.js'
import { Consumer, type BusRecord } from '../../../src/bus/consumer.js'
import { assignGroup } from '../../../src/bus/group.js'
import { createTopic, Topic } from '../../../src/bus/topic.js'
import { Universe } from '../../../src/bus/universe.js'
import { loadConfig } from '../../../src/config.js'
import { toHex } from '../../../src/lib/bytes.js'
import { MetricsPage } from '../../../src/lib/metrics.js'
import { systemClock } from '../../../src/lib/time.js'
import { decodeTraces } from '../../support/otlp-objects.js'
import { keyValue, request, shopRequests, span, stringValue } from '../../support/otlp-gen.js'
import { Random } from '../../support/random.js'

const PARTITIONS = 3
const RECEIVER = 51
const STORE = 52

interface Sizes {
  ingress_bytes?: number
  traces_bytes?: number
  slots?: number
  timeout_ms?: number
}

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

/** Receiver and distributor as they are, over real rings; a store that commits what it is told to. */
async function path(sizes: Sizes = {}, withDistributor = true) {
  const { ingress_bytes = 1 << 20, traces_bytes = 1 << 20, slots = 64, timeout_ms = 5000 } = sizes
  const ingress = new Topic(
    createTopic({
      name: INGRESS_TOPIC,
      partitions: PARTITIONS,
      capacity_bytes: ingress_bytes,
      groups: [{ name: DISTRIBUTOR_GROUP, mode: 'gating' }],
    }),
  )
  const traces = new Topic(
    createTopic({
      name: TRACES_TOPIC,
      partitions: PARTITIONS,
      capacity_bytes: traces_bytes,
      groups: [{ name: LIVESTORE_GROUP, mode: 'gating' }],
    }),
  )
  const shared: Record<string, SharedArrayBuffer> = {
    acks: Acks.create({ slots, partitions: PARTITIONS }),
    'metrics-distributor': MetricsPage.create(),
  }
  for (let p = 0; p < PARTITIONS; p++) {
    shared[`ingress-${p}`] = ingress.ring(p).words.buffer
    shared[`traces-${p}`] = traces.ring(p).words.buffer
  }
  const universe = new Universe()
  const { config } = loadConfig({ files: [], env: {} })
  // Nothing is suspected, and nothing is put aside.
  universe.stub('livestore', { poisonKnown: () => ({ suspicions: [], letters: [] }) })
  const asks = ['livestore']
  const spawn = () =>
    universe.spawn(Distributor, { component: 'distributor', config, shared, asks })
  const acks = new AckReceiver(shared.acks!)
  const pending = new Pending({
    acks,
    committedOf: (p) => traces.committedOf(p),
    spots: [acks.marked, ...traces.rings.map((ring) => ring.space)],
    timeout_ms,
    clock: systemClock,
  })
  const running = pending.run()
  const stopping = new AbortController()
  const ingest = new RingIngest({
    actorId: RECEIVER,
    ingress: ingress.rings,
    acks,
    pending,
    retryAfter_ms: 1234,
    clock: systemClock,
    signal: stopping.signal,
  })
  const consumers = traces.rings.map((ring) => {
    const epoch = assignGroup(ring, 0, STORE)
    return new Consumer(ring, 0, { actorId: STORE, epoch })
  })
  stops.push(async () => {
    stopping.abort()
    pending.stop()
    await running
    await universe.stop()
  })
  if (withDistributor) await spawn()
  return { ingress, traces, acks, pending, ingest, consumers, spawn, stopping }
}

type Path = Awaited<ReturnType<typeof path>>

/** What has come to the store so far, taken but not committed. */
function take({ consumers }: Path): { partition: number; record: BusRecord }[] {
  return consumers.flatMap((consumer, partition) => {
    const records: { partition: number; record: BusRecord }[] = []
    for (let batch = consumer.poll(); batch; batch = consumer.poll())
      records.push(...batch.records.map((record) => ({ partition, record })))
    return records
  })
}

function commit({ consumers }: Path): void {
  for (const consumer of consumers) consumer.commit(consumer.cursor)
}

async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (;;) {
    const seen = look()
    if (seen) return seen
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** A store that takes and commits all the time; what came is collected. */
function storing(way: Path) {
  const got: { partition: number; record: BusRecord }[] = []
  const timer = setInterval(() => {
    got.push(...take(way))
    commit(way)
  }, 1)
  stops.unshift(() => {
    clearInterval(timer)
    return Promise.resolve()
  })
  return got
}

const spansIn = (bytes: Uint8Array) =>
  decodeTraces(bytes)
    .flatMap((rs) => rs.scopes.flatMap((scope) => scope.spans))
    .map((one) => `${toHex(one.traceId)} ${toHex(one.spanId)}`)

const shopRequest = (options: { traces: number; batch?: number }) => shopRequests(options)[0]!

const KEPT = { ok: true, rejectedSpans: 0, message: '' }

describe('a request on its way in', () => {
  it('is answered when every partition that it touched has committed it, and not before', async () => {
    const way = await path()
    const { bytes } = shopRequest({ traces: 20 })
    let answer: unknown
    void way.ingest.push({ tenant: 'a', body: bytes }).then((result) => (answer = result))
    const records = await until(() => {
      const got = take(way)
      return got.length === PARTITIONS && got
    })
    for (let p = 0; p < PARTITIONS; p++) {
      expect(answer).toBeUndefined()
      way.consumers[p]!.commit(way.consumers[p]!.cursor)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(await until(() => answer)).toEqual(KEPT)
    expect(way.acks.openCount).toBe(0)
    const came = records.flatMap(({ record }) => spansIn(record.value))
    expect(came.sort()).toEqual(spansIn(bytes).sort())
    expect(records.every(({ record }) => record.key.toString() === 'a')).toBe(true)
  })

  it('sends a trace to one partition, whatever request its spans come in', async () => {
    const way = await path()
    const got = storing(way)
    for (const { bytes } of shopRequests({ traces: 30, batch: 40 })) {
      expect(await way.ingest.push({ tenant: 'a', body: bytes })).toEqual(KEPT)
      expect(await way.ingest.push({ tenant: 'a', body: bytes })).toEqual(KEPT)
    }
    const homes = new Map<string, Set<number>>()
    for (const { partition, record } of got) {
      for (const key of spansIn(record.value)) {
        const trace = key.slice(0, 32)
        homes.set(trace, (homes.get(trace) ?? new Set()).add(partition))
      }
    }
    expect(homes.size).toBe(30)
    expect([...homes.values()].every((partitions) => partitions.size === 1)).toBe(true)
  })

  it('that is malformed is refused with words and a place, and nothing of it is kept', async () => {
    const way = await path()
    const { bytes } = shopRequest({ traces: 3 })
    const torn = await way.ingest.push({ tenant: 'a', body: bytes.subarray(0, bytes.length - 3) })
    expect(torn).toMatchObject({ ok: false, refused: 'invalid' })
    expect((torn as { message: string }).message).toMatch(/byte|offset/)
    const bad = request([span(new Uint8Array(16), Buffer.alloc(8, 1))])
    const zero = await way.ingest.push({ tenant: 'a', body: bad })
    expect(zero).toMatchObject({ ok: false, refused: 'invalid' })
    expect((zero as { message: string }).message).toMatch(/trace/i)
    expect(take(way)).toEqual([])
    expect(way.acks.openCount).toBe(0)
  })

  it('without a span is fine, and touches nothing', async () => {
    const way = await path()
    expect(await way.ingest.push({ tenant: 'a', body: new Uint8Array(0) })).toEqual(KEPT)
    expect(await way.ingest.push({ tenant: 'a', body: request([]) })).toEqual(KEPT)
    expect(take(way)).toEqual([])
  })

  it('that is longer than a record of the ring goes in parts and is answered once, as one', async () => {
    const way = await path({ ingress_bytes: 1 << 16 })
    const got = storing(way)
    const { bytes } = shopRequest({ traces: 30, batch: 1000 })
    expect(bytes.length).toBeGreaterThan(way.ingress.ring(0).maxRecordLength * 3)
    expect(await way.ingest.push({ tenant: 'a', body: bytes })).toEqual(KEPT)
    expect(got.flatMap(({ record }) => spansIn(record.value)).sort()).toEqual(spansIn(bytes).sort())
  })

  it('keeps what fits of it when one span is too long, and says how many are not kept and why', async () => {
    const way = await path({ ingress_bytes: 1 << 16 })
    const got = storing(way)
    const random = new Random(5)
    const small = () => span(random.bytes(16), random.bytes(8))
    const large = span(random.bytes(16), random.bytes(8), {}, [
      keyValue('stack', stringValue('x'.repeat(20_000))),
    ])
    const result = await way.ingest.push({ tenant: 'a', body: request([small(), large, small()]) })
    expect(result).toMatchObject({ ok: true, rejectedSpans: 1 })
    expect((result as { message: string }).message).toMatch(/span 1 .* at most \d+ are stored/)
    expect(got.flatMap(({ record }) => spansIn(record.value))).toHaveLength(2)
  })

  it('of a size that no splitting helps is refused for good, not for now', async () => {
    const way = await path({ ingress_bytes: 1 << 16 })
    const { bytes } = shopRequest({ traces: 900, batch: 100_000 })
    const result = await way.ingest.push({ tenant: 'a', body: bytes })
    expect(result).toMatchObject({ ok: false, refused: 'too_large' })
    expect(way.acks.openCount).toBe(0)
  })
})

describe('a store that does not keep up', () => {
  const body = () => {
    const { bytes } = shopRequest({ traces: 10 })
    return bytes
  }

  it('is felt by the client as "come back later", with a time, and nothing is lost of what it took', async () => {
    const way = await path({ ingress_bytes: 1 << 16, traces_bytes: 1 << 16, timeout_ms: 20_000 })
    const results: { ok: boolean }[] = []
    const pushes = Array.from({ length: 60 }, () =>
      way.ingest.push({ tenant: 'a', body: body() }).then((r) => void results.push(r)),
    )
    await until(() => results.length > 0)
    expect(results[0]).toMatchObject({ ok: false, refused: 'rate_limited', retryAfter_ms: 1234 })
    const got = storing(way)
    await Promise.all(pushes)
    const kept = results.filter((result) => result.ok).length
    expect(kept).toBeGreaterThan(0)
    const spans = got.flatMap(({ record }) => spansIn(record.value))
    // Parts of a refused request may be stored too: its client comes again, so they count at least once.
    expect(spans.length).toBeGreaterThanOrEqual(kept * spansIn(body()).length)
    expect(way.acks.openCount).toBe(0)
  })

  it('has a bound on requests that wait, and says it', async () => {
    const way = await path({ slots: 4 })
    const waiting = Array.from({ length: 4 }, () => way.ingest.push({ tenant: 'a', body: body() }))
    const fifth = await way.ingest.push({ tenant: 'a', body: body() })
    expect(fifth).toMatchObject({ ok: false, refused: 'rate_limited' })
    expect((fifth as { message: string }).message).toContain('4 requests wait')
    storing(way)
    for (const result of await Promise.all(waiting)) expect(result).toEqual(KEPT)
  })

  it('that never commits is told on: the request may be stored or not, and can be sent again', async () => {
    const way = await path({ timeout_ms: 50 })
    const result = await way.ingest.push({ tenant: 'a', body: body() })
    expect(result).toMatchObject({ ok: false, refused: 'unavailable', retryAfter_ms: 1234 })
    expect((result as { message: string }).message).toMatch(/not durable in time .* send it again/)
    expect(way.pending.size).toBe(0)
    expect(way.acks.openCount).toBe(0)
    // Its late commit answers nobody else.
    await until(() => take(way).length > 0)
    commit(way)
    const other = way.ingest.push({ tenant: 'a', body: body() })
    storing(way)
    expect(await other).toEqual(KEPT)
  })
})

describe('a distributor that is not there', () => {
  it('keeps nobody from sending: its successor takes up what waits in the ring', async () => {
    const way = await path({}, false)
    const { bytes } = shopRequest({ traces: 5 })
    const answer = way.ingest.push({ tenant: 'a', body: bytes })
    const got = storing(way)
    await way.spawn()
    expect(await answer).toEqual(KEPT)
    expect(got.flatMap(({ record }) => spansIn(record.value)).sort()).toEqual(spansIn(bytes).sort())
  })
})

describe('a receiver that stops', () => {
  it('tells everyone who still waits, and takes no more', async () => {
    const way = await path({ timeout_ms: 60_000 }, false)
    const { bytes } = shopRequest({ traces: 5 })
    const answer = way.ingest.push({ tenant: 'a', body: bytes })
    await until(() => way.pending.size === 1)
    way.pending.stop()
    expect(await answer).toMatchObject({ ok: false, refused: 'unavailable' })
    expect(way.acks.openCount).toBe(0)
  })
})
