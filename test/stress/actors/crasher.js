/** A toy that fails in the way its config says. */
import { setInterval } from 'node:timers'

export default class Crasher {
  constructor(ctx) {
    this.ctx = ctx
  }

  async start() {
    const { how } = this.ctx.config
    if (how === 'start') throw Object.assign(new Error('no disk'), { code: 'NO_DISK' })
    if (how === 'float') void Promise.reject(new Error('nobody awaits this'))
    if (how === 'empty') await new Promise(() => {})
    if (how === 'timer') setInterval(() => {}, 1000)
    if (how === 'abort') await this.ctx.clock.sleep(3_600_000, this.ctx.abort)
  }

  async stop() {
    if (this.ctx.config.how === 'stop') throw new Error('cannot drain')
    if (this.ctx.config.how === 'never') await new Promise(() => {})
  }
}
