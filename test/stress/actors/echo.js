/** A toy target: answers at once, answers late, moves buffers, fails with a code. */
export default class Echo {
  constructor(ctx) {
    this.ctx = ctx
    this.asks = {
      echo: (value) => value,
      who: () => ({ actorId: ctx.actorId, generation: ctx.generation, name: ctx.name }),
      late: async ({ delay_ms, value }, call) => {
        await ctx.clock.sleep(delay_ms, call.signal)
        return value
      },
      fail: ({ code }) => {
        throw Object.assign(new Error(`failed with ${code}`), { code })
      },
      leakTimer: () => {
        setInterval(() => {}, 1000)
      },
    }
  }

  async start() {}

  async stop() {}
}
