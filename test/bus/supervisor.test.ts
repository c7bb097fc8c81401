/** Supervision on a fake clock with fake threads: every restart rule, in no time. */
import { describe, expect, it } from 'vitest'
import type { ChildSpec } from '../../src/bus/child.js'
import { PARDONS_MAX } from '../../src/bus/crashes.js'
import { Supervisor, type SupervisorOptions } from '../../src/bus/supervisor.js'
import { FakeClock } from '../../src/lib/fake-clock.js'
import { createLog } from '../../src/lib/log.js'
import { FakeThreads, type FakeThread } from './support/fake-threads.js'

const MINUTE_MS = 60_000

const spec = (component: string, more: Partial<ChildSpec> = {}): ChildSpec => ({
  component,
  index: 0,
  module: `file:///${component}.js`,
  ...more,
})

const PIPELINE = [spec('source', { asks: ['sink'] }), spec('middle'), spec('sink')]

function world(children: ChildSpec[] = PIPELINE, more: Partial<SupervisorOptions> = {}) {
  const clock = new FakeClock()
  const threads = new FakeThreads()
  const events: string[] = []
  const lines: string[] = []
  const supervisor = new Supervisor({
    children,
    clock,
    spawn: threads.spawn,
    random: () => 0.5,
    log: createLog({ write: (line) => lines.push(line) }),
    hooks: {
      onActorDead: (actorId, name, status) => events.push(`dead ${name} ${actorId} ${status.kind}`),
      onRestart: (name, _, delay_ms) => events.push(`restart ${name} ${delay_ms}`),
      onEscalate: (name) => events.push(`escalate ${name}`),
      onExit: (code) => events.push(`exit ${code}`),
    },
    ...more,
  })
  const child = (name: string) => supervisor.status().children.find((c) => c.name === name)!
  /** Lets every living thread beat for a while. */
  const live = async (duration_ms: number, except: FakeThread[] = []) => {
    for (let at_ms = 0; at_ms < duration_ms; at_ms += 1000) {
      for (const t of threads.all) if (!t.isGone && !except.includes(t)) t.progress()
      await clock.advance(1000)
    }
  }
  return { clock, threads, supervisor, events, lines, child, live }
}

describe('start', () => {
  it('starts sinks first, each after the one below it is ready', async () => {
    const { threads, supervisor, clock } = world()
    threads.onSpawn = () => undefined
    const started = supervisor.start()
    await clock.settle()
    expect(threads.names()).toEqual(['sink-0'])
    threads.latest('sink-0').ready()
    await clock.settle()
    expect(threads.names()).toEqual(['sink-0', 'middle-0'])
    threads.latest('middle-0').ready()
    await clock.settle()
    threads.latest('source-0').ready()
    expect(await started).toBe(true)
    expect(supervisor.status().state).toBe('running')
  })

  it('starts replicas of a component together', async () => {
    const { threads, supervisor, clock } = world([
      spec('a'),
      spec('b', { index: 0 }),
      spec('b', { index: 1 }),
    ])
    threads.onSpawn = () => undefined
    void supervisor.start()
    await clock.settle()
    expect(threads.names()).toEqual(['b-0', 'b-1'])
  })

  it('gives each thread an id of its own, above zero, never used again', async () => {
    const { threads, supervisor, clock } = world()
    await supervisor.start()
    threads.latest('sink-0').exit(1)
    await clock.advance(100)
    const ids = threads.all.map((t) => t.birth.actorId)
    expect(new Set(ids).size).toBe(4)
    expect(Math.min(...ids)).toBeGreaterThan(0)
    expect(threads.latest('sink-0').birth.generation).toBe(1)
  })

  it('counts a death during start as a crash and tries again', async () => {
    const { threads, supervisor, clock, events } = world([spec('only')])
    let made = 0
    threads.onSpawn = (thread) => {
      if (made++ < 2) queueMicrotask(() => thread.throw(new Error('no disk')))
      else queueMicrotask(() => thread.ready())
    }
    const started = supervisor.start()
    await clock.advance(1000)
    expect(await started).toBe(true)
    expect(events).toEqual([
      'dead only-0 2 threw',
      'restart only-0 75',
      'dead only-0 3 threw',
      'restart only-0 150',
    ])
  })

  it('terminates a child that is not ready in time, and restarts it', async () => {
    const { threads, supervisor, clock, child } = world([
      spec('only', { restart: { start_timeout_ms: 5000 } }),
    ])
    threads.onSpawn = () => undefined
    const started = supervisor.start()
    await clock.advance(5000)
    expect(child('only-0').exits[0]?.status).toEqual({ kind: 'start_timeout', timeout_ms: 5000 })
    await clock.advance(100)
    threads.latest('only-0').ready()
    expect(await started).toBe(true)
  })

  it('ends with false when a child cannot be started, and exits 1', async () => {
    const { threads, supervisor, clock, events } = world()
    threads.onSpawn = (thread) => {
      queueMicrotask(() => (thread.name === 'middle-0' ? thread.exit(0) : thread.ready()))
    }
    const started = supervisor.start()
    await clock.advance(MINUTE_MS)
    expect(await started).toBe(false)
    expect(threads.names()).not.toContain('source-0')
    expect(events.at(-1)).toBe('exit 1')
  })

  it('survives a thread that cannot even be made', async () => {
    const clock = new FakeClock()
    const threads = new FakeThreads()
    let failures = 2
    const { supervisor, child } = world([spec('only')], {
      clock,
      spawn: (...args) => {
        if (failures-- > 0) throw new Error('no threads left')
        return threads.spawn(...args)
      },
    })
    const started = supervisor.start()
    await clock.advance(1000)
    expect(await started).toBe(true)
    expect(child('only-0').exits.map((e) => e.text)).toEqual([
      'threw UNKNOWN: no threads left',
      'threw UNKNOWN: no threads left',
    ])
  })

  it('refuses a topology with two children of one name or an ask to nobody', () => {
    expect(() => world([spec('a'), spec('a')])).toThrow('two children are named a-0')
    expect(() => world([spec('a', { asks: ['b'] })])).toThrow('a-0 asks "b", and no child is one')
  })
})

