/**
 * Owns one run: a busy time with faults, then calm in which everything must get well by itself, then a drain after which
 * nothing may be left over. Whatever must always hold is looked at on the way.
 */
import type { LivestoreAsks } from '../../src/actors/livestore/contract.js'
import type { Config } from '../../src/config.js'
import type { Log } from '../../src/lib/log.js'
import { resetAtomics } from './atomics.js'
import { newBucket } from './bucket.js'
import { Clients } from './clients.js'
import { disk, newDisk } from './disk.js'
import type { Answer, EdgeFrontend, EdgeReceiver } from './edges.js'
import { calm, layFaults, planFaults } from './faults.js'
import { House } from './house.js'
import { SEGMENT, watchDisk } from './durability.js'
import { ledger, newLedger } from './ledger.js'
import { settingsOf } from './settings.js'
import { begin, world } from './world.js'

/** Faults may come this long; requests and queries too. */
const BUSY_MS = 6000
const REQUESTS_MAX = 24
const QUERIES_MAX = 6
/** Within this time of calm every request must be answered: restarts, retries and the longest timeouts add up to less. */
const RECOVERY_MS = 60_000
const QUERY_RETRY_MS = 500
/** In calm, an ack comes by wake-ups alone, well before anybody re-checks. */
const PROMPT_MS = 700
const PROBES = 3
/** Memory for two heads of each tenant in each partition: below this, somebody may have to wait for a build. */
const ROOMY_BYTES = 80 * 16_384
const DRAIN_MS = 120_000
/** Between two queries while blocks change hands: local copies go, and whoever asks must find them in the bucket. */
const ASK_PAUSE_MS = 1000
const LOOK_MS = 20

export interface Outcome {
  readonly seed: number
  readonly error: Error | undefined
  readonly now_ms: number
  readonly events: number
  readonly steps: number
  readonly digest: number
  readonly acknowledged: number
  readonly processes: number
}

function logTo(trace: ((line: string) => void) | undefined): Log {
  const say =
    (level: string) =>
    (msg: string, fields?: object): void => {
      if (trace) world.say(`${level}: ${msg} ${JSON.stringify(fields ?? {})}`)
    }
  const log: Log = {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    with: () => log,
  }
  return log
}

export async function runSeed(seed: number, trace?: (line: string) => void): Promise<Outcome> {
  begin(seed)
  world.trace = trace
  resetAtomics()
  newDisk()
  newBucket()
  newLedger()
  Math.random = () => world.random.float()
  const run = new Run(logTo(trace))
  let error: Error | undefined
  try {
    await run.all()
  } catch (thrown) {
    error = thrown as Error
  }
  // Whoever still lives must not meet the next seed; what that does to the disk is looked at too.
  world.end(world.outside, undefined)
  error ??= world.violation
  const { now_ms, events, steps, digest } = world
  const { acknowledged } = ledger
  const { processes } = run.house
  return { seed, error, now_ms, events, steps, digest, acknowledged, processes }
}

class Run {
  readonly house: House
  readonly #clients: Clients
  readonly #settings: Config
  readonly #isSiege: boolean
  #queriesOpen = 0
  #isDrained = false

  constructor(log: Log) {
    const { config: settings, isSiege } = settingsOf(world.random)
    this.#settings = settings
    this.#isSiege = isSiege
    const tenants = !isSiege && world.random.oneIn(2) ? ['a'] : ['a', 'b']
    this.house = new House(settings, log)
    this.#clients = new Clients(this.house, tenants)
    watchDisk(settings)
  }

  async all(): Promise<void> {
    this.house.begin()
    await this.#busy()
    await this.#recover()
    await this.#probe()
    const end = world.random.below(3)
    if (end === 1) this.house.crash()
    if (end === 2) this.house.stop()
    await this.#drain()
  }

