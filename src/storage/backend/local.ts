/** Owns blocks on a local disk: objects are files under one folder, made visible by a rename so that none is ever half there. */
import { constants } from 'node:fs'
import {
  access,
  copyFile,
  link,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { threadId } from 'node:worker_threads'
import { mapBounded } from '../../lib/concurrency.js'
import { makeFolders } from '../../lib/durable-folders.js'
import type { Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import {
  BackendError,
  ObjectNotFound,
  ObjectTooLarge,
  ObjectTooShort,
  type Listing,
  type OpenBackend,
} from './backend.js'
import { codeOf, fileReason } from './file-errors.js'
import { FileHandles } from './file-handles.js'
import { isSegment, objectSegments, prefixSegments } from './path.js'

/** '~' cannot stand in an object's name, so no object and no temporary file are ever taken for one another. */
const TEMPORARY = '~'
const MAX_IDLE_HANDLES = 64
const FOLDER_CONCURRENCY = 16
/** A folder can be removed by a delete between our mkdir and our open; more rounds than this is no race. */
const FOLDER_RACES = 20
/** Node's read takes at most 2^31-1 bytes a call; the rest is read by further calls. */
const MAX_READ_BYTES = 1 << 30
/** A longer range is held against the file's size first. */
const UNCHECKED_READ_BYTES = 1 << 20
const NOTHING = Buffer.alloc(0)

const RETRYABLE = new Set([
  'ENOSPC',
  'EDQUOT',
  'EMFILE',
  'ENFILE',
  'EIO',
  'EBUSY',
  'EAGAIN',
  'ESTALE',
])
/** The filesystem cannot link (other device, FAT, too many links): copy instead. */
const NOT_LINKABLE = new Set([
  'EXDEV',
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
  'EINVAL',
])

export interface LocalOptions {
  clock: Clock
  log: Log
  /** Files and folders are fsynced before a write is reported done, so that it survives power loss. Default false. */
  sync?: boolean
  max_idle_handles?: number
}

export class LocalBackend implements OpenBackend {
  readonly kind = 'local'
  readonly root: string
  private readonly handles: FileHandles
  private readonly sync: boolean
  private temporaries = 0

  constructor(
    root: string,
    private readonly options: LocalOptions,
  ) {
    this.root = resolve(root)
    this.sync = options.sync ?? false
    this.handles = new FileHandles(options.clock, options.max_idle_handles ?? MAX_IDLE_HANDLES)
  }

  async ensureReady(): Promise<void> {
    try {
      await makeFolders(this.root)
      await access(this.root, constants.R_OK | constants.W_OK | constants.X_OK)
      const probe = join(this.root, this.temporaryName())
      await writeFile(probe, '')
      await unlink(probe)
    } catch (error) {
      throw this.failure('the backend folder cannot be used', this.root, error)
    }
    await this.removeStrays()
  }

  async get(path: string, max_bytes = Infinity): Promise<Uint8Array> {
    const file = this.fileOf(path)
    try {
      if (max_bytes < Infinity) {
        const { size } = await stat(file)
        if (size > max_bytes) throw new ObjectTooLarge(path, size, max_bytes)
      }
      return await readFile(file)
    } catch (error) {
      throw this.readFailure(path, file, error)
    }
  }

  async getRange(path: string, offset: number, length: number): Promise<Uint8Array> {
    const file = this.fileOf(path)
    let bytes = NOTHING
    let filled = 0
    try {
      await this.handles.use(file, async (handle) => {
        // Who asks may have the length from a damaged block: memory is taken for what is there.
        if (length > UNCHECKED_READ_BYTES && offset + length > (await handle.stat()).size) return
        // Not from Buffer's pool: a cached range of a few bytes would keep 8 KiB alive.
        bytes = Buffer.allocUnsafeSlow(length)
        while (filled < length) {
          const want = Math.min(length - filled, MAX_READ_BYTES)
          const { bytesRead } = await handle.read(bytes, filled, want, offset + filled)
          if (bytesRead === 0) return
          filled += bytesRead
        }
      })
    } catch (error) {
      throw this.readFailure(path, file, error)
    }
    if (filled < length) {
      const ends = bytes === NOTHING ? 'it ends before' : `it ends at ${offset + filled}`
      const asked = `bytes ${offset}..${offset + length} were asked for, ${ends}`
      throw new ObjectTooShort(path, asked)
    }
    return bytes
  }

  async put(path: string, body: Uint8Array): Promise<void> {
    const file = this.fileOf(path)
    await this.place(path, file, async (temporary) => {
      const handle = await open(temporary, 'wx')
      try {
        await handle.writeFile(body)
        if (this.sync) await handle.sync()
      } finally {
        await handle.close()
      }
    })
  }

  async putFile(path: string, source: string): Promise<void> {
    const file = this.fileOf(path)
    await this.place(path, file, async (temporary) => {
      await access(source).catch((error: unknown) => {
        throw this.failure(`cannot write ${path}: its source cannot be read`, source, error)
      })
      if (!(await tryLink(source, temporary))) {
        await copyFile(source, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
      }
      if (this.sync) await syncPath(temporary)
    })
  }

  async list(prefix: string): Promise<Listing> {
    const folder = join(this.root, ...prefixSegments(prefix))
    const listing: Listing = { folders: [], objects: [] }
    for (const entry of await this.children(folder)) {
      if (!isSegment(entry.name)) continue
      if (entry.isDirectory()) listing.folders.push(entry.name)
      else if (entry.isFile()) listing.objects.push(entry.name)
    }
    listing.folders.sort()
    listing.objects.sort()
    return listing
  }

  async listBlocks(tenant: string): Promise<Map<string, string[]>> {
    const { folders } = await this.list(tenant)
    const found = await mapBounded(folders, FOLDER_CONCURRENCY, (block) =>
      this.list(`${tenant}/${block}`),
    )
    const blocks = new Map<string, string[]>()
    for (const [i, block] of folders.entries()) {
      const { objects } = found[i]!
      if (objects.length > 0) blocks.set(block, objects)
    }
    return blocks
  }

  async delete(path: string): Promise<void> {
    const file = this.fileOf(path)
    this.handles.forget(file)
    try {
      await rm(file, { force: true })
    } catch (error) {
      throw this.failure(`cannot delete ${path}`, file, error)
    }
    await this.removeEmptyFolders(dirname(file))
  }

  async deleteBlock(tenant: string, blockId: string): Promise<void> {
    const folder = this.fileOf(`${tenant}/${blockId}`)
    try {
      await rm(join(folder, 'meta.json'), { force: true })
      for (const entry of await this.children(folder)) {
        const file = join(folder, entry.name)
        this.handles.forget(file)
        await rm(file, { force: true, recursive: true })
      }
    } catch (error) {
      throw this.failure(`cannot delete block ${tenant}/${blockId}`, folder, error)
    }
    await this.removeEmptyFolders(folder)
  }

  async close(): Promise<void> {
    await this.handles.close()
  }

  private fileOf(path: string): string {
    return join(this.root, ...objectSegments(path))
  }

  private temporaryName(): string {
    return `${TEMPORARY}${process.pid}-${threadId}-${this.temporaries++}`
  }

  /** Writes next to the target and renames over it: a reader sees the old object or the new one, never a part. */
  private async place(
    path: string,
    file: string,
    write: (temporary: string) => Promise<void>,
  ): Promise<void> {
    const folder = dirname(file)
    const temporary = join(folder, this.temporaryName())
    try {
      const made = await this.writeInFolder(folder, () => write(temporary))
      await rename(temporary, file)
      if (this.sync) await this.syncFolders(folder, made)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {
        // The first error is the one to tell; a temporary file left behind is removed at the next start.
      })
      await this.removeEmptyFolders(folder)
      throw this.failure(`cannot write ${path}`, file, error)
    }
    // rename does nothing when both names are links to the same file, and then the temporary name is still there.
    await rm(temporary, { force: true })
    this.handles.forget(file)
  }

  /** Makes the folder and writes; the topmost folder that had to be made is returned. */
  private async writeInFolder(
    folder: string,
    write: () => Promise<void>,
  ): Promise<string | undefined> {
    let made: string | undefined
    for (let round = 1; ; round++) {
      try {
        made = (await makeFolders(folder)) ?? made
        await write()
        return made
      } catch (error) {
        // Not "and the folder is not there": another writer may have made it again meanwhile.
        if (codeOf(error) !== 'ENOENT' || round === FOLDER_RACES) throw error
      }
    }
  }

  /**
   * fsyncs the object's folder and each parent up to the root, and beyond it where folders were made: a folder that was there
   * before may be one that a process made and died before it was synced.
   */
  private async syncFolders(folder: string, made: string | undefined): Promise<void> {
    const above = made === undefined ? this.root : dirname(resolve(made))
    const last = above.length < this.root.length ? above : this.root
    for (let at = folder; ; at = dirname(at)) {
      await syncPath(at)
      if (at === last || at === dirname(at)) return
    }
  }

  private async children(folder: string) {
    try {
      return await readdir(folder, { withFileTypes: true })
    } catch (error) {
      const code = codeOf(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return []
      throw this.failure('cannot list', folder, error)
    }
  }

  /** An object store has no empty folders, so here neither: `list` would name tenants and blocks that are gone. */
  private async removeEmptyFolders(folder: string): Promise<void> {
    for (let at = folder; at.length > this.root.length; at = dirname(at)) {
      try {
        await rmdir(at)
      } catch {
        return // not empty, or gone already
      }
    }
  }

  /**
   * Removes what writers of earlier processes left. A temporary file of this process is younger than the process;
   * should a clock step hide that, the write in question fails and is tried again, and nothing is lost.
   */
  private async removeStrays(): Promise<void> {
    const startedAt_ms = this.options.clock.now() - process.uptime() * 1000
    let removed = 0
    const sweep = async (folder: string, depth: number): Promise<void> => {
      const entries = await this.children(folder)
      for (const entry of entries) {
        if (!entry.name.startsWith(TEMPORARY) || !entry.isFile()) continue
        const file = join(folder, entry.name)
        const info = await stat(file).catch(() => undefined)
        if (info === undefined || info.ctimeMs >= startedAt_ms) continue
        await rm(file, { force: true })
        removed++
      }
      const below = entries.filter((entry) => entry.isDirectory() && isSegment(entry.name))
      if (depth === 0) return
      await mapBounded(below, FOLDER_CONCURRENCY, (entry) =>
        sweep(join(folder, entry.name), depth - 1),
      )
    }
    await sweep(this.root, 2) // root, tenants, blocks
    if (removed > 0) {
      this.options.log.info('removed unfinished files of an earlier run', {
        removed,
        path: this.root,
      })
    }
  }

  private readFailure(path: string, file: string, error: unknown): BackendError {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR')
      return new ObjectNotFound(path)
    return this.failure(`cannot read ${path}`, file, error)
  }

  private failure(what: string, file: string, error: unknown): BackendError {
    if (error instanceof BackendError) return error
    const code = codeOf(error)
    const retryable = code !== undefined && RETRYABLE.has(code)
    return new BackendError(`${what}: ${fileReason(code, error)} (${file})`, retryable, {
      cause: error,
    })
  }
}

async function tryLink(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target)
    return true
  } catch (error) {
    if (NOT_LINKABLE.has(codeOf(error) ?? '')) return false
    throw error
  }
}

/** fsyncs a file or a folder; Windows has no fsync of folders and needs none. */
async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    if (process.platform === 'win32') return undefined
    throw error
  })
  try {
    await handle?.sync()
  } catch (error) {
    if (process.platform !== 'win32') throw error
  } finally {
    await handle?.close()
  }
}
