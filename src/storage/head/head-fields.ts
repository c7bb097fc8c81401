/** Owns making the columns of fields: where each is stored, and those that are derived from others. */
import type {
  Column,
  FieldName,
  Fields,
  FixedColumn,
  IntColumn,
  Level,
} from '../../otlp/columns.js'
import type { HeadGroup } from './head-group.js'
import {
  EVENT_COLUMN,
  EXTRA,
  EXTRA_COLUMN,
  LINK_COLUMN,
  PACKED,
  RESOURCE_COLUMN,
  SCOPE_COLUMN,
  SPAN_COLUMN,
  TRACE_COLUMN,
} from './layout.js'

type Reader = (group: HeadGroup) => Column | undefined

const codes =
  (level: Level, column: number): Reader =>
  (group) =>
    group.strings(group.words(level, column))

const small =
  (level: Level, column: number): Reader =>
  (group) =>
    group.integers(group.words(level, column))

const wide =
  (level: Level, column: number): Reader =>
  (group) =>
    group.integers(group.words(level, column), group.words(level, column + 1))

const fixed =
  (level: Level, column: number, width: number): Reader =>
  (group) =>
    fixedColumn(group, level, column, width)

const extraCodes =
  (column: number): Reader =>
  (group) =>
    group.strings(extraWords(group, column))

const extraSmall =
  (column: number): Reader =>
  (group) =>
    group.integers(extraWords(group, column))

const packed =
  (shift: number, maximum: number, column: number): Reader =>
  (group) =>
    group.integers(packedWords(group, shift, maximum, column))

const READERS: Record<FieldName, Reader> = {
  'trace.id': fixed('trace', TRACE_COLUMN.id, 16),
  'trace.start': (group) => traceTimes(group).start,
  'trace.end': (group) => traceTimes(group).end,
  'trace.rootService': rootService,
  'trace.rootName': rootName,
  'resource.droppedAttributes': small('resource', RESOURCE_COLUMN.dropped),
  'resource.schemaUrl': codes('resource', RESOURCE_COLUMN.schemaUrl),
  'scope.name': codes('scope', SCOPE_COLUMN.name),
  'scope.version': codes('scope', SCOPE_COLUMN.version),
  'scope.droppedAttributes': small('scope', SCOPE_COLUMN.dropped),
  'scope.schemaUrl': codes('scope', SCOPE_COLUMN.schemaUrl),
  'span.id': fixed('span', SPAN_COLUMN.id, 8),
  'span.parentId': fixed('span', SPAN_COLUMN.parent, 8),
  'span.start': wide('span', SPAN_COLUMN.start),
  'span.duration': wide('span', SPAN_COLUMN.duration),
  'span.name': codes('span', SPAN_COLUMN.name),
  'span.kind': packed(0, PACKED.kindMax, EXTRA_COLUMN.kind),
  'span.status': packed(PACKED.statusShift, PACKED.statusMax, EXTRA_COLUMN.status),
  'span.flags': packed(PACKED.flagsShift, PACKED.flagsMax, EXTRA_COLUMN.flags),
  'span.statusMessage': extraCodes(EXTRA_COLUMN.statusMessage),
  'span.traceState': extraCodes(EXTRA_COLUMN.traceState),
  'span.droppedAttributes': extraSmall(EXTRA_COLUMN.droppedAttributes),
  'span.droppedEvents': extraSmall(EXTRA_COLUMN.droppedEvents),
  'span.droppedLinks': extraSmall(EXTRA_COLUMN.droppedLinks),
  'event.time': wide('event', EVENT_COLUMN.time),
  'event.name': codes('event', EVENT_COLUMN.name),
  'event.droppedAttributes': small('event', EVENT_COLUMN.dropped),
  'link.traceId': codes('link', LINK_COLUMN.traceId),
  'link.spanId': codes('link', LINK_COLUMN.spanId),
  'link.traceState': codes('link', LINK_COLUMN.traceState),
  'link.flags': small('link', LINK_COLUMN.flags),
  'link.droppedAttributes': small('link', LINK_COLUMN.dropped),
}

/** A field of a group's rows; undefined when it is zero or absent throughout. */
export function readField<F extends FieldName>(group: HeadGroup, name: F): Fields[F] | undefined {
  return READERS[name](group) as Fields[F] | undefined
}

function fixedColumn(
  group: HeadGroup,
  level: Level,
  column: number,
  width: number,
): FixedColumn | undefined {
  const { table, rows } = group.level(level)
  const { view } = group.owner
  group.owner.inspect(rows.length * width)
  const parts = width / 4
  const words = new Uint32Array(rows.length * parts)
  const one = new Uint32Array(rows.length)
  let isEmpty = true
  for (let part = 0; part < parts; part++) {
    if (!view.gather(table, column + part, rows, one)) continue
    isEmpty = false
    for (let i = 0; i < one.length; i++) words[i * parts + part] = one[i]!
  }
  return isEmpty ? undefined : { type: 'fixed', width, bytes: new Uint8Array(words.buffer) }
}

