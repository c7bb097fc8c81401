/**
 * Owns decompressing what clients send: never past a limit, and only a few at once, because a body of a few KB may be 16 MiB
 * for as long as nobody has looked at it.
 */
import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'

export type Compression = 'gzip' | 'deflate'

/** As many as libuv has threads for them; the others wait as they came. */
const AT_ONCE_MAX = 4

const decompressors = { gzip: promisify(gunzip), deflate: promisify(inflate) }

export class DecompressError extends Error {
  constructor(
    readonly code: 'TOO_LARGE' | 'MALFORMED',
    message: string,
  ) {
    super(message)
    this.name = 'DecompressError'
  }
}

let running = 0
const waiting: (() => void)[] = []

/** Decompresses on libuv's threads, so that a door's loop is not held up. Throws `DecompressError`. */
export async function decompress(
  compression: Compression,
  bytes: Uint8Array,
  max_bytes: number,
): Promise<Buffer> {
  if (running >= AT_ONCE_MAX) await new Promise<void>((resolve) => waiting.push(resolve))
  else running++
  try {
    // zlib stops as soon as the limit is passed.
    return await decompressors[compression](bytes, { maxOutputLength: max_bytes })
  } catch (error) {
    const isTooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    throw new DecompressError(isTooLarge ? 'TOO_LARGE' : 'MALFORMED', (error as Error).message)
  } finally {
    const next = waiting.shift()
    if (next) next()
    else running--
  }
}
