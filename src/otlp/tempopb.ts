/**
 * Owns Tempo's answers as protobuf, for `Accept: application/protobuf` and for gRPC: the same objects that are printed as
 * JSON, encoded.
 */
import { parseProto, type Codec } from './proto.js'
import { TEMPO_PROTO } from './tempo-proto.js'

export type TempoMessage =
  | 'TraceByIDResponse'
  | 'SearchRequest'
  | 'SearchResponse'
  | 'SearchTagsRequest'
  | 'SearchTagsResponse'
  | 'SearchTagsV2Response'
  | 'SearchTagValuesRequest'
  | 'SearchTagValuesResponse'
  | 'SearchTagValuesV2Response'
  | 'QueryRangeRequest'
  | 'QueryRangeResponse'
  | 'QueryInstantRequest'
  | 'QueryInstantResponse'
  | 'PushBytesRequest'

let lookup: ((name: string) => Codec) | undefined
const codecs = new Map<TempoMessage, Codec>()

/** The codec of a message of pkg/tempopb; the schema is parsed when the first one is asked for. */
export function tempoCodec(name: TempoMessage): Codec {
  let codec = codecs.get(name)
  if (!codec) {
    lookup ??= parseProto(TEMPO_PROTO)
    codec = lookup(`tempopb.${name}`)
    codecs.set(name, codec)
  }
  return codec
}

/** Bytes of an answer that is an object in protobuf's JSON form, such as a search response. */
export function encodeTempo(name: TempoMessage, value: object): Uint8Array {
  return tempoCodec(name).encode(value)
}

export interface TraceById {
  /** tempopb.Trace bytes; empty for an unknown trace, which Grafana wants to see all the same. */
  readonly trace: Uint8Array
  readonly inspected_bytes: number
  /** Set when the trace is not whole; says why. */
  readonly partialMessage?: string | undefined
}

export function encodeTraceByIdResponse(reply: TraceById): Uint8Array {
  const { trace, inspected_bytes, partialMessage } = reply
  return encodeTempo('TraceByIDResponse', {
    trace,
    metrics: { inspectedBytes: Math.round(inspected_bytes) },
    ...(partialMessage === undefined ? {} : { status: 'PARTIAL', message: partialMessage }),
  })
}
