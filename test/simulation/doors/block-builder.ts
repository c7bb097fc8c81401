/** Owns the builder threads of the simulation: each build is a life within the livestore's, runs the real job, and may end alone. */
import build, {
  type BuildRequest,
  type BuildResult,
} from '../../../src/actors/livestore/build-job.js'
import { asError, world } from '../world.js'

export class BlockBuilder {
  build(request: BuildRequest): Promise<BuildResult> {
    const owner = world.current
    const life = world.life('builder', owner)
    return new Promise((resolve, reject) => {
      const answer = (act: () => void) => world.at(0.1, owner, 'built', act)
      life.ends.add((error) => answer(() => reject(asError(error))))
      const finish = (act: () => void) => {
        life.ends.clear()
        answer(act)
        world.end(life, undefined)
      }
      world.at(world.random.float() * 3, life, 'build', () => {
        build(request).then(
          (result) => finish(() => resolve(result)),
          (error: unknown) => {
            if (life.isAlive) finish(() => reject(asError(error)))
          },
        )
      })
    })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
