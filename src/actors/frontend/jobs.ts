/** Owns sharding: sources become jobs, jobs run on the queriers a few at a time, newest first, and are retried when their querier dies. */
import type { FailedSource, Job, JobReply, JobStats } from '../querier/contract.js'
import type { ListedSource } from './read-set.js'

/** Blocks are grouped into one job up to this many bytes, Tempo's `target_bytes_per_job`. */
export const TARGET_BYTES_PER_JOB = 100 * 1024 * 1024
/** And up to this many blocks, so that many tiny ones still spread over the queriers. */
export const SOURCES_PER_JOB_MAX = 16
/** Jobs of one query in flight at once. */
export const JOBS_IN_FLIGHT_MAX = 8

/** Neighbours in time share a job; the order of the sources is kept. */
export function shard(sources: readonly ListedSource[], jobsWanted: number): ListedSource[][] {
  const most = Math.max(
    1,
    Math.min(SOURCES_PER_JOB_MAX, Math.ceil(sources.length / Math.max(1, jobsWanted))),
  )
  const jobs: ListedSource[][] = []
  let bytes = 0
  for (const source of sources) {
    const last = jobs.at(-1)
    if (last && last.length < most && bytes + source.size_bytes <= TARGET_BYTES_PER_JOB) {
      last.push(source)
      bytes += source.size_bytes
    } else {
      jobs.push([source])
      bytes = source.size_bytes
    }
  }
  return jobs
}

export interface RunOptions<Q, R> {
  readonly query: Q
  readonly jobs: readonly (readonly ListedSource[])[]
  readonly call: (job: Job<Q>) => Promise<JobReply<R>>
  /** Retries of one job whose querier died or was overloaded. */
  readonly retriesMax: number
  /** Takes a result; true = enough, start no more jobs. `rest` are the sources not asked yet. */
  readonly take: (result: R, rest: readonly ListedSource[]) => boolean
}

export interface RunResult {
  readonly stats: JobStats
  /** Damaged blocks that the answer does without, in the order in which they were found. */
  readonly leftOut: readonly FailedSource[]
}

/** A source could not be read after all retries, though nothing is known to be wrong with it. */
export class SourceFailed extends Error {
  readonly code = 'SOURCE_FAILED'
}

/** Runs all jobs, or until `take` says enough. Rejects with `SourceFailed`, or the ask's own error. */
export async function runJobs<Q, R>(options: RunOptions<Q, R>): Promise<RunResult> {
  const { query, jobs, call, retriesMax, take } = options
  const stats: JobStats = { inspected_bytes: 0, inspectedSpans: 0, inspectedTraces: 0 }
  const leftOut: FailedSource[] = []
  let next = 0
  let isEnough = false
  const lane = async () => {
    while (!isEnough && next < jobs.length) {
      const sources = jobs[next++]!
      const reply = await withRetries(
        () => call({ query, sources: sources.map(reference) }),
        retriesMax,
      ).catch((error: unknown) => {
        // The query has failed: the other lanes begin nothing more that nobody waits for.
        isEnough = true
        throw error
      })
      stats.inspected_bytes += reply.stats.inspected_bytes
      stats.inspectedSpans += reply.stats.inspectedSpans
      stats.inspectedTraces += reply.stats.inspectedTraces
      leftOut.push(...reply.failed)
      if (take(reply.result, jobs.slice(next).flat())) isEnough = true
    }
  }
  await Promise.all(Array.from({ length: Math.min(JOBS_IN_FLIGHT_MAX, jobs.length) }, lane))
  return { stats, leftOut }
}

/** One damaged block must not take the others' answers away: only what may be read the next time is tried again. */
async function withRetries<R>(
  call: () => Promise<JobReply<R>>,
  retriesMax: number,
): Promise<JobReply<R>> {
  for (let attempt = 0; ; attempt++) {
    try {
      const reply = await call()
      const failed = reply.failed.find(({ isDamaged }) => !isDamaged)
      if (!failed) return reply
      if (attempt >= retriesMax) {
        throw new SourceFailed(
          `could not read block ${failed.blockId} after ${attempt + 1} tries: ${failed.message}`,
        )
      }
    } catch (error) {
      if (attempt >= retriesMax || !isWorthRetrying(error)) throw error
    }
  }
}

function isWorthRetrying(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === 'ACTOR_DOWN' || code === 'OVERLOADED'
}

function reference({ blockId, tenant, meta }: ListedSource) {
  return { blockId, tenant, meta }
}
