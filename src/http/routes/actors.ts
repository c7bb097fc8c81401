/** Owns /api/actors: what runs, and (for tests, when `actors.chaos` is true) how to make it die. */
import { Hono } from 'hono'
import { CRASH_WAYS, type AppDependencies, type CrashWay, type Env } from '../dependencies.js'
import { BadParam } from '../params.js'

export function actorRoutes({ control, config }: AppDependencies): Hono<Env> {
  return new Hono<Env>()
    .get('/api/actors', async (c) => {
      const replicas = await control.list()
      const components = [...new Set(replicas.map((r) => r.component))].map((component) => {
        const own = replicas.filter((r) => r.component === component)
        const running = own.filter((r) => r.state === 'running').length
        return { component, spec: own.length, running, draining: 0, replicas: own }
      })
      return c.json({ components })
    })
    .post('/api/actors/:name/crash', async (c) => {
      if (!config.actors.chaos) {
        return c.text('crashing actors is for tests: set actors.chaos: true to allow it', 403)
      }
      const name = c.req.param('name')
      const how = c.req.query('how') ?? 'throw'
      if (!CRASH_WAYS.includes(how as CrashWay)) {
        throw new BadParam(`invalid how: ${JSON.stringify(how)}, one of ${CRASH_WAYS.join(', ')}`)
      }
      const known = (await control.list()).map((r) => r.name)
      if (!known.includes(name))
        return c.text(`no actor named ${JSON.stringify(name)}, one of ${known.join(', ')}`, 404)
      await control.crash(name, how as CrashWay)
      return c.json({ crashed: name, how })
    })
}
