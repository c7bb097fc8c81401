/**
 * Owns a partition of a livestore without its thread: a real ring, arena, catalog, WAL, flush queue and blocks in a
 * folder that goes away, a backend in memory, and lives that can end before any step. What a query would find is read as
 * a querier reads it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, vi } from 'vitest'
import { BlockRegistry } from '../../../src/actors/backend-worker/block-registry.js'
import { listSources, type Blocklist } from '../../../src/actors/frontend/read-set.js'
import { BlockPipeline } from '../../../src/actors/livestore/block-pipeline.js'
import build, { type BuildRequest } from '../../../src/actors/livestore/build-job.js'
import { LocalFlush } from '../../../src/actors/livestore/local-flush.js'
import { Judge, LiveTraces } from '../../../src/actors/livestore/judge.js'
import { LivestoreMetrics } from '../../../src/actors/livestore/metrics.js'
import { Partition } from '../../../src/actors/livestore/partition.js'
import { Quarantine } from '../../../src/actors/livestore/quarantine.js'
import { RecentSpans } from '../../../src/actors/livestore/recent-spans.js'
import { Room } from '../../../src/actors/livestore/room.js'
import { recover } from '../../../src/actors/livestore/recovery.js'
import { ReplayGuard } from '../../../src/actors/livestore/replay-guard.js'
import { Sources } from '../../../src/actors/querier/sources.js'
import { AckMarker, Acks } from '../../../src/bus/acks.js'
import { BATCH_BYTES_MAX_DEFAULT, Consumer } from '../../../src/bus/consumer.js'
import { assignGroup, countAttempt } from '../../../src/bus/group.js'
import { PoisonGuard, TrialRoom, type Death } from '../../../src/bus/poison.js'
import { Ring } from '../../../src/bus/ring.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { silentLog } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import { Metrics, MetricsPage } from '../../../src/lib/metrics.js'
import type { LimitsSource } from '../../../src/limits/view.js'
import { emptyBlocklist, metasByTenant, pollBlocklist } from '../../../src/storage/backend/blocklist.js' // prettier-ignore
import { LocalBackend } from '../../../src/storage/backend/local.js'
import { LocalBlocks } from '../../../src/storage/backend/local-blocks.js'
import { countSpans } from '../../../src/otlp/count-spans.js'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import { Catalog } from '../../../src/storage/catalog.js'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { HeadReaders } from '../../../src/storage/head/readers.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { LivestoreState } from '../../../src/storage/wal/state.js'
import { Wal } from '../../../src/storage/wal/wal.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { readSpans } from '../../storage/head/reference.js'
import { noLimits } from '../../limits/no-limits.js'
import { Mortal } from './mortal.js'

export const PARTITION = 0
const GROUP = 'livestore'
const PRODUCER = 7
const FRONTEND = 'frontend-0'
const COMPLETE_BLOCK_TIMEOUT_MS = 60_000
export const RETRY_HORIZON_MS = 25_000

const folders: string[] = []
afterEach(() => {
  vi.restoreAllMocks()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A record for the ring, and the spans in it by (trace id, span id, kind). */
export interface Sent {
  readonly tenant: string
  readonly bytes: Uint8Array
  readonly spans: readonly string[]
  end: number
}

/** What outlives an actor, and what outlives the process. */
export class House {
  readonly folder: string
  readonly clock = new FakeClock()
  readonly backend = new MemoryBackend()
  readonly sent: Sent[] = []
  /** Limits of the slice; a test changes them between records. */
  readonly limits = { maxAge_ms: 3_600_000, maxIdle_ms: 3_600_000, max_bytes: 1 }
  /** Memory for the ids of spans in heads that were cut. */
  recent_bytes = 1 << 20
  forgottenSpans = 0
  /** Limits of the tenants; a test sets others. */
  tenantLimits: LimitsSource = noLimits()
  ring!: Ring
  acks!: AckMarker
  catalog!: Catalog
  arena!: HeadArena
  registry!: BlockRegistry
  /** The frontend's copy of the blocklist, and its version. */
  blocklist: Blocklist = {}
  /** How the life before died, when the memory between the actors is still there. */
  death: Death | undefined
  /** What a stage does with a record before it decodes it: throws to die of it. */
  kill: (stage: string, bytes: Uint8Array) => void = () => undefined
  #listVersion = 0
  #actorId = 100