describe('restart', () => {
  it('restarts only the child that died', async () => {
    const { threads, supervisor, clock } = world()
    await supervisor.start()
    threads.latest('middle-0').throw(new Error('boom'))
    await clock.advance(100)
    expect(threads.names()).toEqual(['sink-0', 'middle-0', 'source-0', 'middle-0'])
    expect(supervisor.status().children.map((c) => c.restarts)).toEqual([0, 1, 0])
  })

  it('tells the dead thread id before it makes the replacement, so that its locks are free by then', async () => {
    const { threads, supervisor, clock, events } = world([spec('only')])
    await supervisor.start()
    const dead = threads.latest('only-0').birth.actorId
    threads.onSpawn = (thread) => events.push(`spawn ${thread.birth.actorId}`)
    threads.latest('only-0').exit(7)
    await clock.advance(100)
    expect(events).toEqual([`dead only-0 ${dead} exited`, 'restart only-0 75', `spawn ${dead + 1}`])
  })

  it('gives the replacement the same shared memory and the same config', async () => {
    const ring = new SharedArrayBuffer(64)
    const { threads, supervisor, clock } = world([
      spec('only', { shared: { ring }, config: { a: 1 } }),
    ])
    await supervisor.start()
    const first = threads.latest('only-0').birth
    threads.latest('only-0').exit(1)
    await clock.advance(100)
    const second = threads.latest('only-0').birth
    expect(second.shared.ring).toBe(ring)
    expect(second.vitals).toBe(first.vitals)
    expect(second.config).toEqual({ a: 1 })
  })

  it('waits twice as long after each crash in a row, to a ceiling, the first time at most 100 ms', async () => {
    const { threads, supervisor, clock, events } = world([spec('only')], {
      restart: { intensity: 20, period_ms: 10 },
    })
    await supervisor.start()
    for (let crash = 0; crash < 9; crash++) {
      threads.latest('only-0').exit(1)
      await clock.advance(10_000)
    }
    const delays = events.filter((e) => e.startsWith('restart')).map((e) => Number(e.split(' ')[2]))
    expect(delays).toEqual([75, 150, 300, 600, 1200, 2400, 4800, 7500, 7500])
  })

  it('forgets the crashes in a row after a stable minute', async () => {
    const { threads, supervisor, live, events, clock } = world([spec('only')])
    await supervisor.start()
    for (let crash = 0; crash < 3; crash++) {
      threads.latest('only-0').exit(1)
      await clock.advance(1000)
    }
    await live(MINUTE_MS)
    threads.latest('only-0').exit(1)
    expect(events.filter((e) => e.startsWith('restart')).at(-1)).toBe('restart only-0 75')
  })

  it('does not forget them in a minute that was spent crashing', async () => {
    const { threads, supervisor, live, events } = world([spec('only')])
    await supervisor.start()
    threads.latest('only-0').exit(1)
    await live(30_000)
    threads.latest('only-0').exit(1)
    await live(40_000)
    threads.latest('only-0').exit(1)
    expect(events.filter((e) => e.startsWith('restart')).at(-1)).toBe('restart only-0 300')
  })

  it('counts no crash whose cause was put aside', async () => {
    const { threads, supervisor, clock, child, events } = world([spec('only')])
    await supervisor.start()
    for (let poison = 0; poison < PARDONS_MAX; poison++) {
      for (let crash = 0; crash < 3; crash++) {
        threads.latest('only-0').exit(1)
        await clock.advance(500)
      }
      expect(supervisor.forgive({ name: 'only-0', crashes: 3 })).toBe(true)
    }
    expect(child('only-0').state).toBe('ready')
    // A replacement comes as soon as after a first crash.
    threads.latest('only-0').exit(1)
    expect(events.at(-1)).toBe('restart only-0 75')
  })

  it('forgives no crash beyond the latest ones that are explained', async () => {
    const { threads, supervisor, clock, events } = world([spec('only')])
    await supervisor.start()
    const crash = async () => {
      threads.latest('only-0').exit(1)
      await clock.advance(5000)
    }
    for (let n = 0; n < 5; n++) await crash()
    expect(supervisor.forgive({ name: 'only-0', crashes: 3 })).toBe(true)
    for (let n = 0; n < 3; n++) await crash()
    expect(events).not.toContain('escalate only-0')
    await crash()
    expect(events).toContain('escalate only-0')
  })

  it('gives up a child that dies of everything, though each cause is put aside', async () => {
    const { threads, supervisor, clock, events, lines } = world([spec('only')])
    await supervisor.start()
    const deaths = () => events.filter((event) => event.startsWith('dead')).length
    while (!events.includes('escalate only-0') && deaths() < 100) {
      threads.latest('only-0').exit(1)
      await clock.advance(2000)
      if (deaths() % 3 === 0) supervisor.forgive({ name: 'only-0', crashes: 3 })
    }
    expect(deaths()).toBe(3 * PARDONS_MAX + 6)
    expect(lines.join('')).toContain('crashes not forgiven')
  })

  it('forgives nothing to an actor that is not there', () => {
    expect(world().supervisor.forgive({ name: 'other-0', crashes: 3 })).toBe(false)
  })

  it('heals five crashes a minute and gives up at the sixth: drains the others in order, exits 1', async () => {
    const { threads, supervisor, clock, events } = world()
    await supervisor.start()
    for (let crash = 0; crash < 5; crash++) {
      threads.latest('middle-0').exit(1)
      await clock.advance(5000)
      for (const t of threads.all) t.progress()
    }
    expect(supervisor.status().state).toBe('running')
    events.length = 0
    threads.latest('middle-0').exit(1)
    await clock.settle()
    expect(events.map((e) => e.replace(/ \d+ /, ' '))).toEqual([
      'dead middle-0 exited',
      'escalate middle-0',
      'dead source-0 stopped',
      'dead sink-0 stopped',
      'exit 1',
    ])
    expect(supervisor.status().children.map((c) => c.state)).toEqual([
      'stopped',
      'failed',
      'stopped',
    ])
  })

  it('counts per child: five crashes each of two children are healed', async () => {
    const { threads, supervisor, clock } = world()
    await supervisor.start()
    for (let crash = 0; crash < 5; crash++) {
      threads.latest('middle-0').exit(1)
      threads.latest('sink-0').exit(1)
      await clock.advance(4000)
      for (const t of threads.all) t.progress()
    }
    expect(supervisor.status().state).toBe('running')
  })

  it('lets crashes older than the period go', async () => {
    const { threads, supervisor, live } = world([spec('only')])
    await supervisor.start()
    for (let crash = 0; crash < 12; crash++) {
      threads.latest('only-0').exit(1)
      await live(13_000)
    }
    expect(supervisor.status().state).toBe('running')
    expect(supervisor.status().children[0]?.exits).toHaveLength(8)
  })

  it('tells the ways of dying apart', async () => {
    const { threads, supervisor, clock, child } = world([spec('only')])
    await supervisor.start()
    const oom = Object.assign(new Error('heap'), { code: 'ERR_WORKER_OUT_OF_MEMORY' })
    const deaths: ((t: FakeThread) => void)[] = [
      (t) => t.throw(Object.assign(new Error('boom'), { code: 'WAL_BROKEN' })),
      (t) => t.throw('a string'),
      (t) => t.throw(oom),
      (t) => t.exit(7),
      (t) => t.exit(0),
    ]
    for (const die of deaths) {
      die(threads.latest('only-0'))
      await clock.advance(3000)
    }
    expect(child('only-0').exits.map((e) => e.text)).toEqual([
      'threw WAL_BROKEN: boom',
      'threw UNKNOWN: a string',
      'ran out of heap: heap',
      'exited with code 7',
      'exited with code 0',
    ])
  })

  it('goes on when a hook throws, and says so', async () => {
    const { threads, supervisor, clock, lines } = world([spec('only')], {
      hooks: {
        onActorDead: () => {
          throw new Error('hook is broken')
        },
      },
    })
    await supervisor.start()
    threads.latest('only-0').exit(1)
    await clock.advance(100)
    expect(threads.all).toHaveLength(2)
    expect(lines.join('')).toContain('hook is broken')
  })
})

