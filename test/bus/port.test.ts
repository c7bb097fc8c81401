/** Asks over real ports in one thread: deadlines, death in flight, bounds, cancelling, moving buffers. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import type { Call } from '../../src/bus/actor.js'
import {
  ActorDown,
  AskCancelled,
  AskFailed,
  DeadlineExceeded,
  NoSuchAsk,
  Overloaded,
} from '../../src/bus/ask-errors.js'
import { serve, ServeGauge, transfer } from '../../src/bus/port.js'
import { Switchboard } from '../../src/bus/switchboard.js'
import { FakeClock } from '../../src/lib/fake-clock.js'

interface EchoAsks {
  echo(value: unknown): unknown
  never(args: undefined, call: Call): Promise<string>
  fail(code: string): never
  size(bytes: Uint8Array): { size: number }
  moved(size: number): Uint8Array
  function(): unknown
}

/** A target as a thread would be: it answers, and its ports close when it dies. */
class Target {
  readonly ports: MessagePort[] = []
  readonly gauge: ServeGauge
  readonly calls: Call[] = []
  lastSent: Uint8Array | undefined
  readonly asks: EchoAsks = {
    echo: (value) => value,
    never: (_, call) => {
      this.calls.push(call)
      return new Promise(() => undefined)
    },
    fail: (code) => {
      throw Object.assign(new RangeError(`failed with ${code}`), { code })
    },
    size: (bytes) => ({ size: bytes.length }),
    moved: (size) => {
      this.lastSent = new Uint8Array(size).fill(7)
      return transfer(this.lastSent, [this.lastSent.buffer as ArrayBuffer])
    },
    function: () => () => 1,
  }

  constructor(
    readonly name: string,
    readonly actorId: number,
    max_serving?: number,
  ) {
    this.gauge = new ServeGauge(max_serving)
  }

  connect(board: Switchboard, clock: FakeClock): void {
    const { port1, port2 } = new MessageChannel()
    this.ports.push(port1)
    serve(port1, this.asks, { name: this.name, clock, gauge: this.gauge })
    board.connect(this.name, this.actorId, port2)
  }

  die(): void {
    for (const port of this.ports) port.close()
  }
}

const clock = new FakeClock()
const open: (() => void)[] = []

afterEach(() => {
  for (const close of open.splice(0)) close()
})

function wire(
  names: string[] = ['echo-0'],
  more: { max_in_flight?: number; max_serving?: number } = {},
) {
  const board = new Switchboard({ clock, targets: { echo: names }, ...more })
  const targets = names.map((name, i) => new Target(name, i + 1, more.max_serving))
  for (const target of targets) target.connect(board, clock)
  open.push(() => {
    board.close()
    for (const target of targets) target.die()
  })
  return { board, targets, target: targets[0]!, echo: board.asker<EchoAsks>('echo') }
}

/** What an ask rejected with; the test fails when it did not. */
const errorOf = (ask: Promise<unknown>): Promise<Error> =>
  ask.then(
    (value) => {
      throw new Error(`answered ${JSON.stringify(value)}`)
    },
    (error: unknown) => error as Error,
  )

