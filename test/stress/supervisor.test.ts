/** Supervision of real threads: every way to die, under asks in flight, without a leak and without taking the process along. */
import { afterEach, describe, expect, it } from 'vitest'
import { WAYS_TO_DIE, type WayToDie } from '../../src/bus/actor.js'
import type { ChildSpec } from '../../src/bus/child.js'
import type { Supervisor, SupervisorOptions, SupervisorStatus } from '../../src/bus/supervisor.js'

const DEATHS = 20
const HEARTBEAT_TIMEOUT_MS = 2000
const MIB = 2 ** 20
/** What the heap limit of the target adds while it runs into it, and what the allocator keeps of it. */
const RSS_GROWTH_MAX_BYTES = 64 * MIB

const dist = (path: string) => new URL(`../../dist/${path}`, import.meta.url).href
const toy = (name: string) => new URL(`./actors/${name}.js`, import.meta.url).href
const bus = (await import(
  dist('bus/supervisor.js')
)) as typeof import('../../src/bus/supervisor.js')
const { createLog } = (await import(dist('lib/log.js'))) as typeof import('../../src/lib/log.js')
const { systemClock } = (await import(
  dist('lib/time.js')
)) as typeof import('../../src/lib/time.js')

const sleep = (ms: number) => systemClock.sleep(ms)
const running: Supervisor[] = []

afterEach(async () => {
  for (const supervisor of running.splice(0)) await supervisor.kill()
})

interface World {
  supervisor: Supervisor
  lines: string[]
  exits: number[]
  deadIds: number[]
  child: (name: string) => SupervisorStatus['children'][number]
}

function world(children: ChildSpec[], more: Partial<SupervisorOptions> = {}): World {
  const lines: string[] = []
  const exits: number[] = []
  const deadIds: number[] = []
  const supervisor = new bus.Supervisor({
    children,
    chaos: true,
    log: createLog({ write: (line) => lines.push(line) }),
    actorLog: { level: 'error', format: 'logfmt' },
    restart: {
      intensity: 1000,
      backoff_base_ms: 20,
      backoff_max_ms: 40,
      heartbeat_interval_ms: 100,
      heartbeat_timeout_ms: HEARTBEAT_TIMEOUT_MS,
      drain_timeout_ms: 5000,
    },
    hooks: { onExit: (code) => exits.push(code), onActorDead: (id) => deadIds.push(id) },
    ...more,
  })
  running.push(supervisor)
  const child = (name: string) => supervisor.status().children.find((c) => c.name === name)!
  return { supervisor, lines, exits, deadIds, child }
}

const ECHO: ChildSpec = {
  component: 'echo',
  index: 0,
  module: toy('echo'),
  config: { nested: { a: 1 } },
  heap: { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4 },
}

function askerOf(tally: SharedArrayBuffer, in_flight: number): ChildSpec {
  const config = { in_flight, deadline_ms: 30_000 }
  const asks = ['echo', 'supervisor']
  return { component: 'asker', index: 0, module: toy('asker'), asks, config, shared: { tally } }
}

function read(tally: SharedArrayBuffer) {
  const [asked, answered, down, deadline, other] = new Int32Array(tally)
  return { asked: asked!, answered: answered!, down: down!, deadline: deadline!, other: other! }
}

/** Waits until it holds; fails after a time that only a hang takes. */
async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline_ms = performance.now() + 30_000
  while (!holds()) {
    if (performance.now() > deadline_ms) throw new Error(`waited 30 s for: ${what}`)
    await sleep(5)
  }
}

async function killOnce(
  { supervisor, child }: World,
  name: string,
  how: WayToDie,
): Promise<number> {
  const { generation } = child(name)
  const from_ms = performance.now()
  expect(supervisor.crash({ name, how })).toMatchObject({ kind: 'crashing', generation })
  await until(`${name} to be replaced after ${how}`, () => {
    const now = child(name)
    return now.generation > generation && now.state === 'ready'
  })
  return performance.now() - from_ms
}

const activePorts = () =>
  process.getActiveResourcesInfo().filter((kind) => /MessagePort|Worker/.test(kind)).length

