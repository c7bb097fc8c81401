/** Owns the writing of a block: cuts the input into groups, writes each when it is whole, and the indexes at the end. */
import type { RowGroup } from '../../otlp/columns.js'
import { compareBytes } from '../../lib/bytes.js'
import { ByteWriter } from './codec/bytes.js'
import { crc32 } from './codec/crc32.js'
import { writePacket } from './codec/packet.js'
import { encodeTable, type Section } from './blockpack-container.js'
import { DictionaryWriter } from './blockpack-dictionary.js'
import { writeDirectory } from './blockpack-directory.js'
import { GroupEncoder } from './blockpack-encode.js'
import { DATA_OBJECT, GROUP_SPANS, MAGIC, MAX_SECTION_BYTES, SECTION, VERSION } from './blockpack-format.js' // prettier-ignore
import { GroupImage, InputGroup, type Slice } from './blockpack-image.js'
import { encodeIndex, type GroupEntry, type TracePage } from './blockpack-index.js'
import { StringCoder } from './blockpack-strings.js'
import { encodeFilters, filterOf } from './trace-filter.js'
import type { BlockMeta, ObjectWriter, WriteRequest } from './encoding.js'
import { formatTime } from './meta.js'

const ID_BYTES = 16
const GREATEST = 2n ** 64n - 1n

/** Nothing to write: a block of no spans has no times and no ids. */
export class EmptyBlock extends Error {
  readonly code = 'EMPTY_BLOCK'
  constructor(blockId: string) {
    super(`block ${blockId}: the input has no spans`)
  }
}

/** The input breaks the contract of `WriteRequest.groups`: a bug of the caller, named by the traces it happened at. */
export class UnsortedInput extends Error {
  readonly code = 'UNSORTED_INPUT'
  constructor(blockId: string, before: Uint8Array, after: Uint8Array) {
    const hex = (id: Uint8Array) => Buffer.from(id).toString('hex')
    super(`block ${blockId}: trace ${hex(after)} comes after ${hex(before)}; traces must rise`)
  }
}

export async function writeBlockpack(request: WriteRequest): Promise<BlockMeta> {
  const object = await request.sink.create(DATA_OBJECT)
  const writer = new BlockWriter(request, object)
  await writer.start()
  let slices: Slice[] = []
  let pending = 0
  for await (const group of request.groups) {
    const input = await InputGroup.open(group)
    const { traceOffsets } = input
    let traceFrom = 0
    for (let trace = 0; trace < group.counts.trace; trace++) {
      pending += traceOffsets[trace + 1]! - traceOffsets[trace]!
      if (pending < GROUP_SPANS) continue
      slices.push({ input, traceFrom, traceTo: trace + 1 })
      await writer.group(slices)
      request.onProgress?.(writer.spans)
      slices = []
      pending = 0
      traceFrom = trace + 1
    }
    if (traceFrom < group.counts.trace)
      slices.push({ input, traceFrom, traceTo: group.counts.trace })
  }
  if (pending > 0) await writer.group(slices)
  const meta = await writer.finish()
  request.onProgress?.(writer.spans)
  return meta
}

class BlockWriter {
  readonly #dictionary = new DictionaryWriter()
  readonly #strings = new StringCoder(this.#dictionary)
  readonly #encoder = new GroupEncoder(this.#strings)
  readonly #groups: GroupEntry[] = []
  /** Directories wait for the end, so that they stand together; a few kilobytes a group. */
  readonly #directories: Uint8Array[] = []
  /** So do the trace filters: a byte and a half a trace. */
  readonly #filters: Uint8Array[] = []
  #at = 0
  #traces = 0
  #lastId: Uint8Array | undefined
  spans = 0

  constructor(
    readonly request: WriteRequest,
    readonly object: ObjectWriter,
  ) {}

  async start(): Promise<void> {
    await this.#write(MAGIC)
  }