describe('heartbeat', () => {
  it('terminates a child whose progress word stands still, and restarts it', async () => {
    const { threads, supervisor, live, child } = world()
    await supervisor.start()
    const hung = threads.latest('middle-0')
    await live(29_000, [hung])
    expect(hung.isTerminated).toBe(false)
    await live(3_000, [hung])
    expect(hung.isTerminated).toBe(true)
    expect(child('middle-0').exits[0]?.status.kind).toBe('hung')
    expect(child('middle-0').state).toBe('ready')
    expect(threads.all.filter((t) => t.isTerminated)).toEqual([hung])
  })

  it('never terminates a child that progresses, however slowly', async () => {
    const { threads, supervisor, clock } = world([spec('only')])
    await supervisor.start()
    for (let beat = 0; beat < 20; beat++) {
      threads.latest('only-0').progress()
      await clock.advance(28_000)
    }
    expect(threads.all).toHaveLength(1)
  })

  it('leaves a thread that loads its modules for long to the start timeout', async () => {
    const { threads, supervisor, live, child } = world([
      spec('only', { restart: { start_timeout_ms: 120_000 } }),
    ])
    threads.onSpawn = () => undefined
    const started = supervisor.start()
    const slow = threads.latest('only-0')
    await live(100_000, [slow])
    slow.progress()
    slow.ready()
    expect(await started).toBe(true)
    expect(slow.isTerminated).toBe(false)
    await live(32_000, [slow])
    expect(child('only-0').exits[0]?.status.kind).toBe('hung')
  })

  it('accuses nobody when the whole process slept', async () => {
    const clock = new FakeClock()
    let skipped_ms = 0
    const skipping = {
      now: () => clock.now() + skipped_ms,
      monotonic: () => clock.monotonic() + skipped_ms,
      sleep: clock.sleep.bind(clock),
    }
    const { threads, supervisor } = world([spec('only')], { clock: skipping })
    await supervisor.start()
    threads.latest('only-0').progress()
    await clock.advance(1000)
    skipped_ms = 600_000
    await clock.advance(1000)
    expect(threads.latest('only-0').isTerminated).toBe(false)
  })

  it('exits 1 when a hung thread survives being terminated', async () => {
    const { threads, supervisor, live, events } = world([spec('only')])
    await supervisor.start()
    threads.latest('only-0').survivesTerminate = true
    await live(45_000, [threads.latest('only-0')])
    expect(events).toEqual(['exit 1'])
    expect(threads.all).toHaveLength(1)
  })
})

