/** Owns what a replacement says to its supervisor of those before it: how did the last one die, and what they died of is put aside. */
import { errorText } from '../lib/log.js'
import type { Context } from './actor.js'
import type { Death } from './poison.js'
import type { SupervisorAsks } from './supervisor.js'

const DEADLINE_MS = 2000

/** Nothing for the first of its kind in this process. */
export async function lastDeath(ctx: Context): Promise<Death | undefined> {
  if (ctx.generation === 0) return undefined
  try {
    const asker = ctx.ask<SupervisorAsks>('supervisor')
    const { children } = await asker.status(undefined, { deadline_ms: DEADLINE_MS })
    const exit = children.find((child) => child.name === ctx.name)?.exits.at(-1)
    if (exit) return { kind: exit.status.kind, text: `${ctx.name} ${exit.text}` }
  } catch (error) {
    ctx.log.warn('supervisor did not tell how the predecessor died', { error: errorText(error) })
  }
  return { kind: 'unknown', text: `${ctx.name} died` }
}

/** So many deaths were of a record that is put aside. Whether the supervisor hears it or not, work goes on. */
export async function forgiveDeaths(ctx: Context, crashes: number): Promise<void> {
  if (ctx.generation === 0) return
  try {
    const asker = ctx.ask<SupervisorAsks>('supervisor')
    await asker.forgive({ name: ctx.name, crashes }, { deadline_ms: DEADLINE_MS })
  } catch (error) {
    ctx.log.warn('supervisor was not told that the cause of deaths is put aside', {
      error: errorText(error),
    })
  }
}
