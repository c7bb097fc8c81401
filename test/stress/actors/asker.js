/** A toy asker: keeps a number of asks in flight, and books the end of each in shared memory that outlives it. */
import { publishPorts } from './ports.js'

const ASKED = 0
const ANSWERED = 1
const ACTOR_DOWN = 2
const DEADLINE = 3
const OTHER = 4

export default class Asker {
  constructor(ctx) {
    this.ctx = ctx
    this.tally = new Int32Array(ctx.shared.tally)
    this.echo = ctx.ask('echo')
    this.loops = []
    this.asks = {}
  }

  async start() {
    publishPorts(this.ctx)
    const { in_flight, deadline_ms } = this.ctx.config
    for (let i = 0; i < in_flight; i++) this.loops.push(this.#askOn(i, deadline_ms))
  }

  async stop() {
    await Promise.all(this.loops)
  }

  async #askOn(lane, deadline_ms) {
    for (let n = 0; !this.ctx.abort.aborted; n++) {
      const value = `${lane}:${n}`
      Atomics.add(this.tally, ASKED, 1)
      const end = await this.echo.late({ delay_ms: n % 7, value }, { deadline_ms }).then(
        (answer) => (answer === value ? ANSWERED : OTHER),
        (error) => ({ ACTOR_DOWN, DEADLINE_EXCEEDED: DEADLINE })[error.code] ?? OTHER,
      )
      Atomics.add(this.tally, end, 1)
    }
  }
}