describe('stop', () => {
  it('drains in the direction of flow, each after the one above it is gone', async () => {
    const { threads, supervisor, clock, events } = world()
    await supervisor.start()
    for (const thread of threads.all) thread.onStop = () => undefined
    const stopped = supervisor.stop()
    const told = () => threads.all.filter((t) => t.of('stop').length > 0).map((t) => t.name)
    await clock.settle()
    expect(told()).toEqual(['source-0'])
    threads.latest('source-0').stopInOrder()
    await clock.settle()
    expect(told()).toEqual(['middle-0', 'source-0'])
    threads.latest('middle-0').stopInOrder()
    await clock.settle()
    threads.latest('sink-0').stopInOrder()
    expect(await stopped).toBe(0)
    expect(events.at(-1)).toBe('exit 0')
    expect(clock.sleeping).toBe(0)
  })

  it('terminates a child that does not drain in time, goes on with the next, exits 1', async () => {
    const { threads, supervisor, clock, child } = world(PIPELINE, {
      restart: { drain_timeout_ms: 3000 },
    })
    await supervisor.start()
    threads.latest('source-0').onStop = () => undefined
    const stopped = supervisor.stop()
    await clock.advance(3000)
    expect(await stopped).toBe(1)
    expect(child('source-0').exits[0]?.status.kind).toBe('drain_timeout')
    expect(child('sink-0').exits[0]?.status.kind).toBe('stopped')
  })

  it('ends a thread that stopped but left something open, and calls that ordered', async () => {
    const { threads, supervisor, clock, lines } = world([
      spec('only', { restart: { drain_timeout_ms: 1000 } }),
    ])
    await supervisor.start()
    const thread = threads.latest('only-0')
    thread.onStop = () => thread.sayStopped()
    const stopped = supervisor.stop()
    await clock.advance(2000)
    expect(await stopped).toBe(0)
    expect(thread.isTerminated).toBe(true)
    expect(lines.join('')).toContain('left something open')
  })

  it('ends everything at once on the second signal', async () => {
    const { threads, supervisor, clock } = world()
    await supervisor.start()
    for (const thread of threads.all) thread.onStop = () => undefined
    const stopped = supervisor.stop()
    await clock.settle()
    expect(await supervisor.kill()).toBe(1)
    expect(await stopped).toBe(1)
    expect(threads.all.every((t) => t.isTerminated)).toBe(true)
  })

  it('ends the rest when the whole stop takes too long', async () => {
    const { threads, supervisor, clock } = world(PIPELINE, { stop_timeout_ms: 5000 })
    await supervisor.start()
    threads.latest('source-0').onStop = () => undefined
    const stopped = supervisor.stop()
    await clock.advance(5000)
    expect(await stopped).toBe(1)
  })

  it('does not restart a child that dies while the others drain', async () => {
    const { threads, supervisor, clock, events } = world()
    await supervisor.start()
    threads.latest('source-0').onStop = () => undefined
    const stopped = supervisor.stop()
    await clock.settle()
    threads.latest('sink-0').throw(new Error('boom'))
    await clock.advance(1000)
    threads.latest('source-0').stopInOrder()
    expect(await stopped).toBe(1)
    expect(threads.all).toHaveLength(3)
    expect(events.some((e) => e.startsWith('restart'))).toBe(false)
  })

  it('does not restart a child that was waiting for its backoff', async () => {
    const { threads, supervisor, clock } = world()
    await supervisor.start()
    threads.latest('middle-0').exit(1)
    expect(await supervisor.stop()).toBe(0)
    await clock.settle()
    expect(clock.sleeping).toBe(0)
    await clock.advance(MINUTE_MS)
    expect(threads.all).toHaveLength(3)
  })

  it('stops a start that is under way', async () => {
    const { threads, supervisor, clock } = world()
    threads.onSpawn = () => undefined
    const started = supervisor.start()
    await clock.settle()
    expect(await supervisor.stop()).toBe(0)
    expect(await started).toBe(false)
    expect(threads.names()).toEqual(['sink-0'])
  })

  it('does not count an ordered stop as a crash', async () => {
    const { supervisor, events, child } = world()
    await supervisor.start()
    await supervisor.stop()
    expect(events.some((e) => e.startsWith('restart') || e.startsWith('escalate'))).toBe(false)
    expect(child('sink-0').restarts).toBe(0)
  })

  it('tells the askers of a child that is gone for good, so that none waits for it', async () => {
    const { threads, supervisor, clock } = world([
      spec('target', { index: 0 }),
      spec('target', { index: 1 }),
      spec('other'),
      spec('asker', { asks: ['target', 'other'] }),
    ])
    await supervisor.start()
    threads.latest('other-0').exit(1)
    for (const name of ['target-0', 'target-1']) threads.latest(name).onStop = () => undefined
    const stopped = supervisor.stop()
    await clock.settle()
    threads.latest('target-1').stopInOrder()
    await clock.settle()
    threads.latest('target-0').stopInOrder()
    expect(await stopped).toBe(0)
    const news = threads.latest('asker-0').of('replicas')
    expect(news.map(({ component, names }) => [component, names])).toEqual([
      ['other', []],
      ['target', ['target-0']],
      ['target', []],
    ])
  })

  it('stops once, however often it is told', async () => {
    const { supervisor, events } = world()
    await supervisor.start()
    await Promise.all([supervisor.stop(), supervisor.stop()])
    expect(events.filter((e) => e.startsWith('exit'))).toEqual(['exit 0'])
  })
})

