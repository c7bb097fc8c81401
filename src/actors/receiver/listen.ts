/** Owns the opening of a listening socket from a `host:port` of the configuration, and the words when that fails. */
import type { Server } from 'node:net'
import { errorText } from '../../lib/log.js'

export class ListenError extends Error {
  constructor(
    readonly code: 'BAD_ENDPOINT' | 'PORT_TAKEN' | 'CANNOT_LISTEN',
    message: string,
  ) {
    super(message)
    this.name = 'ListenError'
  }
}

export interface Endpoint {
  /** Undefined = all addresses. */
  readonly host: string | undefined
  readonly port: number
}

const MAX_PORT = 65_535

/** Reads "host:port", ":port" or "[::1]:port"; `key` is the configuration key, for the error. */
export function parseEndpoint(text: string, key: string): Endpoint {
  const colon = text.lastIndexOf(':')
  const port = Number(text.slice(colon + 1))
  const host = text.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, '$1')
  if (colon < 0 || text.endsWith(':') || !Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    throw new ListenError(
      'BAD_ENDPOINT',
      `${key} is '${text}', expected host:port with a port from 0 to ${MAX_PORT}, such as 0.0.0.0:4317`,
    )
  }
  // Go listens on IPv4 for "localhost"; Node might take ::1 alone, and clients that dial 127.0.0.1 would be lost.
  if (host === 'localhost') return { host: '127.0.0.1', port }
  return { host: host === '' ? undefined : host, port }
}

/** Listens and resolves with the port bound (an endpoint's port 0 means any free one). */
export function listenOn(server: Server, endpoint: string, key: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const { host, port } = parseEndpoint(endpoint, key)
    const failed = (error: NodeJS.ErrnoException) => reject(listenError(error, endpoint, port, key))
    server.once('error', failed)
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', failed)
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : port)
    })
  })
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not open ports below 1024; take a higher one, or run where it may',
  EADDRNOTAVAIL: 'this machine has no such address; 0.0.0.0 listens on all it has',
  ENOTFOUND: 'the host name cannot be resolved; 0.0.0.0 listens on every address',
  EAI_AGAIN: 'the host name cannot be resolved; 0.0.0.0 listens on every address',
}

function listenError(error: NodeJS.ErrnoException, endpoint: string, port: number, key: string) {
  if (error.code === 'EADDRINUSE') {
    return new ListenError(
      'PORT_TAKEN',
      `cannot listen on ${endpoint} (${key}): port ${port} is taken by another process; stop that one or set ${key} to another port`,
    )
  }
  const text = `cannot listen on ${endpoint} (${key}): ${WORDS[error.code ?? ''] ?? errorText(error)}`
  return new ListenError('CANNOT_LISTEN', text)
}
