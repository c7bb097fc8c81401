/** Owns reading a configuration file as text: bounded, so that a device, a pipe or a dump that was named by mistake ends in a sentence. */
import { closeSync, openSync, readSync } from 'node:fs'
import { ConfigError } from './error.js'

/** Ten times the longest that is known. */
export const CONFIG_BYTES_MAX = 1024 * 1024

/** The file's text. Throws a `ConfigError` that says why it cannot be read; `what` names the file in it. */
export function readConfigText(path: string, what: string): string {
  const bytes = Buffer.allocUnsafe(CONFIG_BYTES_MAX + 1)
  let length = 0
  try {
    const fd = openSync(path, 'r')
    try {
      for (let read = -1; read !== 0 && length < bytes.length; length += read) {
        read = readSync(fd, bytes, length, bytes.length - length, null)
      }
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

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  if (code === 'ENOENT') return 'it does not exist'
  if (code === 'EISDIR') return 'it is a folder'
  return code === 'EACCES' ? 'permission denied' : code
}
