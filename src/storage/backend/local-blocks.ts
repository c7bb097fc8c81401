/**
 * Owns the complete blocks on local disk: `<root>/<tenant>/<uuid>/`. A block is written in a draft folder and appears by
 * one rename of the folder, so a block that is there is whole; drafts left by a crash are removed at open.
 */
import { mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { BlockMeta, BlockSink, ObjectWriter } from '../block/encoding.js'
import { parseMeta, serializeMeta } from '../block/meta.js'

const META = 'meta.json'
const DRAFT = '.draft'
const DELETED = '.deleted'
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

  /** Every whole block; removes what a crash left half done. */
  async sweep(): Promise<BlockMeta[]> {
    await mkdir(this.root, { recursive: true })
    const found: BlockMeta[] = []
    for (const tenant of await readdir(this.root)) {
      for (const name of await readdir(join(this.root, tenant))) {
        const folder = join(this.root, tenant, name)
        if (name.endsWith(DRAFT) || name.endsWith(DELETED))
          await rm(folder, { recursive: true, force: true })
        else if (UUID.test(name)) found.push(parseMeta(await readFile(join(folder, META)), name))
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

  /** The files of a block, for the upload. */
  async files(tenant: string, blockId: string): Promise<{ name: string; path: string }[]> {
    const folder = join(this.root, tenant, blockId)
    return (await readdir(folder)).map((name) => ({ name, path: join(folder, name) }))
  }

  /** Begins a block; what an earlier try left behind is removed. */
  async begin(tenant: string, blockId: string): Promise<Draft> {
    const target = join(this.root, tenant, blockId)
    const folder = target + DRAFT
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    return new Draft(folder, target, this.#options.fsync)
  }

  /** Deletes a block: it is gone at once, its files soon after. */
  async delete(tenant: string, blockId: string): Promise<void> {
    const folder = join(this.root, tenant, blockId)
    try {
      await rename(folder, folder + DELETED)
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
    const file = await this.create(META)
    await file.write(serializeMeta(meta))
    await file.close()
    if (this.fsync) await syncFolder(this.folder)
    await rename(this.folder, this.target)
    if (this.fsync) await syncFolder(dirname(this.target))
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

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
