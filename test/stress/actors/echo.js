/** A toy target: answers at once or late, fails with a code, hangs on to things. */
import { setInterval } from 'node:timers'
import { publishPorts } from './ports.js'

export default class Echo {
  constructor(ctx) {
    this.ctx = ctx
    this.asks = {
      echo: (value) => value,
      late: async ({ delay_ms, value }, call) => {
        await ctx.clock.sleep(delay_ms, call.signal)
        return value
      },
      who: () => ({ name: ctx.name, actorId: ctx.actorId, generation: ctx.generation }),
      fail: ({ code }) => {
        throw Object.assign(new Error(`failed with ${code}`), { code })
      },
      crashQuietly: () => {
        try {
          ctx.crash(new Error('crashed in a catch'))
        } catch {
          return 'swallowed'
        }
      },
      keepTimer: () => {
        setInterval(() => {}, 1000)
      },
      config: () => ({ ...ctx.config, isFrozen: Object.isFrozen(ctx.config) }),
    }
  }

  async start() {
    publishPorts(this.ctx)
  }

  async stop() {}
}
