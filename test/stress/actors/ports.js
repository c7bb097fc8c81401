/** Books how many ports keep a toy's thread busy, where the test can read it. */
import process from 'node:process'

const INTERVAL_MS = 20

export function publishPorts(ctx) {
  const shared = ctx.shared[`${ctx.component}_ports`]
  if (shared) void publish(ctx, new Int32Array(shared))
}

async function publish(ctx, word) {
  while (!ctx.abort.aborted) {
    const kinds = process.getActiveResourcesInfo()
    Atomics.store(word, 0, kinds.filter((kind) => kind === 'MessagePort').length)
    await ctx.clock.sleep(INTERVAL_MS, ctx.abort)
  }
}
