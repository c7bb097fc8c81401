/** Owns what stands between the receiver's doors (gRPC, HTTP) and the way into the store: one request in, one verdict out. */

export interface PushRequest {
  readonly tenant: string
  /** An ExportTraceServiceRequest as it came, decompressed; nobody has looked at it. The door does not touch it again. */
  readonly body: Uint8Array
  /** A dead letter that a person sends again: it is not refused for being one. */
  readonly isReplay?: boolean
}

/** `rate_limited` and `unavailable` can be repeated, the others not. */
export type Refused = 'rate_limited' | 'unavailable' | 'invalid' | 'too_large' | 'internal'

export type PushResult =
  | {
      readonly ok: true
      /** Spans that were not taken although the request was; goes to the sender as OTLP's partial_success. */
      readonly rejectedSpans: number
      readonly message: string
    }
  | {
      readonly ok: false
      readonly refused: Refused
      readonly message: string
      readonly retryAfter_ms?: number | undefined
    }

export interface Ingest {
  /** Resolves when the request is durable or refused. A rejection is a bug and answers `internal`. */
  push(request: PushRequest): Promise<PushResult>
}

/** What others may ask of a receiver. */
export interface ReceiverAsks {
  /** Takes a request in as if it came through a door. */
  replay(request: PushRequest): Promise<PushResult>
}

/** A listening door. */
export interface Door {
  /** Resolves with the port bound; rejects with `ListenError` when it cannot be. */
  listen(): Promise<number>
  /** Takes nothing new, waits for what is in flight up to the deadline, then closes what is left. */
  drain(deadline_ms: number): Promise<void>
  /** For the metrics: what the door holds now. */
  readonly load: DoorLoad
}

export interface DoorLoad {
  readonly connections: number
  /** Requests handed to `push` and not yet answered, and their bytes. */
  readonly requests: number
  readonly bytes: number
}
