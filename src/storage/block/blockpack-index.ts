/** Owns the index of groups and traces: where each group is, and the first trace id of each page, so that an id is found in one read. */
import { compareBytes } from '../../lib/bytes.js'
import { ByteReader, ByteWriter } from './codec/bytes.js'
import { MAX_GROUPS, MAX_PAGES, MAX_ROWS } from './blockpack-format.js'
import { readSection, writeSection } from './blockpack-container.js'
import type { Section } from './blockpack-container.js'

const ID_BYTES = 16

export interface GroupEntry {
  readonly offset: number
  readonly length: number
  readonly directory: Omit<Section, 'id'>
  readonly spans: number
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  readonly pages: readonly TracePage[]
}

/** The trace ids of one page: they stand at the start of the group, 16 bytes each. */
export interface TracePage {
  /** Row of the first one in the group's table of traces. */
  readonly row: number
  readonly traces: number
  readonly firstId: Uint8Array
  readonly crc: number
}

export function encodeIndex(out: ByteWriter, groups: readonly GroupEntry[]): void {
  out.varint(groups.length)
  for (const group of groups) {
    out.varint(group.offset)
    out.varint(group.length)
    writeSection(out, group.directory)
    out.varint(group.spans)
    out.big(group.minStart_ns)
    out.big(group.maxEnd_ns)
    out.varint(group.pages.length)
    for (const page of group.pages) {
      out.varint(page.traces)
      out.u32(page.crc)
      out.bytes(page.firstId)
    }
  }
}

/** Throws `Malformed`. `end` is where the groups' columns and directories may end at most. */
export function decodeIndex(bytes: Uint8Array, end: number): GroupEntry[] {
  const input = new ByteReader(bytes)
  const groups: GroupEntry[] = []
  for (let left = input.varint(MAX_GROUPS); left > 0; left--) {
    const offset = input.varint(end)
    const length = input.varint(end - offset)
    const directory = readSection(input, 0, end)
    const spans = input.varint(MAX_ROWS)
    const minStart_ns = input.big()
    const maxEnd_ns = input.big()
    const pages: TracePage[] = []
    let row = 0
    for (let page = input.varint(MAX_PAGES); page > 0; page--) {
      const traces = input.varint(Math.min(MAX_ROWS, Math.floor(length / ID_BYTES) - row))
      pages.push({ row, traces, crc: input.u32(), firstId: input.bytes(ID_BYTES) })
      row += traces
    }
    groups.push({ offset, length, directory, spans, minStart_ns, maxEnd_ns, pages })
  }
  input.end()
  return groups
}

export interface PagePlace {
  readonly group: number
  readonly page: TracePage
}

/** Every page of a block in the order of trace ids. */
export class TraceIndex {
  readonly #places: PagePlace[]
  constructor(groups: readonly GroupEntry[]) {
    this.#places = groups.flatMap(({ pages }, group) => pages.map((page) => ({ group, page })))
  }

  /** The only page that can have the id. */
  pageOf(traceId: Uint8Array): PagePlace | undefined {
    let low = 0
    let high = this.#places.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes(this.#places[middle]!.page.firstId, traceId) <= 0) low = middle + 1
      else high = middle
    }
    return this.#places[low - 1]
  }
}

/** The place of the id among sorted ids of 16 bytes, -1 when it is not there. */
export function findId(ids: Uint8Array, traceId: Uint8Array): number {
  let low = 0
  let high = ids.length / ID_BYTES
  while (low < high) {
    const middle = (low + high) >>> 1
    const order = compareBytes(ids.subarray(ID_BYTES * middle, ID_BYTES * (middle + 1)), traceId)
    if (order === 0) return middle
    if (order < 0) low = middle + 1
    else high = middle
  }
  return -1
}
