/** Owns the names by which the simulation knows spans: trace id and span id in hexadecimal. */
import type { RowGroup } from '../../src/otlp/columns.js'

/** The names of the spans of a row group. */
export async function namesOf(group: RowGroup): Promise<string[]> {
  const traces = await group.field('trace.id')
  const spans = await group.field('span.id')
  const parents = await group.parents()
  const names: string[] = []
  for (let row = 0; row < group.counts.span; row++) {
    const trace = parents.trace[row]!
    names.push(nameOf(traces!.bytes, trace * 16, spans!.bytes, row * 8))
  }
  return names
}

export function nameOf(
  trace: Uint8Array,
  traceAt: number,
  span: Uint8Array,
  spanAt: number,
): string {
  return `${hex(trace, traceAt, 16)}.${hex(span, spanAt, 8)}`
}

/** The spans in the bytes of an OTLP request, by a walk of its own: the judge shares no code with the judged. */
export function namesInRequest(bytes: Uint8Array): string[] {
  const names: string[] = []
  for (const resource of messages(bytes, 0, bytes.length, 1))
    for (const scope of messages(bytes, resource.from, resource.to, 2))
      for (const span of messages(bytes, scope.from, scope.to, 2)) {
        const [trace] = messages(bytes, span.from, span.to, 1)
        const [id] = messages(bytes, span.from, span.to, 2)
        names.push(nameOf(bytes, trace!.from, bytes, id!.from))
      }
  return names
}

interface Range {
  readonly from: number
  readonly to: number
}

/** The fields of this number and of wire type 2. */
function messages(bytes: Uint8Array, from: number, to: number, field: number): Range[] {
  const found: Range[] = []
  let at = from
  const varint = () => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }
  while (at < to) {
    const tag = varint()
    if ((tag & 7) === 0) varint()
    else if ((tag & 7) === 1) at += 8
    else if ((tag & 7) === 5) at += 4
    else {
      const length = varint()
      if (tag >>> 3 === field) found.push({ from: at, to: at + length })
      at += length
    }
  }
  return found
}

function hex(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('hex')
}
