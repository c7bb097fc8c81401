/** kill -9 at each named point of the write path under load: everything acknowledged is found once after the restart. */
import { describe, expect, it } from 'vitest'
import { FAILPOINTS, type Failpoint } from '../../src/lib/failpoints.js'
import { Random } from '../../src/lib/random.js'
import { IS_FULL, round, SHORT_LIVES } from '../support/faults.js'
import { TestServer } from '../support/server.js'

const SEED = Number(process.env.CHAOS_SEED ?? 1)
/** Kills at each point, each at another hit. */
const TRIES = Number(process.env.FAULTS_TRIES ?? (IS_FULL ? 3 : 1))
/** A local copy goes when the frontends are sure to list the block in the backend: half a minute after a start. */
const LATE: ReadonlySet<Failpoint> = new Set([
  'local.delete.before',
  'local.delete.renamed',
  'local.delete.after',
  'backend.flag.deleted',
  'local.forget.after',
])
/** Blocks are merged once no livestore holds them, so later still; the merged ones' inputs go when nobody can read them any more. */
const COMPACTION = /^compact\./
const DELETION = /^clear\./
const MERGED_SOON = [
  '--backend_worker.compaction.compaction_cycle=500ms',
  '--backend_worker.compaction.compacted_block_retention=1s',
  '--backend_scheduler.provider.retention.interval=500ms',
  '--querier.search.query_timeout=5s',
]
/** Points that a server of a few seconds meets often; the others are met a few times. */
const OFTEN = /^wal\.commit/
/** The main thread makes the first segment of each partition before it is ready; a kill there meets no load. */
const FIRST_HIT: Partial<Record<Failpoint, number>> = { 'wal.segment.created': 3 }
const LOAD_MS = 4000
/** A slice takes one point of so many, by the seed. */
const SLICE_OF = 4
const LATE_LOAD_MS = 45_000
const DELETION_LOAD_MS = 110_000

function lifeOf(point: Failpoint) {
  if (DELETION.test(point)) return { load_ms: DELETION_LOAD_MS, rate: 300, hits: 3 }
  if (COMPACTION.test(point)) return { load_ms: LATE_LOAD_MS, rate: 500, hits: 2 }
  if (LATE.has(point)) return { load_ms: LATE_LOAD_MS, rate: 500, hits: 8 }
  return { load_ms: LOAD_MS, rate: 2000, hits: OFTEN.test(point) ? 60 : 3 }
}

const isLate = (point: Failpoint) => lifeOf(point).load_ms > LOAD_MS

describe('kill -9 at a named point', () => {
  const random = new Random(SEED)
  const points = IS_FULL
    ? FAILPOINTS
    : FAILPOINTS.filter((name) => !isLate(name) && random.below(SLICE_OF) === 0)
  const tries = points.flatMap((point) =>
    Array.from({ length: TRIES }, (_, nth) => ({ point, nth })),
  )

  it.each(tries)('$point, try $nth: loses and doubles nothing', async ({ point, nth }) => {
    const seed = SEED * 10_000 + FAILPOINTS.indexOf(point) * 10 + nth
    const random = new Random(seed)
    const first = FIRST_HIT[point] ?? 1
    const { load_ms, rate, hits } = lifeOf(point)
    const hit = first + random.below(hits)
    const flags = [
      '--actors.chaos=true',
      ...SHORT_LIVES,
      ...(isLate(point) && !LATE.has(point) ? MERGED_SOON : []),
    ]
    const server = await TestServer.at({ flags })
    try {
      server.env = { TEMPO_ACTORS_FAILPOINT: `${point}:${hit}` }
      await server.up()
      await round({
        server,
        group: 'kill -9 at a named point',
        fault: point,
        seed,
        load_ms,
        rate,
        happens: async () => {
          const exit = await server.ended(load_ms + 20_000)
          expect(exit, `${point}:${hit} was not met`).toEqual({ code: null, signal: 'SIGKILL' })
          server.env = {}
          const began = performance.now()
          await server.up()
          return `hit ${hit}; ready again after ${Math.round(performance.now() - began)} ms`
        },
      })
    } finally {
      await server.remove()
    }
  })
})
