/**
 * Owns verifying a block: every section is read and its checksum looked at, every column of every row group is decoded, ids are
 * sorted and found again, and what is counted is what the index and meta.json say.
 */
import type { ColumnSource, TraceFilter } from '../../otlp/columns.js'
import type { BackendReader } from '../backend/backend.js'
import { anatomyOf, isParquet } from '../block/anatomy-of.js'
import type { BlockAnatomy } from '../block/anatomy.js'
import { CorruptBlock, type BlockMeta } from '../block/encoding.js'
import { META_OBJECT, objectPath } from '../block/meta.js'
import { encodingOf, openBlock } from '../block/registry.js'
import { ReadAhead } from '../compaction/read-ahead.js'
import { verifyGroup, type GroupFacts } from './verify-group.js'
import { ParquetFile, ParquetObjects } from './verify-parquet.js'

const ID_BYTES = 16
/** Traces of a group that are looked up by their ids again. */
const LOCATED_PER_GROUP = 8

export interface VerifyOptions {
  /** `share` of the work that is done, 0 to 1. */
  readonly onProgress?: (share: number) => void
  readonly signal?: AbortSignal
}

/** What was read and found good. */
export interface Verified {
  readonly spans: number
  readonly traces: number
  readonly groups: number
  /** Over all groups. */
  readonly columns: number
}

/** Throws `CorruptBlock`, `UnsupportedBlock`, `BackendError`. */
export async function verifyBlock(
  meta: BlockMeta,
  backend: BackendReader,
  options: VerifyOptions = {},
): Promise<Verified> {
  const { dataObject } = encodingFor(meta) ?? {}
  const path = objectPath(meta.tenantID, meta.blockID, dataObject ?? '')
  const reader = dataObject === undefined ? backend : new ReadAhead(backend, path, meta.size)
  const anatomy = await anatomyOf(meta, reader)
  const source = await openBlock(meta, reader)
  try {
    return await new Verification(meta, reader, anatomy, source, options).run()
  } finally {
    await source.close()
  }
}

function encodingFor(meta: BlockMeta) {
  try {
    return encodingOf(meta.format)
  } catch {
    return undefined // told by who opens it
  }
}

class Verification {
  readonly #meta: BlockMeta
  readonly #backend: BackendReader
  readonly #anatomy: BlockAnatomy
  readonly #source: ColumnSource
  readonly #options: VerifyOptions
  #lastId: Uint8Array | undefined
  #spans = 0
  #traces = 0
  #columns = 0

  constructor(
    meta: BlockMeta,
    backend: BackendReader,
    anatomy: BlockAnatomy,
    source: ColumnSource,
    options: VerifyOptions,
  ) {
    this.#meta = meta
    this.#backend = backend
    this.#anatomy = anatomy
    this.#source = source
    this.#options = options
  }

  async run(): Promise<Verified> {
    const source = this.#source
    const { groupCount } = source
    const isFile = isParquet(this.#meta)
    const file = isFile ? await ParquetFile.open(this.#meta, this.#backend) : undefined
    const objects = isFile ? await ParquetObjects.open(this.#meta, this.#backend) : undefined
    const filter = await source.traceFilter?.()
    for (let group = 0; group < groupCount; group++) {
      const steps = { at: group, of: groupCount }
      await file?.verifyGroup(group, (share) => this.#progress(steps, share / 2))
      const facts = await this.#group(group, (share) => this.#progress(steps, isFile ? (1 + share) / 2 : share)) // prettier-ignore
      objects?.add(facts.traceIds)
      this.#checkFilter(filter, facts)
      await this.#locate(group, facts)
    }
    this.#checkCounts()
    const { groups } = { groups: groupCount }
    return { spans: this.#spans, traces: this.#traces, groups, columns: this.#columns }
  }

  async #group(index: number, onProgress: (share: number) => void): Promise<GroupFacts> {
    const { offset } = await this.#anatomy.group(index)
    const facts = await verifyGroup({
      blockId: this.#meta.blockID,
      index,
      offset,
      hasExactTimes: !isParquet(this.#meta),
      open: () => this.#source.group(index),
      lastId: this.#lastId,
      onProgress,
    })
    this.#lastId = facts.traceIds.slice(-ID_BYTES)
    if (this.#lastId.length === 0) this.#lastId = undefined
    this.#spans += facts.spans
    this.#traces += facts.traceIds.length / ID_BYTES
    this.#columns += facts.columns
    return facts
  }

  /** Some traces by their ids, as a query does. */
  async #locate(group: number, { traceIds, offset }: GroupFacts): Promise<void> {
    const traces = traceIds.length / ID_BYTES
    const stride = Math.max(1, Math.ceil(traces / LOCATED_PER_GROUP))
    for (let row = 0; row < traces; row += stride) {
      const id = traceIds.subarray(ID_BYTES * row, ID_BYTES * (row + 1))
      const found = await this.#source.locate(id)
      if (found?.group === group && found.row === row) continue
      const where = found ? `in group ${found.group}, row ${found.row}` : 'nowhere'
      this.#fail(`group ${group}`, offset, `trace ${hex(id)} of row ${row} is found ${where}`)
    }
  }

  #checkFilter(filter: TraceFilter | undefined, { traceIds, index, offset }: GroupFacts): void {
    if (!filter) return
    for (let at = 0; at < traceIds.length; at += ID_BYTES) {
      const id = traceIds.subarray(at, at + ID_BYTES)
      if (!filter.mayHave(id)) {
        this.#fail(`group ${index}`, offset, `trace ${hex(id)} is not in the trace filter`)
      }
    }
  }

  #checkCounts(): void {
    const { spanCount, traceCount, groupCount } = this.#source
    const { totalSpans, totalObjects, totalRecords } = this.#meta
    const faults: string[] = []
    const compare = (what: string, counted: number, told: number | undefined, by: string) => {
      if (told !== undefined && told !== counted) faults.push(`${counted} ${what} were read, ${by} says ${told}`) // prettier-ignore
    }
    compare('spans', this.#spans, spanCount, 'the index')
    compare('traces', this.#traces, traceCount, 'the index')
    compare('spans', this.#spans, totalSpans, META_OBJECT)
    compare('traces', this.#traces, totalObjects, META_OBJECT)
    compare('row groups', groupCount, totalRecords, META_OBJECT)
    if (faults.length > 0) this.#fail(META_OBJECT, 0, faults.join('; '))
  }

  #progress({ at, of }: { at: number; of: number }, share: number): void {
    this.#options.signal?.throwIfAborted()
    this.#options.onProgress?.((at + share) / of)
  }

  #fail(section: string, offset: number, detail: string): never {
    throw new CorruptBlock(this.#meta.blockID, section, offset, detail)
  }
}

const hex = (id: Uint8Array): string => Buffer.from(id).toString('hex')