  async group(slices: readonly Slice[]): Promise<void> {
    const image = await GroupImage.of(slices)
    const { directory, data, traceIds } = await this.#encoder.encode(image)
    this.#checkOrder(traceIds)
    const raw = new ByteWriter()
    writeDirectory(raw, directory)
    const stored = new ByteWriter()
    writePacket(stored, raw.view())
    const bytes = stored.view()
    const rows = directory.pageRows.trace
    const idPages = directory.columns[0]!.pages
    const pages = Array.from(idPages.crcs, (crc, p): TracePage => {
      const row = rows[p]!
      const firstId = traceIds.slice(ID_BYTES * row, ID_BYTES * (row + 1))
      return { row, traces: rows[p + 1]! - row, firstId, crc }
    })
    const groups = new Set(slices.map(({ input }) => input.group))
    this.#groups.push({
      offset: this.#at,
      length: data.length,
      directory: { offset: 0, length: bytes.length, rawLength: raw.length, crc: crc32(bytes) },
      spans: image.counts.span,
      ...timesOf(groups),
      pages,
    })
    this.#directories.push(bytes)
    this.#filters.push(filterOf(traceIds))
    this.spans += image.counts.span
    this.#traces += image.counts.trace
    await this.#write(data)
  }

  async finish(): Promise<BlockMeta> {
    const { request } = this
    if (this.spans === 0) throw new EmptyBlock(request.blockId)
    for (const [i, bytes] of this.#directories.entries()) {
      const group = this.#groups[i]!
      this.#groups[i] = { ...group, directory: { ...group.directory, offset: this.#at } }
      await this.#write(bytes)
    }
    const index = new ByteWriter()
    encodeIndex(index, this.#groups)
    const strings = new ByteWriter()
    this.#dictionary.encode(strings)
    const sections = [
      await this.#section(SECTION.groups, index.view()),
      await this.#section(SECTION.dictionary, strings.view()),
    ]
    const filters = new ByteWriter()
    encodeFilters(filters, this.#filters)
    // A block of tens of millions of traces goes without.
    if (filters.length <= MAX_SECTION_BYTES) {
      sections.push(await this.#section(SECTION.traceFilters, filters.view()))
    }
    const minStart_ns = this.#groups.reduce((a, g) => (g.minStart_ns < a ? g.minStart_ns : a), GREATEST) // prettier-ignore
    const maxEnd_ns = this.#groups.reduce((a, g) => (g.maxEnd_ns > a ? g.maxEnd_ns : a), 0n)
    const { hasStringsInPlace } = this.#strings
    const totals = { spans: this.spans, traces: this.#traces, minStart_ns, maxEnd_ns, hasStringsInPlace } // prettier-ignore
    const table = encodeTable(totals, sections)
    await this.#write(table)
    await this.object.close()
    return {
      format: VERSION,
      blockID: request.blockId,
      tenantID: request.tenant,
      startTime: formatTime(minStart_ns),
      endTime: formatTime(maxEnd_ns),
      totalObjects: this.#traces,
      totalSpans: this.spans,
      size: this.#at,
      compactionLevel: request.compactionLevel,
      indexPageSize: 0,
      totalRecords: this.#groups.length,
      bloomShards: 0,
      footerSize: table.length,
      replicationFactor: 1,
    }
  }

  async #section(id: number, raw: Uint8Array): Promise<Section> {
    const out = new ByteWriter()
    writePacket(out, raw)
    const bytes = out.view()
    const offset = this.#at
    await this.#write(bytes)
    return { id, offset, length: bytes.length, rawLength: raw.length, crc: crc32(bytes) }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.object.write(bytes)
    this.#at += bytes.length
  }

  #checkOrder(traceIds: Uint8Array): void {
    for (let at = 0; at < traceIds.length; at += ID_BYTES) {
      const id = traceIds.subarray(at, at + ID_BYTES)
      if (this.#lastId && compareBytes(this.#lastId, id) >= 0) {
        throw new UnsortedInput(this.request.blockId, this.#lastId, id)
      }
      this.#lastId = id
    }
    this.#lastId = this.#lastId?.slice()
  }
}

/** The times of whole input groups: a slice's may be narrower, and a wider range is still true. */
function timesOf(groups: ReadonlySet<RowGroup>): { minStart_ns: bigint; maxEnd_ns: bigint } {
  let minStart_ns = GREATEST
  let maxEnd_ns = 0n
  for (const group of groups) {
    if (group.minStart_ns < minStart_ns) minStart_ns = group.minStart_ns
    if (group.maxEnd_ns > maxEnd_ns) maxEnd_ns = group.maxEnd_ns
  }
  return { minStart_ns, maxEnd_ns }
}
