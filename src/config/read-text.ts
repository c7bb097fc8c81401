/** Owns reading a configuration file as text: bounded, so that a device, a pipe or a dump that was named by mistake ends in a sentence. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { sleepBlocking } from '../lib/sleep-blocking.js'
import { ConfigError } from './error.js'

/** Ten times the longest that is known. */
export const CONFIG_BYTES_MAX = 1024 * 1024

/** A pipe or a terminal gets this long between two pieces. */
const PIECE_MS = 5000
const WAIT_MS = 20

/** The file's text. Throws a `ConfigError` that says why it cannot be read; `what` names the file in it. */
export function readConfigText(path: string, what: string): string {
  const bytes = Buffer.allocUnsafe(CONFIG_BYTES_MAX + 1)
  let length = 0
  try {
    // A pipe that nobody has open for writing would not even open otherwise.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      for (let read = -1; read !== 0 && length < bytes.length; length += read) {
        read = readPiece(fd, bytes.subarray(length))
      }
      if (length === 0 && fstatSync(fd).isFIFO()) throw new Error('it is a pipe that gives nothing')
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw new ConfigError([`${what} cannot be read: ${reasonOf(error)}`])
  }
  if (length > CONFIG_BYTES_MAX) {
    throw new ConfigError([
      `${what} has more than ${CONFIG_BYTES_MAX} bytes, which are the most that are read`,
    ])
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length))
  } catch {
    throw new ConfigError([`${what} is no text: its bytes are not UTF-8`])
  }
}

/** Bytes read, 0 at the end. Throws when none come for `PIECE_MS`. */
function readPiece(fd: number, into: Uint8Array): number {
  for (let waited_ms = 0; waited_ms < PIECE_MS; waited_ms += WAIT_MS) {
    try {
      return readSync(fd, into, 0, into.length, null)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error
      sleepBlocking(WAIT_MS)
    }
  }
  throw new Error(`nothing came out of it for ${PIECE_MS / 1000} s`)
}

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : text
  if (code === 'ENOENT') return 'it does not exist'
  if (code === 'EISDIR') return 'it is a folder'
  if (code === 'ENXIO') return 'it is a socket'
  if (code === 'ENAMETOOLONG') return 'its name is too long'
  if (code === 'ERR_INVALID_ARG_VALUE') return 'its name has a zero byte in it'
  return code === 'EACCES' ? 'permission denied' : code
}