describe('an ask', () => {
  it('is answered', async () => {
    const { echo, target } = wire()
    expect(await echo.echo({ a: [1, 2n, new Uint8Array([3])] })).toEqual({
      a: [1, 2n, new Uint8Array([3])],
    })
    expect(target.gauge).toMatchObject({ serving: 0, handled: 1, failed: 0 })
    expect(clock.sleeping).toBe(0)
  })

  it('arrives with the code, name and text of what the target threw', async () => {
    const { echo, target } = wire()
    const error = await errorOf(echo.fail('BLOCK_CORRUPT'))
    expect(error).toBeInstanceOf(AskFailed)
    expect(error).toMatchObject({
      code: 'BLOCK_CORRUPT',
      name: 'RangeError',
      message: 'failed with BLOCK_CORRUPT',
      target: 'echo-0',
    })
    expect(error.stack).toContain('at ask echo-0.fail')
    expect(target.gauge.failed).toBe(1)
  })

  it('ends at its deadline on both sides, and gives its slot back', async () => {
    const { echo, board, target } = wire()
    const asked = errorOf(echo.never(undefined, { deadline_ms: 500 }))
    await clock.advance(499)
    expect(board.inFlight).toBe(1)
    expect(target.calls[0]!.signal.aborted).toBe(false)
    await clock.advance(1)
    const error = await asked
    expect(error).toBeInstanceOf(DeadlineExceeded)
    expect(error.message).toBe('ask echo-0.never not answered within its deadline of 500 ms')
    await clock.settle()
    expect(target.calls[0]!.signal.aborted).toBe(true)
    expect(board.inFlight).toBe(0)
    expect(clock.sleeping).toBe(0)
  })

  it('has a deadline even when it names none', async () => {
    const { echo } = wire()
    const asked = errorOf(echo.never(undefined))
    await clock.advance(10_000)
    expect(await asked).toBeInstanceOf(DeadlineExceeded)
  })

  it('must not have a deadline out of bounds', async () => {
    const { echo } = wire()
    for (const deadline_ms of [0, -1, Infinity, NaN]) {
      expect(await errorOf(echo.echo(1, { deadline_ms }))).toMatchObject({ code: 'ASSERTION' })
    }
  })

  it('is rejected with ActorDown when the target dies in flight', async () => {
    const { echo, target, board } = wire()
    const asks = [errorOf(echo.never(undefined)), errorOf(echo.never(undefined))]
    await clock.settle()
    target.die()
    for (const ask of asks) expect(await ask).toBeInstanceOf(ActorDown)
    expect(board.inFlight).toBe(0)
    expect(clock.sleeping).toBe(0)
  })

  it('that was answered before the target died is answered', async () => {
    const { echo, target } = wire()
    const answered = echo.echo('last words')
    // The target answers and dies before this thread has read the reply.
    await new Promise<void>((resolve) => setImmediate(resolve))
    target.die()
    expect(await answered).toBe('last words')
  })

  it('stops work at the target when its asker dies', async () => {
    const { echo, target, board } = wire()
    const asked = errorOf(echo.never(undefined))
    await clock.settle()
    board.close()
    expect(await asked).toBeInstanceOf(ActorDown)
    await clock.settle()
    expect(target.calls[0]!.signal.aborted).toBe(true)
  })

  it('can be cancelled, and its target learns of it', async () => {
    const { echo, target, board } = wire()
    const controller = new AbortController()
    const asked = errorOf(echo.never(undefined, { signal: controller.signal }))
    await clock.settle()
    controller.abort()
    expect(await asked).toBeInstanceOf(AskCancelled)
    await clock.settle()
    expect(target.calls[0]!.signal.aborted).toBe(true)
    expect(board.inFlight).toBe(0)
    expect(await errorOf(echo.echo(1, { signal: controller.signal }))).toBeInstanceOf(AskCancelled)
  })

  it('to a method the contract does not have is refused, inherited ones included', async () => {
    const { board } = wire()
    const asker = board.asker<Record<string, () => unknown>>('echo-0')
    for (const method of ['nothing', 'constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      const error = await errorOf(asker[method]!())
      expect(error).toBeInstanceOf(NoSuchAsk)
      expect(error.message).toBe(`echo-0 answers no ask "${method}"`)
    }
  })

  it('to a target the topology does not connect is refused with the targets there are', async () => {
    const { board } = wire()
    const error = await errorOf(board.asker<EchoAsks>('livestore').echo(1))
    expect(error.message).toBe(
      'ask livestore.echo: this actor may not ask "livestore"; its targets: echo',
    )
  })

  it('whose argument or answer cannot be cloned is rejected and leaves nothing behind', async () => {
    const { echo, board, target } = wire()
    await errorOf(echo.echo(() => 1))
    await errorOf(echo.function())
    expect(board.inFlight).toBe(0)
    expect(target.gauge.serving).toBe(0)
    expect(await echo.echo('still here')).toBe('still here')
  })
})

describe('buffers', () => {
  it('are moved when marked, both ways', async () => {
    const { echo, target } = wire()
    const bytes = new Uint8Array(1000)
    expect(await echo.size(transfer(bytes, [bytes.buffer]))).toEqual({ size: 1000 })
    expect(bytes.length).toBe(0)
    const answer = await echo.moved(5)
    expect(answer).toEqual(new Uint8Array(5).fill(7))
    expect(target.lastSent!.length).toBe(0)
  })

  it('are copied when not', async () => {
    const { echo } = wire()
    const bytes = new Uint8Array(1000)
    expect(await echo.size(bytes)).toEqual({ size: 1000 })
    expect(bytes.length).toBe(1000)
  })
})

describe('a target that restarts', () => {
  it('is waited for: the ask goes to the replacement', async () => {
    const { echo, board, target } = wire()
    target.die()
    board.down('echo-0', target.actorId)
    const asked = echo.echo('hello', { deadline_ms: 5000 })
    await clock.advance(3000)
    const replacement = new Target('echo-0', 2)
    replacement.connect(board, clock)
    open.push(() => replacement.die())
    expect(await asked).toBe('hello')
    expect(clock.sleeping).toBe(0)
  })

  it('is waited for until the deadline and no longer', async () => {
    const { echo, board, target } = wire()
    target.die()
    board.down('echo-0', target.actorId)
    const asked = errorOf(echo.echo(1, { deadline_ms: 5000 }))
    await clock.advance(4999)
    expect(board.inFlight).toBe(1)
    await clock.advance(1)
    const error = await asked
    expect(error).toBeInstanceOf(ActorDown)
    expect(error.message).toBe('ask echo.echo failed: it was down for the 5000 ms of the deadline')
    expect(board.inFlight).toBe(0)
  })

  it('leaves the replacement only the rest of the deadline', async () => {
    const { echo, board, target } = wire()
    target.die()
    board.down('echo-0', target.actorId)
    const asked = errorOf(echo.never(undefined, { deadline_ms: 5000 }))
    await clock.advance(4000)
    const replacement = new Target('echo-0', 2)
    replacement.connect(board, clock)
    open.push(() => replacement.die())
    await clock.advance(999)
    expect(board.inFlight).toBe(1)
    expect(replacement.calls[0]!.deadline_ms).toBe(1000)
    await clock.advance(1)
    expect(await asked).toBeInstanceOf(DeadlineExceeded)
  })

  it('is not replaced by an older thread whose connect came late', async () => {
    const { board, echo, target } = wire()
    const newer = new Target('echo-0', 5)
    newer.connect(board, clock)
    const older = new Target('echo-0', 3)
    older.connect(board, clock)
    open.push(
      () => newer.die(),
      () => older.die(),
    )
    target.die()
    await echo.echo(1)
    expect([older.gauge.handled, newer.gauge.handled]).toEqual([0, 1])
  })

  it('keeps its new pipe when the news of the old death comes late', async () => {
    const { board, echo, target } = wire()
    const newer = new Target('echo-0', 5)
    newer.connect(board, clock)
    open.push(() => newer.die())
    target.die()
    board.down('echo-0', target.actorId)
    expect(await echo.echo('hi')).toBe('hi')
  })

  it('does not take an ask that was cancelled while it waited', async () => {
    const { board, echo, target } = wire()
    target.die()
    board.down('echo-0', 1)
    const controller = new AbortController()
    const asked = errorOf(echo.echo(1, { signal: controller.signal }))
    await clock.settle()
    controller.abort()
    expect(await asked).toBeInstanceOf(AskCancelled)
    expect(clock.sleeping).toBe(0)
  })

  it('fails the asks that wait when it leaves service, and when the asker stops', async () => {
    const { board, target } = wire(['echo-0', 'echo-1'])
    target.die()
    board.down('echo-0', 1)
    const left = errorOf(board.asker<EchoAsks>('echo-0').echo(1))
    await clock.settle()
    board.setReplicas('echo', ['echo-1'])
    expect((await left).message).toBe('ask echo-0.echo failed: it left service')
    board.setReplicas('echo', ['echo-1', 'echo-2'])
    const stopped = errorOf(board.asker<EchoAsks>('echo-2').echo(1))
    await clock.settle()
    board.close()
    expect((await stopped).message).toBe('ask echo-2.echo failed: the asker is stopping')
  })
})

it('an ask in flight to a replica that leaves service can still be answered', async () => {
  const { board, target } = wire(['echo-0', 'echo-1'])
  let answer: (value: unknown) => void = () => undefined
  target.asks.echo = () => new Promise((resolve) => (answer = resolve))
  const asked = board.asker<EchoAsks>('echo-0').echo(1)
  await clock.settle()
  board.setReplicas('echo', ['echo-1'])
  answer('late but here')
  expect(await asked).toBe('late but here')
})

describe('bounds', () => {
  it('refuses an ask beyond the limit in flight, and takes the next when one is back', async () => {
    const { echo } = wire(['echo-0'], { max_in_flight: 2 })
    const first = [
      echo.never(undefined, { deadline_ms: 100 }),
      echo.never(undefined, { deadline_ms: 200 }),
    ]
    const ends = first.map((ask) => errorOf(ask))
    await clock.settle()
    const error = await errorOf(echo.echo(1))
    expect(error).toBeInstanceOf(Overloaded)
    expect(error.message).toBe('ask echo-0.echo refused: 2 asks in flight, the limit is 2')
    await clock.advance(100)
    expect(await echo.echo(2)).toBe(2)
    await clock.advance(100)
    await Promise.all(ends)
  })

  it('holds while the target is down as well', async () => {
    const { echo, board, target } = wire(['echo-0'], { max_in_flight: 2 })
    target.die()
    board.down('echo-0', 1)
    const waiting = [errorOf(echo.echo(1)), errorOf(echo.echo(2))]
    expect(await errorOf(echo.echo(3))).toBeInstanceOf(Overloaded)
    board.close()
    await Promise.all(waiting)
  })

  it('holds at the target over all its askers, counting handlers that outlive their deadline', async () => {
    const { echo } = wire(['echo-0'], { max_serving: 1 })
    const asked = errorOf(echo.never(undefined, { deadline_ms: 100 }))
    await clock.advance(100)
    await asked
    const error = await errorOf(echo.echo(1))
    expect(error).toBeInstanceOf(Overloaded)
    expect(error.message).toBe('ask echo-0.echo refused: 1 asks in flight, the limit is 1')
  })
})

describe('a component with replicas', () => {
  it('is asked at its least busy live replica', async () => {
    const { echo, targets, board } = wire(['echo-0', 'echo-1', 'echo-2'])
    const ends = [0, 1, 2].map(() => errorOf(echo.never(undefined, { deadline_ms: 100 })))
    await clock.settle()
    expect(targets.map((t) => t.calls.length)).toEqual([1, 1, 1])
    targets[1]!.die()
    board.down('echo-1', 2)
    await clock.settle()
    const handled = targets.map((t) => t.gauge.handled)
    for (let i = 0; i < 4; i++) await echo.echo(i)
    expect(targets[1]!.gauge.handled).toBe(handled[1])
    expect(targets.reduce((sum, t) => sum + t.gauge.handled, 0)).toBe(handled[1]! + 4)
    await clock.advance(100)
    await Promise.all(ends)
  })

  it('lists its replicas, also those that are down', () => {
    const { board } = wire(['echo-0', 'echo-1'])
    board.down('echo-0', 1)
    expect(board.replicas('echo')).toEqual(['echo-0', 'echo-1'])
    expect(board.replicas('nobody')).toEqual([])
  })

  it('can be asked one replica at a time', async () => {
    const { board, targets } = wire(['echo-0', 'echo-1'])
    await board.asker<EchoAsks>('echo-1').echo(1)
    expect(targets.map((t) => t.gauge.handled)).toEqual([0, 1])
  })

  it('waits while all are down and goes to the first that is back', async () => {
    const { board, targets, echo } = wire(['echo-0', 'echo-1'])
    targets.forEach((t) => {
      t.die()
      board.down(t.name, t.actorId)
    })
    const asked = echo.echo('hi')
    await clock.settle()
    const back = new Target('echo-1', 9)
    back.connect(board, clock)
    open.push(() => back.die())
    expect(await asked).toBe('hi')
  })
})

it('an asker can be awaited without asking for "then"', async () => {
  const { echo } = wire()
  expect(await (echo as unknown as Promise<unknown>)).toBe(echo)
})
