/** Owns a folder of blocks for tests of `tempo-actors blocks`: the golden ones of Tempo, our own, and the command run over them. */
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blocksCommand } from '../../src/cli/blocks.js'
// Loaded before a test's time runs: the program loads them when they are asked for.
import '../../src/cli/blocks/analyse.js'
import '../../src/cli/blocks/convert.js'
import '../../src/cli/blocks/find.js'
import '../../src/cli/blocks/list.js'
import '../../src/cli/blocks/search.js'
import '../../src/cli/blocks/verify.js'
import '../../src/cli/blocks/view.js'
import { FakeClock } from '../../src/lib/fake-clock.js'
import type { BlockMeta } from '../../src/storage/block/encoding.js'
import { serializeMeta } from '../../src/storage/block/meta.js'
import { putBlock } from '../storage/compaction/blocks.js'
import { MemoryBackend } from '../support/memory-backend.js'
import type { ResourceSpansObject } from '../support/otlp-objects.js'

const GOLDEN = fileURLToPath(new URL('../fixtures/tempo-blocks/', import.meta.url))

/** The first test of a file may have to compile what it runs. */
export const TIMEOUT_MS = 60_000

/** Ten minutes after the spans of the shop. */
const NOW_MS = 1_700_000_600_000

export interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

export class BlocksFolder {
  private constructor(readonly path: string) {}

  static async make(): Promise<BlocksFolder> {
    return new BlocksFolder(await mkdtemp(join(tmpdir(), 'blocks-cli-')))
  }

  /** A block that Tempo wrote; its id. */
  async addGolden(name: string): Promise<BlockMeta> {
    const from = join(GOLDEN, name)
    const json = await readFile(join(from, 'meta.json'), 'utf8')
    const meta = JSON.parse(json) as BlockMeta
    const to = this.folderOf(meta)
    await mkdir(to, { recursive: true })
    for (const file of await readdir(from)) {
      if (!file.endsWith('.gz')) await cp(join(from, file), join(to, file))
      else
        await writeFile(join(to, file.slice(0, -3)), gunzipSync(await readFile(join(from, file))))
    }
    return meta
  }

  /** A blockpack of these spans. */
  async add(
    blockId: string,
    spans: readonly ResourceSpansObject[],
    change: Partial<BlockMeta> = {},
    tenant = 'shop',
  ): Promise<BlockMeta> {
    const memory = new MemoryBackend()
    const meta = await putBlock(memory, blockId, [[...spans]], change, tenant)
    await mkdir(this.folderOf(meta), { recursive: true })
    for (const [path, bytes] of memory.objects) await writeFile(join(this.path, path), bytes)
    return meta
  }

  folderOf({ tenantID, blockID }: BlockMeta): string {
    return join(this.path, tenantID, blockID)
  }

  file(meta: BlockMeta, name: string): string {
    return join(this.folderOf(meta), name)
  }

  async changeMeta(meta: BlockMeta, change: Partial<BlockMeta>): Promise<void> {
    await writeFile(this.file(meta, 'meta.json'), serializeMeta({ ...meta, ...change }))
  }

  /** Turns one bit of an object over. */
  async flip(meta: BlockMeta, name: string, at: number): Promise<void> {
    const file = this.file(meta, name)
    const bytes = await readFile(file)
    bytes[at]! ^= 1
    await writeFile(file, bytes)
  }

  run(...args: string[]): Promise<Run> {
    return runBlocks([...args, '--path', this.path])
  }

  async json<T>(...args: string[]): Promise<T> {
    const { code, out, err } = await this.run(...args, '--json')
    if (code !== 0) throw new Error(`exit code ${code}: ${err}${out}`)
    return JSON.parse(out) as T
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true })
  }
}

export async function runBlocks(
  args: readonly string[],
  environment: { isTerminal?: boolean; signal?: AbortSignal; clock?: FakeClock } = {},
): Promise<Run> {
  let out = ''
  let err = ''
  const output = { out: (text: string) => void (out += text), err: (text: string) => void (err += text) } // prettier-ignore
  const clock = environment.clock ?? new FakeClock(NOW_MS)
  const code = await blocksCommand(args, { output, isTerminal: false, ...environment, clock })
  return { code, out, err }
}
