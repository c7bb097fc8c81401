/** Owns blockpack's names and numbers: what docs/blockpack.md lists in tables. Numbers are never reused. */
import type { AttributeKey, FieldName, Level, ValueType } from '../../otlp/columns.js'

export const VERSION = 'blockpack1'
export const FORMAT_VERSION = 1
export const DATA_OBJECT = 'data.blockpack'
/** At the start of the object and at its end. */
export const MAGIC = new TextEncoder().encode('BLKPACK1')

/** Spans after which a group is closed, by whole traces: large enough that a column of it is worth a ranged read. */
export const GROUP_SPANS = 32_768
/** Spans after which a page is closed, by whole traces: small enough that one trace costs little to decode. */
export const PAGE_SPANS = 4096

/** A reader's bounds on what a file may claim. */
export const MAX_ROWS = 2 ** 24
export const MAX_GROUPS = 2 ** 20
export const MAX_PAGES = 2 ** 16
export const MAX_COLUMNS = 2 ** 20
export const MAX_KEY_BYTES = 2 ** 24
export const MAX_SECTION_BYTES = 64 * 2 ** 20
/** Rows of one table for each byte of its group: no honest column says more with less. */
export const MAX_ROWS_PER_BYTE = 1024

/** The block's dictionary: strings that repeat. Others stay in the pages of their columns. */
export const MAX_DICTIONARY_STRINGS = 65_535
export const MAX_DICTIONARY_BYTES = 4 * 2 ** 20
export const MAX_DICTIONARY_STRING_BYTES = 4096

/** Of these a reader can do without `traceFilters`, which blocks written before it do not have. */
export const SECTION = { groups: 1, dictionary: 2, traceFilters: 3 } as const

export const LEVELS: readonly Level[] = ['trace', 'resource', 'scope', 'span', 'event', 'link']
/** Tables that are cut into pages; the others are one page a group. */
export const PAGED: readonly Level[] = ['trace', 'span', 'event', 'link']
export const TYPES: readonly ValueType[] = ['string', 'int', 'float', 'bool', 'any']

export const KIND = { structure: 0, field: 1, attribute: 2, mask: 3 } as const

export const STRUCTURES = ['spansPerTrace', 'resource', 'scope', 'event', 'link'] as const
export type Structure = (typeof STRUCTURES)[number]

export const CODEC = {
  /** Numbers: indexes into the column's code set. */
  codes: 1,
  /** Byte strings in place. */
  strings: 2,
  numbers: 3,
  /** Numbers: the bits of a double. */
  doubles: 4,
  /** A bit a row: is true. */
  bits: 5,
  /** Fixed-width bytes, in one packet. */
  fixed: 6,
  /** Rows to the parent span, with the ids of parents that are not in the trace. */
  parent: 7,
  /** Numbers: since the span before in the same trace, or since the trace's start. */
  sincePrevious: 8,
  /** Numbers: since trace.start. */
  sinceTrace: 9,
  /** Numbers: since span.start, zigzag. */
  sinceSpan: 10,
} as const
export type Codec = (typeof CODEC)[keyof typeof CODEC]

type Shape =
  { readonly type: 'string' | 'int' } | { readonly type: 'fixed'; readonly width: number }
const STRING: Shape = { type: 'string' }
const INT: Shape = { type: 'int' }

/** Every field with its shape; its number in the file is its place here. */
export const FIELDS: readonly (readonly [FieldName, Shape])[] = [
  ['trace.id', { type: 'fixed', width: 16 }],
  ['trace.start', INT],
  ['trace.end', INT],
  ['trace.rootService', STRING],
  ['trace.rootName', STRING],
  ['resource.droppedAttributes', INT],
  ['resource.schemaUrl', STRING],
  ['scope.name', STRING],
  ['scope.version', STRING],
  ['scope.droppedAttributes', INT],
  ['scope.schemaUrl', STRING],
  ['span.id', { type: 'fixed', width: 8 }],
  ['span.parentId', { type: 'fixed', width: 8 }],
  ['span.start', INT],
  ['span.duration', INT],
  ['span.name', STRING],
  ['span.kind', INT],
  ['span.status', INT],
  ['span.statusMessage', STRING],
  ['span.traceState', STRING],
  ['span.flags', INT],
  ['span.droppedAttributes', INT],
  ['span.droppedEvents', INT],
  ['span.droppedLinks', INT],
  ['event.time', INT],
  ['event.name', STRING],
  ['event.droppedAttributes', INT],
  ['link.traceId', STRING],
  ['link.spanId', STRING],
  ['link.traceState', STRING],
  ['link.flags', INT],
  ['link.droppedAttributes', INT],
]

/** What a column of a group is called in the file. */
export type ColumnName =
  | { readonly kind: 'structure'; readonly structure: Structure }
  | { readonly kind: 'field'; readonly field: FieldName }
  | { readonly kind: 'attribute'; readonly key: AttributeKey }
  | { readonly kind: 'mask'; readonly level: Level }

export function levelOfColumn(name: ColumnName): Level {
  switch (name.kind) {
    case 'structure':
      return name.structure === 'spansPerTrace' ? 'trace' : 'span'
    case 'field':
      return name.field.slice(0, name.field.indexOf('.')) as Level
    case 'attribute':
      return name.key.level
    case 'mask':
      return name.level
  }
}

/** A text that names the column in maps and in messages. */
export function columnText(name: ColumnName): string {
  switch (name.kind) {
    case 'structure':
      return `structure ${name.structure}`
    case 'field':
      return name.field
    case 'attribute':
      return `${name.key.level} attribute ${name.key.type} ${name.key.key}`
    case 'mask':
      return `${name.level} mask`
  }
}
