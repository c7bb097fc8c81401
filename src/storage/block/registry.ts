/** Owns the list of block encodings by their version. */
import { blockpack } from './blockpack.js'
import { vparquetEncodings } from '../vparquet/encoding.js'
import type { ColumnSource } from '../../otlp/columns.js'
import type { BackendReader } from '../backend/backend.js'
import { UnsupportedBlock, type BlockEncoding, type BlockMeta } from './encoding.js'

const ENCODINGS: ReadonlyMap<string, BlockEncoding> = new Map(
  [blockpack, ...vparquetEncodings].map((encoding) => [encoding.version, encoding]),
)

/** A setting names an encoding that this build has not got. */
export class UnknownEncoding extends Error {
  readonly code = 'UNKNOWN_ENCODING'
  constructor(readonly version: string) {
    super(
      `block encoding "${version}" is unknown; this build has ${[...ENCODINGS.keys()].join(', ')}`,
    )
  }
}

/** Opens a block in the encoding that its meta.json names. Throws `UnsupportedBlock` when there is none, `CorruptBlock`. */
export async function openBlock(meta: BlockMeta, backend: BackendReader): Promise<ColumnSource> {
  const encoding = ENCODINGS.get(meta.format)
  if (!encoding) throw new UnsupportedBlock(meta.blockID, meta.format, knownEncodings())
  return encoding.open(meta, backend)
}

/** The encoding of this version (the `format` of meta.json). Throws `UnknownEncoding`. */
export function encodingOf(version: string): BlockEncoding {
  const encoding = ENCODINGS.get(version)
  if (!encoding) throw new UnknownEncoding(version)
  return encoding
}

/** The newest encoding of a name without its number, as `storage.trace.block.version` may give it. */
export function encodingNamed(name: string): BlockEncoding {
  return encodingOf(name === 'blockpack' ? blockpack.version : name)
}

export const knownEncodings = (): string[] => [...ENCODINGS.keys()]
