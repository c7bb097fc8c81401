/** Owns reading an HTTP request's body within bounds, whatever it claims to be and however well it is compressed. */
import type { IncomingMessage } from 'node:http'
import { DecompressError, decompress, type Compression } from './decompress.js'

export type ContentEncoding = 'identity' | Compression

/** The compression that a Content-Encoding header names; undefined when we do not read it. */
export function contentEncoding(header: string | undefined): ContentEncoding | undefined {
  const name = (header ?? '').trim().toLowerCase()
  if (name === '' || name === 'identity') return 'identity'
  return name === 'gzip' || name === 'deflate' ? name : undefined
}

const NO_ROOM = 'no room for the body'

export class BodyError extends Error {
  constructor(
    /**
     * GONE: the client left before the end of its body; there is nobody to answer. NO_ROOM: all bodies together are more
     * than the door may hold.
     */
    readonly code: 'TOO_LARGE' | 'MALFORMED' | 'NO_ROOM' | 'GONE',
    message: string,
  ) {
    super(message)
    this.name = 'BodyError'
  }
}

export interface ReadBodyOptions {
  readonly compression: ContentEncoding
  /** Of the body as sent, and of what it decompresses to. */
  readonly max_bytes: number
  /** Told of memory as it is taken; false when there is no room for it. */
  readonly onBytes: (bytes: number) => boolean
}

/** Reads the whole body and decompresses it. On TOO_LARGE and NO_ROOM the rest of the body is still unread. */
export async function readBody(
  req: IncomingMessage,
  options: ReadBodyOptions,
): Promise<Uint8Array> {
  const sent = await collect(req, options)
  if (options.compression === 'identity') return sent
  const { max_bytes } = options
  try {
    const body = await decompress(options.compression, sent, max_bytes)
    if (!options.onBytes(body.length)) throw new BodyError('NO_ROOM', NO_ROOM)
    return body
  } catch (error) {
    if (!(error instanceof DecompressError)) throw error
    const text =
      error.code === 'TOO_LARGE'
        ? `request body decompresses to more than ${max_bytes} bytes`
        : `request body is no valid ${options.compression}: ${error.message}`
    throw new BodyError(error.code, text)
  }
}

function collect(req: IncomingMessage, options: ReadBodyOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let total = 0
    const finish = (act: () => void) => {
      req.off('data', onData).off('end', onEnd).off('close', onGone)
      act()
    }
    const onData = (chunk: Buffer) => {
      total += chunk.length
      const hasRoom = options.onBytes(chunk.length)
      chunks.push(chunk)
      if (total > options.max_bytes) {
        const text = `request body is more than ${options.max_bytes} bytes`
        finish(() => reject(new BodyError('TOO_LARGE', text)))
      } else if (!hasRoom) finish(() => reject(new BodyError('NO_ROOM', NO_ROOM)))
    }
    const onEnd = () =>
      finish(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    const onGone = () => finish(() => reject(new BodyError('GONE', 'the client left')))
    req.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone)
  })
}
