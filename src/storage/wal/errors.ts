/** Owns the errors of the write-ahead log: each has a stable code and says what was wrong, where, and what to do. */

/** A write did not reach the log. Nothing of it may be acknowledged; the handle takes no more writes until it is opened anew. */
export class WalFailed extends Error {
  readonly code = 'WAL_FAILED'
  constructor(
    readonly path: string,
    readonly reason: string,
  ) {
    super(
      `write to ${path} failed: ${reason}; nothing of it was acknowledged, and the log takes no more writes until it is opened again`,
    )
    this.name = 'WalFailed'
  }
}

/** There was no room to open a file of the log; later there may be. */
export class WalDiskFull extends WalFailed {
  constructor(path: string, reason: string) {
    super(path, `disk is full: ${reason}`)
    this.name = 'WalDiskFull'
  }
}

/** The files were written by a newer program. */
export class WalVersionUnsupported extends Error {
  readonly code = 'WAL_VERSION_UNSUPPORTED'
  constructor(
    readonly path: string,
    readonly found: number,
    readonly supported: number,
  ) {
    super(
      `${path} has format version ${found}, this program reads versions up to ${supported}: a newer tempo-actors wrote it, start that one again; ` +
        'to go back to this one, send the newer one nothing until tempo_actors_live_store_live_spans and ' +
        'tempo_actors_live_store_flush_queue_length are 0, then give this one a new, empty folder',
    )
    this.name = 'WalVersionUnsupported'
  }
}

/** Bytes on disk are not what was written. */
export class WalCorrupt extends Error {
  readonly code = 'WAL_CORRUPT'
  constructor(
    readonly path: string,
    readonly reason: string,
  ) {
    super(`${path} is damaged: ${reason}`)
    this.name = 'WalCorrupt'
  }
}
