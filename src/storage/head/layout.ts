/**
 * Owns the bytes of live heads in shared memory: the arena's header, a head's header chunk, and the columns of each table.
 *
 *     ARENA   0 magic | version | chunk count | reader count | hash seed | epoch | allocation hint | first chunk    u32 each
 *           128 readers: 128 bytes each, PINS epochs (0 = unused)
 *             . owner[chunk] i32: 0 free; HEADER_OWNER | partition: a head's header chunk; else the tag of the head it serves
 *             . state[chunk] i32: generation << 8 | FREE, OPEN, RETIRING or RETIRED; of header chunks only
 *             . retired[chunk] i32: the epoch after which no new reader can open the head
 *             . chunks of CHUNK_BYTES; a chunk's number is its byte address / CHUNK_BYTES, so 0 is never one
 *
 *     HEAD    0 version i32, published last | partition | block UUID, 16 bytes | tenant length | tenant, 152 bytes at most
 *           256 snapshot of even versions, 128 bytes      384 snapshot of odd versions
 *           512 direct pages: TABLES x DIRECT_PAGES chunk numbers, then TABLES x INDIRECT_PAGES chunks full of chunk numbers
 *
 *     TABLE   pages of 2^rowShift rows; in a page each column is contiguous (PAX): word = page + (column << rowShift) + row
 *
 * Rows below the published counts never change, except a trace's `bytes`, which only the writer reads.
 */

/** 16 KiB: a quiet tenant's head takes 10 chunks; appends at 32 KiB measured no faster. */
export const CHUNK_SHIFT = 14
export const CHUNK_BYTES = 1 << CHUNK_SHIFT
export const WORD_SHIFT = CHUNK_SHIFT - 2
export const CHUNK_WORDS = 1 << WORD_SHIFT

export const ARENA_MAGIC = 0x48454144
export const ARENA_VERSION = 1
export const ARENA = {
  magic: 0,
  version: 1,
  chunkCount: 2,
  readerCount: 3,
  seed: 4,
  epoch: 5,
  hint: 6,
  firstChunk: 7,
  readers: 32,
} as const
export const READER_WORDS = 32
/** Snapshots of different age that one thread may hold before they share one. */
export const PINS = 16

export const FREE = 0
export const OPEN = 1
export const RETIRING = 2
export const RETIRED = 3

/** Byte addresses must fit 31 bits, so that they stay small integers. */
export const ARENA_BYTES_MAX = 2 ** 31 - CHUNK_BYTES
const CHUNK_BITS = 31 - CHUNK_SHIFT
const TAG_BIT = 1 << 31
export const HEADER_OWNER = 1 << 30
export const GENERATION_MASK = (1 << (31 - CHUNK_BITS)) - 1

/** The owner word of a head's chunks; the generation keeps a slow reclaimer off a recycled header chunk's new head. */
export function ownerTag(headerChunk: number, generation: number): number {
  return TAG_BIT | ((generation & GENERATION_MASK) << CHUNK_BITS) | headerChunk
}

export function taggedHead(ownerWord: number): number {
  return ownerWord & ((1 << CHUNK_BITS) - 1)
}

export const HEAD = {
  version: 0,
  partition: 1,
  blockId: 2,
  tenantLength: 6,
  tenant: 7,
  snapshots: 64,
  pages: 128,
} as const
export const SNAPSHOT_WORDS = 32
export const TENANT_BYTES_MAX = 152

/** Words of a snapshot: rows of each table, then these. */
export const SNAPSHOT = {
  counts: 0,
  appliedOffset: 12,
  minStart: 14,
  maxEnd: 16,
  otlpBytes: 18,
  duplicates: 20,
  publishes: 21,
} as const

/** Tables by number: log2 of their columns (the byte heap `text` counts bytes, not rows). */
export const SPAN = 0
export const VALUE = 1
export const TRACE = 2
export const BATCH = 3
export const RESOURCE = 4
export const SCOPE = 5
export const SHAPE = 6
export const EVENT = 7
export const LINK = 8
export const EXTRA = 9
export const ENTRY = 10
export const TEXT = 11
export const TABLES = 12
const COLUMN_BITS = [4, 0, 3, 1, 2, 3, 2, 3, 3, 3, 1, -2] as const

export const ROW_SHIFTS: readonly number[] = COLUMN_BITS.map((bits) => WORD_SHIFT - bits)

/** 256 x 256 rows = 65K spans without an indirection. */
export const DIRECT_PAGES = CHUNK_WORDS >> 4
export const INDIRECT_PAGES = 16
export const PAGES_MAX = DIRECT_PAGES + INDIRECT_PAGES * CHUNK_WORDS

/** Columns. A pair of words (lo, hi) is named by its first. Ids are words of their bytes as sent, little endian. */
export const SPAN_COLUMN = {
  trace: 0,
  batch: 1,
  id: 2,
  parent: 4,
  start: 6,
  duration: 8,
  name: 10,
  packed: 11, // kind, status and flags, see PACKED
  shape: 12,
  values: 13,
  extra: 14, // row in `extra`, 0 = nothing out of the ordinary
  bytes: 15, // of the span's OTLP message
} as const
export const TRACE_COLUMN = { id: 0, firstSpan: 4, bytes: 5 } as const
/** A batch is a resource with a scope, as spans have them. */
export const BATCH_COLUMN = { resource: 0, scope: 1 } as const
export const RESOURCE_COLUMN = { schemaUrl: 0, dropped: 1, shape: 2, values: 3 } as const
export const SCOPE_COLUMN = {
  name: 0,
  version: 1,
  schemaUrl: 2,
  dropped: 3,
  shape: 4,
  values: 5,
} as const
/** A shape is a row's list of attribute keys with types, shared by all rows that have the same list. `items` are VALUE rows. */
export const SHAPE_COLUMN = { level: 0, count: 1, items: 2 } as const
export const EVENT_COLUMN = { span: 0, time: 1, name: 3, dropped: 4, shape: 5, values: 6 } as const
export const LINK_COLUMN = {
  span: 0,
  traceId: 1,
  spanId: 2,
  traceState: 3,
  flags: 4,
  dropped: 5,
  shape: 6,
  values: 7,
} as const
export const EXTRA_COLUMN = {
  statusMessage: 0,
  traceState: 1,
  flags: 2,
  kind: 3,
  status: 4,
  droppedAttributes: 5,
  droppedEvents: 6,
  droppedLinks: 7,
} as const
/** `offset` of row n + 1 is the end of row n, so a dictionary of n codes has n + 2 offsets. Code 0 is absent. */
export const ENTRY_COLUMN = { offset: 0, hash: 1 } as const

/** The word `packed`: a field at its maximum is found in `extra` instead. */
export const PACKED = {
  kindMax: 7,
  statusShift: 3,
  statusMax: 3,
  flagsShift: 5,
  flagsMax: 0xffff,
} as const

/** Attribute types in a shape's items: key code << 3 | type. INT64 and DOUBLE take two words, the others one. */
export const STRING = 1
export const INT32 = 2
export const INT64 = 3
export const DOUBLE = 4
export const BOOL = 5
export const ANY = 6

/** Levels in a shape. */
export const LEVEL_RESOURCE = 1
export const LEVEL_SCOPE = 2
export const LEVEL_SPAN = 3
export const LEVEL_EVENT = 4
export const LEVEL_LINK = 5