  async #busy(): Promise<void> {
    const { random, outside } = world
    const plan = planFaults(this.#isSiege)
    world.say(`faults: ${plan.count} of ${plan.kinds.join(', ')}`)
    layFaults(plan, this.house, BUSY_MS)
    const later = (label: string, act: () => Promise<void>) =>
      world.at(random.float() * BUSY_MS, outside, label, () => void act())
    for (let i = random.below(REQUESTS_MAX); i >= 0; i--)
      later('a client sends', () => this.#clients.send())
    for (let i = random.below(QUERIES_MAX); i >= 0; i--)
      later('somebody asks', () => this.#query(random.pick(this.#clients.tenants), 'on the way'))
    if (random.oneIn(3)) later('flush', () => this.#flush().catch(() => undefined))
    let isOver = false
    world.at(BUSY_MS, outside, 'the busy time ends', () => (isOver = true))
    await this.#until(() => isOver, 2 * BUSY_MS, 'the busy time ends')
  }

  /** Faults cease; every request that was begun must end. */
  async #recover(): Promise<void> {
    world.say('faults cease')
    calm(this.house)
    await this.#until(
      () => this.#clients.open === 0 && this.#queriesOpen === 0,
      RECOVERY_MS,
      'every request is answered',
      () => `${this.#clients.open} requests and ${this.#queriesOpen} queries wait`,
    )
  }

  /** With everything well, an ack is prompt, and what it says is found at once. */
  async #probe(): Promise<void> {
    for (let probe = 0; probe < PROBES; probe++) {
      await this.#until(() => this.#isCalm, RECOVERY_MS, 'everything is calm')
      const before = this.#clients.retries
      const began_ms = world.now_ms
      let ended_ms = Infinity
      void this.#clients.send(2).then(() => (ended_ms = world.now_ms))
      await this.#until(() => ended_ms < Infinity, RECOVERY_MS, 'a request in calm is answered')
      const took_ms = ended_ms - began_ms
      const isPrompt = took_ms <= PROMPT_MS || this.#clients.retries > before
      const isRoomy = this.#settings.actors.head_bytes >= ROOMY_BYTES
      world.check(
        isPrompt || !isRoomy,
        'acks are prompt in calm',
        () => `${Math.round(took_ms)} ms`,
      )
    }
    await this.#queryAll('after the faults')
  }

