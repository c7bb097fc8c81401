/** Owns counting the spans of a request that nobody will look at otherwise: from length to length, nothing is validated. */
import { RESOURCE_SPANS_TAG, SCOPE_SPANS_TAG, SPAN_TAG } from './request-index.js'
import { lastValue, readLength, readTag, skipField } from './wire.js'

const LEVELS = [RESOURCE_SPANS_TAG, SCOPE_SPANS_TAG, SPAN_TAG] as const

/** Spans in an ExportTraceServiceRequest; of bytes that are none, those before the fault. */
export function countSpans(request: Uint8Array): number {
  return countIn(request, 0, request.length, 0)
}

function countIn(b: Uint8Array, at: number, end: number, level: number): number {
  let spans = 0
  while (at < end) {
    const field = readTag(b, at, end)
    if (field < 0) return spans
    const tag = lastValue()
    const next = skipField(b, field, end, tag)
    if (next < 0) return spans
    if (tag === LEVELS[level]) {
      if (level === LEVELS.length - 1) spans++
      else {
        const start = readLength(b, field, end)
        spans += countIn(b, start, start + lastValue(), level + 1)
      }
    }
    at = next
  }
  return spans
}