  constructor(private readonly arena_bytes = 8 << 20) {
    this.folder = mkdtempSync(join(tmpdir(), 'tempo-actors-livestore-'))
    folders.push(this.folder)
    this.#newMemory(0)
  }

  /** The process is gone: all shared memory is new, and the offsets go on where the WAL ended. */
  async restartProcess(): Promise<void> {
    const wal = await this.openWal()
    this.#newMemory(wal.appliedOffset)
    await wal.close()
    await this.poll()
  }

  /** As the backend-worker does every few minutes. */
  async poll(): Promise<void> {
    const list = await pollBlocklist(this.backend, emptyBlocklist, { log: silentLog })
    this.registry.replace(metasByTenant(list))
    this.refreshFrontend()
  }

  /** As a frontend does once a second. */
  refreshFrontend(): void {
    const reply = this.registry.answer({ frontend: FRONTEND, version: this.#listVersion })
    if (reply.tenants) this.blocklist = reply.tenants
    this.#listVersion = reply.version
  }

  openWal(): Promise<Wal> {
    return Wal.open({ ...this.#lmdb, sync: 'committed' })
  }

  openState(): Promise<LivestoreState> {
    return LivestoreState.open(this.#lmdb)
  }

  /** LMDB's watchdog looks at real commits: it has the real clock. */
  get #lmdb() {
    return { path: this.folder, partition: PARTITION, clock: systemClock, log: silentLog }
  }

  get blocks(): LocalBlocks {
    return new LocalBlocks(join(this.folder, 'blocks'), { fsync: false })
  }

  nextActorId(): number {
    return ++this.#actorId
  }

  send(record: Omit<Sent, 'end'>): Sent {
    const head = {
      type: 1,
      correlation: 0,
      key: Buffer.from(record.tenant),
      timestamp_ms: this.clock.now(),
    }
    const { bytes } = record
    const end = this.ring.append(PRODUCER, head, bytes.length, (to, at) => to.set(bytes, at))
    expect(end).toBeGreaterThan(0)
    const sent = { ...record, end }
    this.sent.push(sent)
    return sent
  }

  /** The client has its answer: `committed` has passed the record. */
  isAcknowledged(sent: Sent): boolean {
    return this.ring.committed(0) >= sent.end
  }

  /** Blocks of a tenant, as the frontend lists them. */
  listed(tenant: string) {
    return listSources([this.catalog], this.blocklist, tenant, {})
  }

  /** Every span that a query of the tenant finds, and in which blocks. */
  async found(tenant: string): Promise<Map<string, string[]>> {
    const local = new LocalBackend(join(this.folder, 'blocks'), {
      clock: this.clock,
      log: silentLog,
    })
    const sources = new Sources({
      catalogs: [this.catalog],
      heads: new HeadReaders(this.arena, 0),
      local: [local],
      backend: this.backend,
      clock: this.clock,
      log: silentLog,
    })
    const spans = new Map<string, string[]>()
    for (const ref of this.listed(tenant)) {
      const lease = await sources.open(ref)
      if (!lease) continue
      for (const key of (await readSpans(lease.source)).keys())
        spans.set(key, [...(spans.get(key) ?? []), ref.blockId])
      await lease.release()
    }
    await sources.close()
    await local.close()
    return spans
  }

  /** Acknowledged spans are in one place exactly, others in one at most, and nothing is there that was not sent. */
  async expectExactlyOnce(acknowledged: ReadonlySet<Sent>, when: string): Promise<void> {
    for (const tenant of new Set(this.sent.map((sent) => sent.tenant))) {
      const found = await this.found(tenant)
      const mine = this.sent.filter((sent) => sent.tenant === tenant)
      const all = new Set(mine.flatMap((sent) => sent.spans))
      const faults: string[] = []
      for (const [key, blocks] of found) {
        if (blocks.length !== 1) faults.push(`${key} in ${blocks.join(' and ')}`)
        if (!all.has(key)) faults.push(`${key} was never sent`)
      }
      for (const sent of mine.filter((sent) => acknowledged.has(sent)))
        for (const key of sent.spans) if (!found.has(key)) faults.push(`${key} is lost`)
      expect(faults, `${tenant}, ${when}`).toEqual([])
    }
  }

  #newMemory(baseOffset: number): void {
    const groups = [{ name: GROUP, mode: 'gating' as const }]
    const spec = {
      topic: 'traces',
      partition: PARTITION,
      capacity_bytes: 1 << 18,
      baseOffset,
      groups,
    }
    this.ring = new Ring(Ring.create(spec))
    this.acks = new AckMarker(Acks.create({ slots: 64 }))
    this.catalog = new Catalog(Catalog.create(PARTITION, 64))
    this.arena = HeadArena.create({ bytes: this.arena_bytes, readers: 2 })
    this.registry = new BlockRegistry(this.clock, Math.floor(this.clock.now()))
    this.blocklist = {}
    this.#listVersion = 0
  }
}

/** One life of the partition's owner. */
export class Life {
  partition!: Partition
  pipeline!: BlockPipeline
  recent!: RecentSpans
  flush!: LocalFlush
  wal!: Wal
  state!: LivestoreState
  quarantine!: Quarantine
  consumer!: Consumer
  readonly room = new Room()
  readonly #stopping = new AbortController()
  readonly #builds = new Set<Promise<unknown>>()
  lane: Promise<void> = Promise.resolve()

  private constructor(
    readonly house: House,
    readonly mortal: Mortal,
  ) {}

  /** As the actor starts; a death on the way leaves a life that is dead. */
  static async begin(house: House, mortal = new Mortal()): Promise<Life> {
    const life = new Life(house, mortal)
    life.wal = await house.openWal()
    life.state = await house.openState()
    // The heads' writers are made inside: their publishing is a step all the same.
    const publish = Object.getOwnPropertyDescriptor(HeadWriter.prototype, 'publish')!
      .value as HeadWriter['publish']
    const spy = vi.spyOn(HeadWriter.prototype, 'publish')
    spy.mockImplementation(function (this: HeadWriter, offset: number) {
      mortal.step('head.publish')
      publish.call(this, offset)
    })
    try {
      await life.#start()
    } catch (error) {
      if (mortal.isDead) return life
      await life.end()
      throw error
    }
    return life
  }

  async #start(): Promise<void> {
    const { house, mortal } = this
    const { clock, acks } = house
    const metrics = new LivestoreMetrics(new Metrics(MetricsPage.create()))
    const wal = mortal.bindAsync('wal', this.wal, ['append', 'rotate', 'drop'])
    const state = mortal.bindAsync('state', this.state, ['putBlock', 'markFlushed', 'removeBlock'])
    const catalog = mortal.bind('catalog', house.catalog, [
      'addHead',
      'addLocal',
      'markCut',
      'markLocal',
      'markFlushed',
      'remove',
    ])
    const arena = mortal.bind('arena', house.arena, ['takeHeader', 'open', 'retire', 'reclaim'])
    const blocks = mortal.bindAsync('blocks', house.blocks, ['delete'])
    this.flush = new LocalFlush({
      backend: mortal.bindAsync('backend', house.backend, ['put', 'putFile', 'delete']),
      clock,
      log: silentLog,
      metrics: metrics.flush,
      concurrency: 2,
      opTimeout_ms: 60_000,
      completeBlockTimeout_ms: COMPLETE_BLOCK_TIMEOUT_MS,
      filesOf: (block) => blocks.files(block.tenant, block.blockId),
      onFlushed: async (block) => {
        await this.pipeline.flushed(block)
        mortal.step('announce')
        house.registry.add(this.state.block(block.blockId)!.meta as BlockMeta)
      },
      random: () => 0.5,
    })
    const { room } = this
    const builder = { build: (request: BuildRequest) => this.#build(request) }
    const parts = {
      wal,
      state,
      arena,
      room,
      catalog,
      blocks,
      clock,
      partition: PARTITION,
      log: silentLog,
    }
    this.pipeline = new BlockPipeline({
      ...parts,
      builder,
      lifecycle: this.flush,
      formatFor: () => ({ version: 'blockpack1', dedicatedColumns: undefined }),
      fsync: false,
      metrics: metrics.pipeline,
      random: () => 0.5,
    })
    this.recent = new RecentSpans({
      horizon_ms: RETRY_HORIZON_MS,
      max_bytes: house.recent_bytes,
      onForgotten: (spans) => (house.forgottenSpans += spans),
    })
    const { pipeline, recent } = this
    const common = { ...parts, pipeline, recent, progress: () => undefined }
    this.quarantine = new Quarantine({ metrics: metrics.quarantine, clock, log: silentLog })
    this.quarantine.own(PARTITION, this.state)
    const { death } = house
    const replayGuard = await ReplayGuard.open({
      partition: PARTITION,
      state: this.state,
      quarantine: this.quarantine,
      segments: wal.segments(),
      death,
    })
    const killer = (stage: string) => (bytes: Uint8Array) => house.kill(stage, bytes)
    const slice = await recover({ ...common, guard: replayGuard, killer: killer('replay') })
    const actorId = house.nextActorId()
    const epoch = assignGroup(house.ring, 0, actorId)
    this.consumer = new Consumer(house.ring, 0, { actorId, epoch, from: this.wal.appliedOffset })
    this.consumer.commit(this.wal.appliedOffset)
    const consumer = mortal.bind('consumer', this.consumer, ['commit'])
    const { limits } = house
    if (death) countAttempt(house.ring, 0)
    const guard = await PoisonGuard.open({
      ...{
        topic: 'traces',
        room: new TrialRoom(),
        ledger: this.quarantine.ledger('traces', PARTITION),
        death,
      },
      ...{ window_bytes: BATCH_BYTES_MAX_DEFAULT, tail: house.ring.tail, count: countSpans },
      ...{ clock, log: silentLog, signal: this.#stopping.signal, progress: () => undefined },
    })
    const judge = new Judge({
      ...{ limits: house.tenantLimits, live: new LiveTraces(), acks, discarded: metrics.discarded },
    })
    this.partition = new Partition(
      {
        ...common,
        judge,
        guard,
        killer: killer('livestore'),
        consumer,
        acks,
        limits,
        retryHorizon_ms: 0,
        metrics,
      },
      slice,
    )
    this.flush.start()
    this.lane = this.partition.run(this.#stopping.signal).catch((error: unknown) => {
      if (!mortal.isDead) throw error
    })
  }

  /** Resolves with true once the condition holds, with false when the life has ended before. */
  async until(condition: () => boolean): Promise<boolean> {
    while (!this.mortal.isDead) {
      if (condition()) return true
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    return false
  }

  /** Everything that was cut is in the backend. */
  settled(): Promise<boolean> {
    const { limits, catalog } = this.house
    const isCutDone = () =>
      (this.partition.slice.spans === 0 || limits.max_bytes > 1) &&
      catalog.list().every((entry) => entry.state !== 'cut')
    return this.until(() => isCutDone() && this.pipeline.length === 0 && this.flush.length === 0)
  }

  /** As the actor does every few seconds. */
  async clearLocal(): Promise<void> {
    const { house, mortal, pipeline } = this
    try {
      const blocks = pipeline.deletable()
      const listed = new Set(house.registry.listedEverywhere(blocks))
      for (const block of blocks) if (listed.has(block.blockId)) await pipeline.delete(block)
    } catch (error) {
      if (!mortal.isDead) throw error
    }
  }

  /** The thread has ended, in order or not: nothing of it goes on, its files are closed. */
  async end(): Promise<void> {
    this.#stopping.abort()
    this.pipeline.stop()
    await Promise.allSettled([...this.#builds])
    await this.lane.catch(() => undefined)
    await this.flush.stop()
    await this.pipeline.idle()
    vi.restoreAllMocks()
    await this.wal.close()
    await this.state.close()
  }

  /** A death before the files, between them, and after the block has appeared. */
  #build(request: BuildRequest) {
    const work = (async () => {
      this.mortal.step('build.begin')
      const draft = await this.house.blocks.begin(request.tenant, request.blockId)
      await (await draft.create('data.bin')).close()
      this.mortal.step('build.complete')
      const result = await build(request)
      this.mortal.step('build.answer')
      return result
    })()
    const settled = work.catch(() => undefined)
    this.#builds.add(settled)
    void settled.finally(() => this.#builds.delete(settled))
    return work
  }
}