  /** Everything is cut, built, flushed and cleared; then nothing may be left but the blocks in the bucket. */
  async #drain(): Promise<void> {
    let isFlushed = false
    const flush = async () => {
      for (;;) {
        try {
          await this.#flush()
          break
        } catch {
          await world.sleep(QUERY_RETRY_MS)
        }
      }
      isFlushed = true
    }
    void flush()
    void this.#keepAsking()
    await this.#until(() => isFlushed, DRAIN_MS, 'everything is flushed')
    await this.#queryAll('after the flush')
    await this.#until(
      () => this.#leftOver === undefined,
      DRAIN_MS,
      'nothing is left over',
      () => this.#leftOver ?? '',
    )
    this.#isDrained = true
    await this.#queryAll('at the end')
  }

  async #keepAsking(): Promise<void> {
    for (;;) {
      await world.sleep(world.random.float() * ASK_PAUSE_MS)
      if (this.#isDrained) return
      await this.#query(world.random.pick(this.#clients.tenants), 'while blocks change hands')
    }
  }

  get #isUp(): boolean {
    const { house } = this
    const names = ['receiver', 'frontend', 'distributor', 'livestore', 'backend-worker']
    return !house.isStopping && names.every((name) => isWell(house, name))
  }

  /** Nobody waits for anything, memory least of all. */
  get #isCalm(): boolean {
    const isBuilding = () =>
      this.house.catalogs.some((catalog) => catalog.list().some(({ state }) => state === 'cut'))
    return this.#isUp && this.#isCaughtUp && !isBuilding()
  }

  get #isCaughtUp(): boolean {
    return this.house.rings.every((ring) => ring.committed(0) === ring.tail)
  }

  get #leftOver(): string | undefined {
    const { house } = this
    if (!this.#isUp) return 'not all actors are up'
    const entries = house.catalogs.flatMap((catalog) => catalog.list())
    if (entries.length > 0) return `catalog: ${entries.map(({ state }) => state).join(', ')}`
    if (!this.#isCaughtUp) return 'a ring is not empty'
    const receiver = house.threads.ready('receiver')?.actor as EdgeReceiver
    if (receiver.open > 0) return `${receiver.open} acks are open`
    const arena = house.arena!
    arena.reclaim()
    if (arena.used_bytes() > 0) return `${arena.used_bytes()} bytes of the arena are in use`
    return leftOnDisk()
  }

  async #query(tenant: string, when: string): Promise<void> {
    this.#queriesOpen++
    for (;;) {
      const expected = ledger.expected(tenant)
      const answer = await this.#ask(tenant)
      if (answer) ledger.judge(tenant, answer.isWhole ? expected : [], answer.found, when)
      if (answer?.isWhole === true) break
      await world.sleep(QUERY_RETRY_MS * (0.5 + world.random.float()))
    }
    this.#queriesOpen--
  }

  async #queryAll(when: string): Promise<void> {
    for (const tenant of this.#clients.tenants) void this.#query(tenant, when)
    await this.#until(() => this.#queriesOpen === 0, RECOVERY_MS, `a query ${when} is answered`)
  }

  /** One try; undefined when it failed. */
  #ask(tenant: string): Promise<Answer | undefined> {
    const { outside } = world
    return new Promise((resolve) => {
      const frontend = this.house.threads.ready('frontend')
      if (!frontend) {
        resolve(undefined)
        return
      }
      const answer = (label: string, said?: Answer) =>
        world.at(world.random.float(), outside, label, () => resolve(said))
      const lost = () => answer('query lost')
      frontend.life.ends.add(lost)
      world.at(world.random.float(), frontend.life, 'query', () => {
        void (frontend.actor as EdgeFrontend)
          .query(tenant)
          .finally(() => frontend.life.ends.delete(lost))
          .then(
            (said) => answer('query answered', said),
            (error: unknown) => answer(`query failed: ${String(error)}`),
          )
      })
    })
  }

  async #flush(): Promise<void> {
    const method: keyof LivestoreAsks = 'flush'
    await this.house.threads.ask('livestore', method, undefined, { deadline_ms: 20_000 })
  }

  async #until(
    isDone: () => boolean,
    limit_ms: number,
    what: string,
    detail: () => string = () => '',
  ): Promise<void> {
    // Looked at now and then: a look at everything costs more than an event.
    let next_ms = 0
    const look = () => {
      if (world.now_ms < next_ms) return false
      next_ms = world.now_ms + LOOK_MS
      return isDone()
    }
    const limit = world.now_ms + limit_ms
    const isOver = await world.run(look, limit)
    if (isOver || isDone()) return
    world.fail('the system becomes quiet', `${what}: not within ${limit_ms} ms ${detail()}`)
  }
}

/** Ready, and not in a hang that nobody has noticed yet. */
function isWell(house: House, component: string): boolean {
  const resident = house.threads.ready(component)
  return resident !== undefined && resident.life.stalledUntil_ms <= world.now_ms
}

/** Local blocks are cleared, and of the log there is one segment a partition, which is empty. */
function leftOnDisk(): string | undefined {
  const blocks = [...disk.files.keys()].filter((path) => path.includes('/blocks/'))
  if (blocks.length > 0) return `${blocks.length} files of local blocks, ${blocks[0]!}`
  const partitions = new Set<string>()
  for (const path of disk.trees.keys()) {
    const partition = SEGMENT.exec(path)?.[1]
    if (partition === undefined) continue
    if (partitions.has(partition)) return `two segments of partition ${partition}`
    partitions.add(partition)
  }
  return undefined
}
