/**
 * Owns the folder in which merged blocks are written before they are uploaded: `<root>/<tenant>/<block id>/`. The block's folder is there
 * before anything of the block is in the backend and goes after its meta.json is, so what a crash leaves here tells what it left there.
 */
import { mkdir, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlockSink, ObjectWriter } from '../block/encoding.js'

export interface Leftover {
  readonly tenant: string
  readonly blockId: string
  /** When it was begun, as the file system says. */
  readonly begunAt_ms: number
}

export class Scratch {
  constructor(readonly root: string) {}

  /** Begins a block; what an earlier try left is removed. */
  async begin(tenant: string, blockId: string): Promise<ScratchBlock> {
    const folder = join(this.root, tenant, blockId)
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    return new ScratchBlock(folder)
  }

  /** Removes a block's files; its folder stays, for there may be something of it in the backend. */
  async empty(tenant: string, blockId: string): Promise<void> {
    const folder = join(this.root, tenant, blockId)
    for (const name of await namesIn(folder)) await rm(join(folder, name), { force: true })
  }

  /** Nothing of the block is left that would have to be cleared away. */
  async forget(tenant: string, blockId: string): Promise<void> {
    await rm(join(this.root, tenant, blockId), { recursive: true, force: true })
  }

  async leftovers(): Promise<Leftover[]> {
    const found: Leftover[] = []
    for (const tenant of await namesIn(this.root)) {
      for (const blockId of await namesIn(join(this.root, tenant))) {
        const folder = await stat(join(this.root, tenant, blockId)).catch(() => undefined)
        if (folder) found.push({ tenant, blockId, begunAt_ms: folder.mtimeMs })
      }
    }
    return found
  }
}

export class ScratchBlock implements BlockSink {
  readonly #names: string[] = []
  readonly #open = new Set<FileHandle>()

  constructor(private readonly folder: string) {}

  async create(name: string): Promise<ObjectWriter> {
    this.#names.push(name)
    const file = await open(join(this.folder, name), 'w')
    this.#open.add(file)
    return new FileWriter(file, () => this.#open.delete(file))
  }

  /** Closes what a write that failed left open. */
  async close(): Promise<void> {
    for (const file of this.#open) await file.close()
    this.#open.clear()
  }

  files(): { name: string; path: string }[] {
    return this.#names.map((name) => ({ name, path: join(this.folder, name) }))
  }
}

class FileWriter implements ObjectWriter {
  constructor(
    private readonly file: FileHandle,
    private readonly onClose: () => void,
  ) {}

  async write(bytes: Uint8Array): Promise<void> {
    let at = 0
    while (at < bytes.length) at += (await this.file.write(bytes, at)).bytesWritten
  }

  close(): Promise<void> {
    this.onClose()
    return this.file.close()
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
