/**
 * Owns the claim of one process on a data folder: a Unix socket in it that answers while the process lives. Two stores
 * on one write-ahead log would number their records alike and overwrite each other's. The kernel ends the claim with
 * the process, so after a kill -9 nothing has to be cleaned up, and no pid can be mistaken for another.
 */
import { rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join, relative } from 'node:path'
import { makeFoldersSync } from '../lib/durable-folders.js'
import { errorText, type Log } from '../lib/log.js'

const NAME = 'in-use.sock'
/** sun_path holds 104 bytes on macOS and 108 on Linux; the kernel cuts a longer one without a word. */
const PATH_BYTES_MAX = 103

/** Resolves with what gives the folder back; rejects when another process has it. */
export async function claimFolder(folder: string, log: Log): Promise<() => Promise<void>> {
  makeFoldersSync(folder)
  const path = shorter(join(folder, NAME))
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) return unguarded(log, 'its path is too long')
  let claim = await listen(path)
  if (claim === 'EADDRINUSE') {
    if (await answers(path)) {
      throw new Error(
        'another tempo-actors is using it; stop that one, or give this one a folder of its own',
      )
    }
    rmSync(path, { force: true })
    claim = await listen(path)
  }
  // Some network and container file systems have no sockets; the store works there, without this guard.
  if (typeof claim === 'string') return unguarded(log, claim)
  const server = claim
  return () => new Promise((resolve) => server.close(() => resolve()))
}

function shorter(path: string): string {
  const fromHere = relative(process.cwd(), path)
  return Buffer.byteLength(fromHere) < Buffer.byteLength(path) ? fromHere : path
}

function unguarded(log: Log, why: string): () => Promise<void> {
  log.warn('a second process on the same data folder would not be noticed', { why })
  return () => Promise.resolve()
}

/** The listening socket, or the code of the failure. */
function listen(path: string): Promise<Server | string> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? errorText(error)))
    server.listen(path, () => resolve(server.unref()))
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