describe.each(WAYS_TO_DIE)('a target that dies by %s', (how) => {
  it(`${DEATHS} times under load: each ask ends once, answered or ActorDown, and nothing leaks`, async () => {
    const tally = new SharedArrayBuffer(64)
    const portsBefore = activePorts()
    const w = world([askerOf(tally, 16), ECHO])
    expect(await w.supervisor.start()).toBe(true)
    await until('the first answers', () => read(tally).answered > 100)
    await killOnce(w, 'echo-0', how)
    const rssBefore = process.memoryUsage.rss()
    const took_ms: number[] = []
    for (let death = 1; death < DEATHS; death++) {
      const { answered } = read(tally)
      took_ms.push(await killOnce(w, 'echo-0', how))
      await until('answers of the replacement', () => read(tally).answered > answered + 20)
    }
    const rssGrowth = process.memoryUsage.rss() - rssBefore
    expect(w.child('asker-0').restarts).toBe(0)
    const kinds = { throw: 'threw', exit: 'exited', oom: 'out_of_memory', hang: 'hung' }
    const exits = w.child('echo-0').exits.map((exit) => exit.status.kind)
    expect(new Set(exits)).toEqual(new Set([kinds[how]]))
    expect(await w.supervisor.stop()).toBe(0)
    const ends = read(tally)
    expect(ends.answered + ends.down).toBe(ends.asked)
    expect(ends).toMatchObject({ deadline: 0, other: 0 })
    expect(ends.down).toBeGreaterThan(0)
    expect(w.deadIds).toHaveLength(DEATHS + 2)
    expect(new Set(w.deadIds).size).toBe(DEATHS + 2)
    await until('all ports to close', () => activePorts() === portsBefore)
    expect(rssGrowth).toBeLessThan(RSS_GROWTH_MAX_BYTES)
    took_ms.sort((a, b) => a - b)
    const [median, worst] = [took_ms[took_ms.length >> 1]!, took_ms.at(-1)!]
    console.log(
      `${how}: back after ${median.toFixed(0)} ms (worst ${worst.toFixed(0)}), ` +
        `${ends.answered} asks answered, ${ends.down} ActorDown, rss ${(rssGrowth / MIB).toFixed(1)} MiB`,
    )
  })
})

it('leaves no port behind in those who live on, whoever dies', async () => {
  const shared = {
    tally: new SharedArrayBuffer(64),
    asker_ports: new SharedArrayBuffer(4),
    echo_ports: new SharedArrayBuffer(4),
  }
  const asker = { ...askerOf(shared.tally, 4), shared }
  const w = world([asker, { ...ECHO, shared }])
  const ports = () => [shared.asker_ports, shared.echo_ports].map((s) => new Int32Array(s)[0]!)
  await w.supervisor.start()
  await until('the counts', () => ports().every((count) => count > 0))
  const [askerPorts, echoPorts] = ports()
  for (let death = 0; death < DEATHS; death++) await killOnce(w, 'echo-0', 'exit')
  await until('the ports of dead targets to close', () => ports()[0] === askerPorts)
  for (let death = 0; death < DEATHS; death++) await killOnce(w, 'asker-0', 'exit')
  await until('the ports of dead askers to close', () => ports()[1] === echoPorts)
  expect(await w.supervisor.stop()).toBe(0)
})

describe('an ordered stop', () => {
  it('under load answers all that was asked and is quick', async () => {
    const tally = new SharedArrayBuffer(64)
    const w = world([askerOf(tally, 64), ECHO, { ...ECHO, index: 1 }])
    await w.supervisor.start()
    await until('load', () => read(tally).answered > 1000)
    const from_ms = performance.now()
    expect(await w.supervisor.stop()).toBe(0)
    expect(performance.now() - from_ms).toBeLessThan(2000)
    const { asked, ...ends } = read(tally)
    expect(ends).toEqual({ answered: asked, down: 0, deadline: 0, other: 0 })
    expect(w.exits).toEqual([0])
  })

  it.each([
    ['throws in stop()', 'stop', 'threw', 1],
    ['never ends its stop()', 'never', 'drain_timeout', 1],
    ['leaves a timer running', 'timer', 'stopped', 0],
    ['is still in start() and minds the abort', 'abort', 'stopped', 0],
  ])('of an actor that %s ends all the same', async (_, how, kind, code) => {
    const crasher = { component: 'crasher', index: 0, module: toy('crasher'), config: { how } }
    const w = world([crasher], { restart: { drain_timeout_ms: 500 } })
    const started = w.supervisor.start()
    if (how === 'abort') await until('a thread', () => w.child('crasher-0').threadId > 0)
    else await started
    expect(await w.supervisor.stop()).toBe(code)
    expect(w.child('crasher-0').exits.map((exit) => exit.status.kind)).toEqual([kind])
  })
})

