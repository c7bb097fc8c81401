/** Owns a parquet file's footer: found at the end, checked against the file's size, its row groups parsed when asked for. */
import { Malformed } from '../block/codec/bytes.js'
import type { FileMetaData, RowGroupMetaData } from './metadata.js'
import { readFooter, readRowGroup } from './read-metadata.js'
import { leavesOf, type Leaf } from './read-schema.js'
import { ThriftReader } from './thrift-reader.js'

/** Length of the footer, then PAR1. */
export const TRAILER_BYTES = 8
const MAGIC = 0x31524150
const MAX_FOOTER_BYTES = 256 * 2 ** 20
const MAX_ROWS = 2 ** 31
const MAX_ROW_GROUPS = 65_536

/** Bytes of the footer and the trailer, from the file's last eight bytes. Throws `Malformed`. */
export function footerLength(trailer: Uint8Array, fileSize: number): number {
  const view = new DataView(trailer.buffer, trailer.byteOffset, trailer.byteLength)
  if (trailer.length !== TRAILER_BYTES) throw new Malformed(0, `a trailer of ${trailer.length} bytes`)
  if (view.getUint32(4, true) !== MAGIC) throw new Malformed(4, 'does not end with PAR1')
  const length = view.getUint32(0, true)
  if (length + TRAILER_BYTES + 4 > fileSize || length > MAX_FOOTER_BYTES) {
    throw new Malformed(0, `a footer of ${length} bytes in a file of ${fileSize}`)
  }
  return length + TRAILER_BYTES
} // prettier-ignore

export class ParquetFooter {
  readonly leaves: readonly Leaf[]
  readonly byPath: ReadonlyMap<string, Leaf>
  readonly meta: Omit<FileMetaData, 'rowGroups'>
  readonly #bytes: Uint8Array
  readonly #fileSize: number
  /** Where each row group stands in the bytes. */
  readonly #places: number[] = []

  /** `bytes`: thrift only, without the trailer. `onRowGroup` sees each row group once. Throws `Malformed`. */
  constructor(bytes: Uint8Array, fileSize: number, onRowGroup: (group: RowGroupMetaData) => void) {
    this.#bytes = bytes
    this.#fileSize = fileSize
    const groups: RowGroupMetaData[] = []
    this.meta = readFooter(new ThriftReader(bytes), (group, offset) => {
      if (this.#places.push(offset) > MAX_ROW_GROUPS) throw new Malformed(offset, `more than ${MAX_ROW_GROUPS} row groups`)
      groups.push(group)
    })
    this.leaves = leavesOf(this.meta.schema)
    this.byPath = new Map(this.leaves.map((leaf) => [leaf.path, leaf]))
    let rows = 0
    for (const [i, group] of groups.entries()) {
      this.#check(group, i)
      rows += group.numRows
      onRowGroup(group)
    }
    if (rows !== this.meta.numRows) throw new Malformed(0, `row groups of ${rows} rows, the footer says ${this.meta.numRows}`)
  } // prettier-ignore

  get groupCount(): number {
    return this.#places.length
  }

  get length_bytes(): number {
    return this.#bytes.length
  }

  /** Parsed anew each time: a file of many row groups would take much memory otherwise. */
  group(index: number): RowGroupMetaData {
    const group = readRowGroup(new ThriftReader(this.#bytes, this.#places[index]))
    this.#check(group, index)
    return group
  }

  #check(group: RowGroupMetaData, index: number): void {
    const fail = (detail: string): never => {
      throw new Malformed(this.#places[index]!, `row group ${index}: ${detail}`)
    }
    if (group.columns.length !== this.leaves.length) {
      fail(`${group.columns.length} columns, the schema has ${this.leaves.length}`)
    }
    if (group.numRows > MAX_ROWS) fail(`${group.numRows} rows`)
    for (const leaf of this.leaves) {
      const { metaData, filePath } = group.columns[leaf.index]!
      if (filePath !== undefined && filePath !== '') fail(`column ${leaf.path} is in another file`)
      if (metaData.type !== leaf.type) fail(`column ${leaf.path} has type ${metaData.type}, the schema says ${leaf.type}`)
      const { dictionaryPageOffset = 0, dataPageOffset, totalCompressedSize } = metaData
      const at = dictionaryPageOffset > 0 ? Math.min(dictionaryPageOffset, dataPageOffset) : dataPageOffset
      if (at + totalCompressedSize > this.#fileSize) {
        fail(`column ${leaf.path} is ${totalCompressedSize} bytes at ${at}, the file ends at ${this.#fileSize}`)
      }
    }
  } // prettier-ignore
}
