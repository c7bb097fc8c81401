/** Owns reading an HTTP request's body within bounds, whatever it claims to be and however well it is compressed. */
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'

export type ContentEncoding = 'identity' | 'gzip' | 'deflate'

const decompressors = { gzip: promisify(gunzip), deflate: promisify(inflate) }

/** The compression that a Content-Encoding header names; undefined when we do not read it. */
export function contentEncoding(header: string | undefined): ContentEncoding | undefined {
  const name = (header ?? '').trim().toLowerCase()
  if (name === '' || name === 'identity') return 'identity'
  return name === 'gzip' || name === 'deflate' ? name : undefined
}

export class BodyError extends Error {
  constructor(
    /** GONE: the client left before the end of its body; there is nobody to answer. */
    readonly code: 'TOO_LARGE' | 'MALFORMED' | 'GONE',
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
  /** Told of memory as it is taken. */
  readonly onBytes: (bytes: number) => void
}

/** Reads the whole body and decompresses it. On TOO_LARGE the rest of the body is still unread. */
export async function readBody(
  req: IncomingMessage,
  options: ReadBodyOptions,
): Promise<Uint8Array> {
  const sent = await collect(req, options)
  if (options.compression === 'identity') return sent
  const { max_bytes } = options
  try {
    // zlib stops as soon as the limit is passed; it works on libuv's threads, so a door's loop is not held up.
    const body = await decompressors[options.compression](sent, { maxOutputLength: max_bytes })
    options.onBytes(body.length)
    return body
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      const text = `request body decompresses to more than ${max_bytes} bytes`
      throw new BodyError('TOO_LARGE', text)
    }
    const text = `request body is no valid ${options.compression}: ${(error as Error).message}`
    throw new BodyError('MALFORMED', text)
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
      options.onBytes(chunk.length)
      chunks.push(chunk)
      if (total <= options.max_bytes) return
      const text = `request body is more than ${options.max_bytes} bytes`
      finish(() => reject(new BodyError('TOO_LARGE', text)))
    }
    const onEnd = () =>
      finish(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    const onGone = () => finish(() => reject(new BodyError('GONE', 'the client left')))
    req.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone)
  })
}
