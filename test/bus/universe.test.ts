/** Actors in a universe: the context they get there is the one they get on a thread. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Actor, Context } from '../../src/bus/actor.js'
import { ActorDown } from '../../src/bus/ask-errors.js'
import { Universe } from '../../src/bus/universe.js'

interface CounterAsks {
  add(n: number): number
  generation(): number
}

interface CounterConfig {
  limits: { max: number }
}

class Counter implements Actor {
  total = 0
  wasAborted = false
  readonly asks: CounterAsks = {
    add: (n) => (this.total += n),
    generation: () => this.ctx.generation,
  }
  constructor(readonly ctx: Context<CounterConfig>) {}
  start(): Promise<void> {
    return Promise.resolve()
  }
  stop(): Promise<void> {
    this.wasAborted = this.ctx.abort.aborted
    return Promise.resolve()
  }
}

class Doubler implements Actor {
  readonly asks = {
    twice: async (n: number) => {
      const counter = this.ctx.ask<CounterAsks>('counter')
      await counter.add(n)
      return counter.add(n)
    },
    crash: () => this.ctx.crash(new Error('on purpose')),
  }
  constructor(readonly ctx: Context<undefined>) {}
  start(): Promise<void> {
    return Promise.resolve()
  }
  stop(): Promise<void> {
    return Promise.resolve()
  }
}

const counterOptions = { component: 'counter', config: { limits: { max: 3 } } }
const doublerOptions = { component: 'doubler', config: undefined, asks: ['counter'] }
let universe = new Universe()

afterEach(async () => {
  await universe.stop()
  expect(universe.clock.sleeping).toBe(0)
  universe = new Universe()
})

describe('universe', () => {
  it('lets actors ask each other, and the test ask both', async () => {
    await universe.spawn(Counter, counterOptions)
    await universe.spawn(Doubler, doublerOptions)
    expect(await universe.ask<Doubler['asks']>('doubler').twice(4)).toBe(8)
    expect(await universe.ask<CounterAsks>('counter-0').add(1)).toBe(9)
  })

  it('freezes the config to its leaves', async () => {
    const { context } = await universe.spawn(Counter, counterOptions)
    expect(() => (context.config.limits.max = 4)).toThrow(TypeError)
    expect(Object.isFrozen(context.shared)).toBe(true)
  })

  it('stops in order: abort first, then stop, then its ports close', async () => {
    const { actor, stop, context } = await universe.spawn(Counter, counterOptions)
    const ask = universe.ask<CounterAsks>('counter')
    await stop()
    expect(actor.wasAborted).toBe(true)
    expect(context.abort.aborted).toBe(true)
    const asked = ask.add(1, { deadline_ms: 50 })
    const ended = expect(asked).rejects.toBeInstanceOf(ActorDown)
    await universe.clock.advance(50)
    await ended
  })

  it('kills without a word to the actor, and brings back a new generation that its askers find', async () => {
    const first = await universe.spawn(Counter, counterOptions)
    await universe.spawn(Doubler, doublerOptions)
    first.kill()
    expect(first.actor.wasAborted).toBe(false)
    const second = await first.restart()
    expect(second.context.actorId).toBeGreaterThan(first.context.actorId)
    expect(await universe.ask<CounterAsks>('counter').generation()).toBe(1)
    expect(await universe.ask<Doubler['asks']>('doubler').twice(1)).toBe(2)
    expect(second.actor.total).toBe(2)
  })

  it('notes a crash and takes the actor out', async () => {
    const doubler = await universe.spawn(Doubler, doublerOptions)
    await expect(universe.ask<Doubler['asks']>('doubler').crash()).rejects.toThrow()
    expect(doubler.isAlive).toBe(false)
    expect(doubler.crashedWith).toMatchObject({ message: 'on purpose' })
  })

  it('takes a stub in the place of an actor', async () => {
    universe.stub('counter', { add: (n: number) => n * 100 })
    await universe.spawn(Doubler, doublerOptions)
    expect(await universe.ask<Doubler['asks']>('doubler').twice(2)).toBe(200)
  })
})