/** A column of `extra` by span; undefined when no span of the group has anything there. */
function extraWords(group: HeadGroup, column: number): Uint32Array | undefined {
  const rows = group.words('span', SPAN_COLUMN.extra)
  if (!rows) return undefined
  const out = new Uint32Array(rows.length)
  return group.owner.view.gather(EXTRA, column, rows, out) ? out : undefined
}

function packedWords(
  group: HeadGroup,
  shift: number,
  maximum: number,
  column: number,
): Uint32Array | undefined {
  const words = group.words('span', SPAN_COLUMN.packed)
  if (!words) return undefined
  let any = 0
  let isExtra = false
  for (let i = 0; i < words.length; i++) {
    const value = (words[i]! >>> shift) & maximum
    words[i] = value
    any |= value
    isExtra ||= value === maximum
  }
  if (isExtra) {
    const extra = extraWords(group, column)
    for (let i = 0; i < words.length; i++) if (words[i] === maximum) words[i] = extra?.[i] ?? 0
  }
  return any === 0 ? undefined : words
}

/** Least start and greatest end of each trace. An end is start + duration modulo 2^64, that is, as it was sent. */
function traceTimes(group: HeadGroup): {
  start: IntColumn | undefined
  end: IntColumn | undefined
} {
  const empty = () => new Uint32Array(group.spans.length)
  const startLo = group.words('span', SPAN_COLUMN.start) ?? empty()
  const startHi = group.words('span', SPAN_COLUMN.start + 1) ?? empty()
  const durationLo = group.words('span', SPAN_COLUMN.duration) ?? empty()
  const durationHi = group.words('span', SPAN_COLUMN.duration + 1) ?? empty()
  const traces = group.traces.length
  const start = { lo: new Uint32Array(traces), hi: new Uint32Array(traces) }
  const end = { lo: new Uint32Array(traces), hi: new Uint32Array(traces) }
  for (let trace = 0; trace < traces; trace++) {
    const begin = group.starts[trace]!
    // A trace's spans are sorted by start.
    start.lo[trace] = startLo[begin]!
    start.hi[trace] = startHi[begin]!
    let bestLo = 0
    let bestHi = 0
    for (let i = begin; i < group.starts[trace + 1]!; i++) {
      const sum = startLo[i]! + durationLo[i]!
      const lo = sum >>> 0
      const hi = (startHi[i]! + durationHi[i]! + (sum > lo ? 1 : 0)) >>> 0
      if (hi > bestHi || (hi === bestHi && lo > bestLo)) {
        bestLo = lo
        bestHi = hi
      }
    }
    end.lo[trace] = bestLo
    end.hi[trace] = bestHi
  }
  return { start: group.integersOf(start), end: group.integersOf(end) }
}

/** The place in the group of each trace's root span: the one without a parent that arrived last; -1 = none. */
function roots(group: HeadGroup): Int32Array {
  const lo = group.words('span', SPAN_COLUMN.parent)
  const hi = group.words('span', SPAN_COLUMN.parent + 1)
  const found = new Int32Array(group.traces.length).fill(-1)
  for (let trace = 0; trace < found.length; trace++) {
    let best = -1
    for (let i = group.starts[trace]!; i < group.starts[trace + 1]!; i++) {
      if (((lo?.[i] ?? 0) | (hi?.[i] ?? 0)) !== 0) continue
      if (best < 0 || group.spans[i]! > group.spans[best]!) best = i
    }
    found[trace] = best
  }
  return found
}

function rootName(group: HeadGroup): Column | undefined {
  return ofRoots(group, (place, names) => names[place]!, group.words('span', SPAN_COLUMN.name))
}

function rootService(group: HeadGroup): Column | undefined {
  const service = group.attributeNow({ level: 'resource', key: 'service.name', type: 'string' })
  if (service?.type !== 'string') return undefined
  const { resource } = group.parentRows()
  return ofRoots(group, (place, services) => services[resource[place]!]!, service.codes)
}

function ofRoots(
  group: HeadGroup,
  code: (place: number, codes: Uint32Array) => number,
  from: Uint32Array | undefined,
): Column | undefined {
  if (!from) return undefined
  const out = new Uint32Array(group.traces.length)
  let any = 0
  roots(group).forEach((place, trace) => {
    if (place >= 0) out[trace] = code(place, from)
    any |= out[trace]!
  })
  return any === 0 ? undefined : group.strings(out)
}
