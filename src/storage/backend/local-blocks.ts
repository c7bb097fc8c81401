/**
 * Owns the complete blocks on local disk: `<root>/<tenant>/<uuid>/`. A block is written in a draft folder and appears by
 * one rename of the folder, so a block that is there is whole; drafts left by a crash are removed at open.
 */
import { open, readdir, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeFolders, syncUpwards } from '../../lib/durable-folders.js'
import { failpoint } from '../../lib/failpoints.js'
import {
  CorruptBlock,
  type BlockMeta,
  type BlockSink,
  type ObjectWriter,
} from '../block/encoding.js'
import { parseMeta, serializeMeta } from '../block/meta.js'

const META = 'meta.json'
/** The object whose bytes meta.json counts: `data.blockpack`, `data.parquet`. Blooms and an index stand beside it. */
const DATA = 'data.'
const DRAFT = '.draft'
const DELETED = '.deleted'
/** Kept for a person to look at; its records are gone from the WAL by then, or become a block again. */
const DAMAGED = '.damaged'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export interface LocalBlocksOptions {
  /** Sync files and folders, so that a block survives power loss once `complete` has resolved. */
  readonly fsync: boolean
}

export class LocalBlocks {
  readonly root: string
  readonly #options: LocalBlocksOptions

  constructor(root: string, options: LocalBlocksOptions) {
    this.root = root
    this.#options = options
  }

  /**
   * Every whole block; removes what a crash left half done. After a power cut a block may have lost what was not synced:
   * one whose meta.json cannot be used, or whose files are shorter than it says, is set aside and told to
   * `onDamaged`, so that the others are served.
   */
  async sweep(
    onDamaged: (folder: string, error: unknown) => void = () => undefined,
  ): Promise<BlockMeta[]> {
    await makeFolders(this.root)
    if (this.#options.fsync) syncUpwards(this.root)
    const found: BlockMeta[] = []
    for (const tenant of await readdir(this.root, { withFileTypes: true })) {
      if (!tenant.isDirectory()) continue
      for (const name of await readdir(join(this.root, tenant.name))) {
        const folder = join(this.root, tenant.name, name)
        if (name.endsWith(DRAFT) || name.endsWith(DELETED))
          await rm(folder, { recursive: true, force: true })
        else if (UUID.test(name)) {
          const meta = await this.#metaOrAside(folder, name, onDamaged)
          if (meta) found.push(meta)
        }
      }
    }
    return found
  }

  /** The meta.json of a block; undefined when the block is not there. */
  async meta(tenant: string, blockId: string): Promise<BlockMeta | undefined> {
    try {
      return parseMeta(await readFile(join(this.root, tenant, blockId, META)), blockId)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async #metaOrAside(
    folder: string,
    blockId: string,
    onDamaged: (folder: string, error: unknown) => void,
  ): Promise<BlockMeta | undefined> {
    try {
      const meta = parseMeta(await readFile(join(folder, META)), blockId)
      await mustHaveSize(folder, await readdir(folder), meta)
      return meta
    } catch (error) {
      const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (!isGone && !(error instanceof CorruptBlock)) throw error
      await rm(folder + DAMAGED, { recursive: true, force: true })
      await rename(folder, folder + DAMAGED)
      onDamaged(folder + DAMAGED, error)
      return undefined
    }
  }

  /** The files of a block, for the upload; throws `CorruptBlock` when they are shorter than meta.json says. */
  async files(tenant: string, blockId: string): Promise<{ name: string; path: string }[]> {
    const folder = join(this.root, tenant, blockId)
    const names = await readdir(folder)
    if (names.includes(META)) {
      await mustHaveSize(folder, names, parseMeta(await readFile(join(folder, META)), blockId))
    }
    return names.map((name) => ({ name, path: join(folder, name) }))
  }

  /** Begins a block; what an earlier try left behind is removed. */
  async begin(tenant: string, blockId: string): Promise<Draft> {
    const target = join(this.root, tenant, blockId)
    const folder = target + DRAFT
    await rm(folder, { recursive: true, force: true })
    failpoint('block.write.before', folder)
    await makeFolders(folder)
    return new Draft(folder, target, this.#options.fsync)
  }

  /** Deletes a block: it is gone at once, its files soon after. */
  async delete(tenant: string, blockId: string): Promise<void> {
    const folder = join(this.root, tenant, blockId)
    try {
      failpoint('local.delete.before', folder)
      await rename(folder, folder + DELETED)
      failpoint('local.delete.renamed', folder)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    await rm(folder + DELETED, { recursive: true, force: true })
  }
}

/** A block being written. */
export class Draft implements BlockSink {
  constructor(
    private readonly folder: string,
    private readonly target: string,
    private readonly fsync: boolean,
  ) {}

  async create(name: string): Promise<ObjectWriter> {
    return new FileWriter(await open(join(this.folder, name), 'w'), this.fsync)
  }

  /** Writes meta.json and makes the block appear. */
  async complete(meta: BlockMeta): Promise<void> {
    failpoint('block.meta.before', this.target)
    const file = await this.create(META)
    await file.write(serializeMeta(meta))
    await file.close()
    if (this.fsync) await syncFolder(this.folder)
    failpoint('block.meta.after', this.target)
    await rename(this.folder, this.target)
    if (this.fsync) {
      const tenant = dirname(this.target)
      await syncFolder(tenant)
      // Of a new tenant the folder itself is a new name.
      await syncFolder(dirname(tenant))
    }
    failpoint('block.rename.after', this.target)
  }

  async discard(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}

class FileWriter implements ObjectWriter {
  constructor(
    private readonly file: FileHandle,
    private readonly fsync: boolean,
  ) {}

  async write(bytes: Uint8Array): Promise<void> {
    let at = 0
    while (at < bytes.length) at += (await this.file.write(bytes, at)).bytesWritten
  }

  async close(): Promise<void> {
    try {
      if (this.fsync) await this.file.sync()
    } finally {
      await this.file.close()
    }
  }
}

/** A disk that lost its power may keep a file's name and lose its end. */
async function mustHaveSize(
  folder: string,
  names: readonly string[],
  meta: BlockMeta,
): Promise<void> {
  let size_bytes = 0
  for (const name of names) {
    if (name.startsWith(DATA)) size_bytes += (await stat(join(folder, name))).size
  }
  if (size_bytes >= meta.size) return
  const detail = `the data in ${folder} has ${size_bytes} bytes, meta.json says ${meta.size}`
  throw new CorruptBlock(meta.blockID, 'data', size_bytes, detail)
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
