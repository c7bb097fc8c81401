/** Owns the list of block encodings by their version. */
import { blockpack } from './blockpack.js'
import type { BlockEncoding } from './encoding.js'

const ENCODINGS: ReadonlyMap<string, BlockEncoding> = new Map([[blockpack.version, blockpack]])

/** A block, or a setting, names an encoding that this build has not got. */
export class UnknownEncoding extends Error {
  readonly code = 'UNKNOWN_ENCODING'
  constructor(readonly version: string) {
    super(
      `block encoding "${version}" is unknown; this build has ${[...ENCODINGS.keys()].join(', ')}`,
    )
  }
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
