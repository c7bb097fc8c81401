/**
 * Owns the claim of one process on a data folder: a Unix socket in it that answers while the process lives. Two stores
 * on one write-ahead log would number their records alike and overwrite each other's. The kernel ends the claim with
 * the process, so after a kill -9 nothing has to be cleaned up, and no pid can be mistaken for another.
 *
 * Each process listens at a name of its own first, and looks at the others' afterwards. Of two, the one that listens later finds the
 * earlier one, so never do both go on; when both find each other, the one with the larger name goes and comes again. A name that refuses is of a process
 * that is dead, or that does not listen yet and will find us: it can be removed.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join, relative } from 'node:path'
import { makeFoldersSync } from '../lib/durable-folders.js'
import { errorText, type Log } from '../lib/log.js'
import { systemClock } from '../lib/time.js'

/** Also without a part of its own, as it was once. */
const NAME = /^in-use(\.[0-9a-f]{8})?\.sock$/
/** sun_path holds 104 bytes on macOS and 108 on Linux; the kernel cuts a longer one without a word. */
const PATH_BYTES_MAX = 103
/** What a process says when it is asked. One that is stopped says nothing, and has its claim all the same. */
const LOOKING = 'looking'
const OWNER = 'owner'
const ANSWER_MS = 1000
/** Of coming again, and of waiting for those who go. */
const ROUNDS_MAX = 20
const PAUSE_MIN_MS = 20
const PAUSE_MAX_MS = 150

/** `smaller`, `larger`: one with such a name is looking too. */
type Found = 'nobody' | 'smaller' | 'larger' | 'owner'

/** Resolves with what gives the folder back; rejects when another process has it. */
export async function claimFolder(folder: string, log: Log): Promise<() => Promise<void>> {
  makeFoldersSync(folder)
  const own = `in-use.${randomBytes(4).toString('hex')}.sock`
  const path = shorter(join(folder, own))
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) return unguarded(log, 'its path is too long')
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const claim = new Claim()
    const failure = await claim.listen(path)
    // Some network and container file systems have no sockets; the store works there, without this guard.
    if (failure !== undefined) return unguarded(log, failure)
    let found = await lookAtOthers(folder, own)
    // The smallest name stays, and waits for the others to go.
    for (let waits = 0; found === 'larger' && waits < ROUNDS_MAX; waits++) {
      await systemClock.sleep(PAUSE_MIN_MS)
      found = await lookAtOthers(folder, own)
    }
    // A process that died since may have removed our name before we listened.
    if (found === 'nobody' && existsSync(path)) {
      claim.isOwner = true
      return () => claim.end()
    }
    await claim.end()
    if (found === 'owner') break
    await systemClock.sleep(randomInt(PAUSE_MIN_MS, PAUSE_MAX_MS))
  }
  throw new Error(
    'another tempo-actors is using it; stop that one, or give this one a folder of its own',
  )
}

/** A listening socket; it says what its process is. */
class Claim {
  isOwner = false
  readonly #server: Server

  constructor() {
    this.#server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.end(this.isOwner ? OWNER : LOOKING)
    })
  }

  /** Resolves with why it cannot listen, if it cannot. */
  listen(path: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) =>
        resolve(error.code ?? errorText(error)),
      )
      this.#server.listen(path, () => {
        this.#server.unref()
        resolve(undefined)
      })
    })
  }

  /** The name goes with the socket. */
  end(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }
}

/** The most that any other claim is; those of the dead are removed. */
async function lookAtOthers(folder: string, own: string): Promise<Found> {
  const looking: string[] = []
  for (const name of readdirSync(folder)) {
    if (name === own || !NAME.test(name)) continue
    const found = await ask(shorter(join(folder, name)))
    if (found === 'owner') return 'owner'
    if (found === 'looking') looking.push(name)
    else rmSync(join(folder, name), { force: true })
  }
  if (looking.length === 0) return 'nobody'
  return looking.some((name) => name < own) ? 'smaller' : 'larger'
}

function ask(path: string): Promise<'nobody' | 'looking' | 'owner'> {
  return new Promise((resolve) => {
    let said = ''
    const socket = connect(path)
    const answered = new AbortController()
    void systemClock.sleep(ANSWER_MS, answered.signal).then(() => {
      if (answered.signal.aborted) return
      resolve('owner')
      socket.destroy()
    })
    socket.on('data', (bytes: Buffer) => (said += bytes.toString('latin1')))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      const isNobody = code === 'ECONNREFUSED' || code === 'ENOENT'
      resolve(isNobody ? 'nobody' : code === 'ECONNRESET' ? 'looking' : 'owner')
    })
    // Without a word it went away in between.
    socket.once('close', () => {
      answered.abort()
      resolve(said === OWNER ? 'owner' : 'looking')
    })
  })
}

function shorter(path: string): string {
  const fromHere = relative(process.cwd(), path)
  return Buffer.byteLength(fromHere) < Buffer.byteLength(path) ? fromHere : path
}

function unguarded(log: Log, why: string): () => Promise<void> {
  log.warn('a second process on the same data folder would not be noticed', { why })
  return () => Promise.resolve()
}