it.each([
  ['start', 'threw NO_DISK: no disk'],
  ['float', 'threw UNKNOWN: nobody awaits this'],
])(
  'an actor that always fails (%s) is given up, and the process ends with 1',
  async (how, text) => {
    const crasher = { component: 'crasher', index: 0, module: toy('crasher'), config: { how } }
    const w = world([crasher, ECHO], { restart: { intensity: 3, backoff_base_ms: 5 } })
    await w.supervisor.start()
    await until('the exit', () => w.exits.length > 0)
    expect(w.exits).toEqual([1])
    expect(w.child('crasher-0').exits.map((exit) => exit.text)).toEqual([text, text, text, text])
    expect(w.child('echo-0').exits.map((exit) => exit.status.kind)).toEqual(['stopped'])
  },
)

it('a module that is not there or is no actor is a crash that names it', async () => {
  const broken = { component: 'broken', index: 0, module: toy('nowhere') }
  const w = world([broken], { restart: { intensity: 0 } })
  expect(await w.supervisor.start()).toBe(false)
  expect(w.child('broken-0').exits[0]?.text).toMatch(/ERR_MODULE_NOT_FOUND.*nowhere\.js/)
  const wrong = world([{ ...broken, module: toy('ports') }], { restart: { intensity: 0 } })
  expect(await wrong.supervisor.start()).toBe(false)
  expect(wrong.child('broken-0').exits[0]?.text).toContain('no default export')
})

it('an actor asks others and the supervisor while it starts, and crash() cannot be caught', async () => {
  const results = new SharedArrayBuffer(65_536)
  const asks = [
    { target: 'echo', method: 'who' },
    { target: 'echo-1', method: 'who' },
    { target: 'echo', method: 'config' },
    { target: 'echo', method: 'fail', args: { code: 'BLOCK_CORRUPT' } },
    { target: 'supervisor', method: 'crash', args: { name: 'nobody', how: 'throw' } },
    { target: 'supervisor', method: 'status' },
    { target: 'livestore', method: 'find' },
    { target: 'echo-1', method: 'crashQuietly' },
  ]
  const probe: ChildSpec = {
    component: 'probe',
    index: 0,
    module: toy('probe'),
    asks: ['echo', 'supervisor'],
    config: { asks },
    shared: { results },
  }
  const w = world([probe, ECHO, { ...ECHO, index: 1 }])
  expect(await w.supervisor.start()).toBe(true)
  const length = new Int32Array(results)[0]!
  const text = Buffer.from(new Uint8Array(results).slice(4, 4 + length)).toString()
  const got = JSON.parse(text) as { value?: unknown; error?: unknown }[]
  expect(got[0]?.value).toMatchObject({ generation: 0 })
  expect(got[1]?.value).toMatchObject({ name: 'echo-1' })
  expect(got[2]?.value).toEqual({ nested: { a: 1 }, isFrozen: true })
  expect(got[3]?.error).toMatchObject({ code: 'BLOCK_CORRUPT' })
  expect(got[4]?.value).toEqual({ kind: 'refused', reason: 'unknown_actor' })
  expect(got[5]?.value).toMatchObject({ state: 'starting' })
  expect(got[6]?.error).toMatchObject({ code: 'NO_SUCH_ASK' })
  await until('the crash in a catch', () => w.child('echo-1').restarts === 1)
  expect(w.child('echo-1').exits[0]?.text).toBe('threw UNKNOWN: crashed in a catch')
  const { vitals } = w.child('echo-0')
  expect(vitals.heap_used_bytes).toBeGreaterThan(MIB)
  expect(vitals.heap_limit_bytes).toBeLessThan(100 * MIB)
})