describe('rewire', () => {
  it('connects an asker to its targets when it is made, before it is ready', async () => {
    const { threads, supervisor, clock } = world()
    threads.onSpawn = (thread) => {
      if (thread.name !== 'source-0') queueMicrotask(() => thread.ready())
    }
    void supervisor.start()
    await clock.settle()
    const connects = threads.latest('source-0').of('connect')
    expect(connects.map((m) => m.target)).toEqual(['sink-0'])
    expect(
      threads
        .latest('sink-0')
        .of('serve')
        .map((m) => m.asker),
    ).toEqual(['source-0'])
    expect(threads.latest('middle-0').of('connect')).toEqual([])
  })

  it('tells askers that a target is down, and connects them to the replacement once it is ready', async () => {
    const { threads, supervisor, clock } = world()
    await supervisor.start()
    const source = threads.latest('source-0')
    const first = threads.latest('sink-0').birth.actorId
    threads.onSpawn = () => undefined
    threads.latest('sink-0').exit(1)
    expect(source.of('down')).toEqual([{ type: 'down', target: 'sink-0', actorId: first }])
    await clock.advance(100)
    expect(source.of('connect')).toHaveLength(1)
    const replacement = threads.latest('sink-0')
    replacement.ready()
    expect(source.of('connect').at(-1)?.actorId).toBe(replacement.birth.actorId)
    expect(replacement.of('serve')).toHaveLength(1)
  })

  it('connects a replaced asker anew', async () => {
    const { threads, supervisor, clock } = world()
    await supervisor.start()
    threads.latest('source-0').exit(1)
    await clock.advance(100)
    expect(
      threads
        .latest('source-0')
        .of('connect')
        .map((m) => m.target),
    ).toEqual(['sink-0'])
    expect(threads.latest('sink-0').of('serve')).toHaveLength(2)
  })

  it('tells a thread at birth all the replicas it may ask', async () => {
    const { threads, supervisor } = world([
      spec('frontend', { asks: ['querier', 'supervisor'] }),
      spec('querier', { index: 0 }),
      spec('querier', { index: 1 }),
    ])
    await supervisor.start()
    expect(threads.latest('frontend-0').birth.targets).toEqual({
      querier: ['querier-0', 'querier-1'],
      supervisor: ['supervisor'],
    })
    await supervisor.stop()
  })
})

describe('chaos', () => {
  it('is refused unless it is enabled', async () => {
    const { supervisor, threads } = world()
    await supervisor.start()
    expect(supervisor.crash({ name: 'sink-0', how: 'throw' })).toEqual({
      kind: 'refused',
      reason: 'chaos_disabled',
    })
    expect(threads.latest('sink-0').of('die')).toEqual([])
  })

  it('makes a child die by name or by component, and refuses what it does not know', async () => {
    const { supervisor, threads } = world(PIPELINE, { chaos: true })
    await supervisor.start()
    expect(supervisor.crash({ name: 'sink', how: 'oom' })).toMatchObject({ name: 'sink-0' })
    expect(threads.latest('sink-0').of('die')).toEqual([{ type: 'die', how: 'oom' }])
    expect(supervisor.crash({ name: 'nobody', how: 'oom' })).toMatchObject({
      reason: 'unknown_actor',
    })
    expect(supervisor.crash({ name: 'sink', how: 'melt' as 'oom' })).toMatchObject({
      reason: 'unknown_way',
    })
    threads.latest('sink-0').exit(1)
    expect(supervisor.crash({ name: 'sink-0', how: 'throw' })).toMatchObject({
      reason: 'not_running',
    })
  })
})
