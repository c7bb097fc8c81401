/** Owns the list of block encodings by their version. */
import { blockpack } from './blockpack.js'
import { vparquetEncodings } from '../vparquet/encoding.js'
import { isBloomName } from '../vparquet/bloom-hash.js'
import { INDEX_OBJECT } from '../vparquet/objects.js'
import type { ColumnSource } from '../../otlp/columns.js'
import type { BackendReader } from '../backend/backend.js'
import { UnsupportedBlock, type BlockEncoding, type BlockMeta } from './encoding.js'

const ENCODINGS: ReadonlyMap<string, BlockEncoding> = new Map(
  [blockpack, ...vparquetEncodings].map((encoding) => [encoding.version, encoding]),
)

const BLOCK_OBJECTS: ReadonlySet<string> = new Set(
  [...ENCODINGS.values()].map(({ dataObject }) => dataObject).concat(INDEX_OBJECT),
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
  return encodingIn(meta).open(meta, backend)
}

/** The same for whoever reads all of a block: its row groups have about `groupSpans` spans at the most. */
export async function openInParts(
  meta: BlockMeta,
  backend: BackendReader,
  groupSpans: number,
): Promise<ColumnSource> {
  const encoding = encodingIn(meta)
  if (!encoding.openInParts) return encoding.open(meta, backend)
  return encoding.openInParts(meta, backend, groupSpans)
}

function encodingIn({ blockID, format }: BlockMeta): BlockEncoding {
  const encoding = ENCODINGS.get(format)
  if (!encoding) throw new UnsupportedBlock(blockID, format, knownEncodings())
  return encoding
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

/**
 * Whether an object of this path is one that a block is made of and opened from: such a one never changes, since a block that is
 * rewritten gets a new id. meta.json, marks and lists of blocks do.
 */
export function isBlockData(path: string): boolean {
  const [, blockId, name = '', ...deeper] = path.split('/')
  if (!blockId || deeper.length > 0) return false
  return BLOCK_OBJECTS.has(name) || isBloomName(name)
}

export const knownEncodings = (): string[] => [...ENCODINGS.keys()]
