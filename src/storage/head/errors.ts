/** Owns the ways in which a head refuses: bytes that are no OTLP, and the two kinds of full (which never leave the writer). */

/** The bytes given to `append` are not a valid ExportTraceServiceRequest; nothing of them was kept. */
export class MalformedOtlp extends Error {
  readonly code = 'MALFORMED_OTLP'
  constructor(
    readonly offset: number,
    detail: string,
  ) {
    super(`malformed otlp at byte ${offset}: ${detail}`)
  }
}

/** Thrown inside the writer, turned into a code by `append`. */
export class HeadFull extends Error {
  readonly code = 'HEAD_FULL'
  constructor(readonly reason: 'arena_full' | 'head_full') {
    super(reason)
  }
}

/** Made once: being full is an ordinary event, and stack traces are dear. */
export const ARENA_IS_FULL = new HeadFull('arena_full')
export const HEAD_IS_FULL = new HeadFull('head_full')
