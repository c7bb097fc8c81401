/** What a backend gives may be a cache's, which gives the same bytes to others: readers of blocks must not write into them. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import type { Column, ColumnSource, RowGroup } from '../../src/otlp/columns.js'
import type { BackendReader } from '../../src/storage/backend/backend.js'
import { ReadCache } from '../../src/storage/backend/read-cache.js'
import { assembleTrace } from '../../src/storage/block/assemble.js'
import { FIELDS } from '../../src/storage/block/blockpack-format.js'
import type { BlockMeta } from '../../src/storage/block/encoding.js'
import { isBlockData, openBlock } from '../../src/storage/block/registry.js'
import { MemoryBackend } from '../support/memory-backend.js'
import { memorySource } from '../support/memory-source.js'
import { decodeTraces, lengthDelimited } from '../support/otlp-objects.js'
import { blockIdOf, headOf, makeBlock } from '../support/vparquet-blocks.js'
import { build, groupsOf } from './block/blocks.js'
import { tempoBlock } from './vparquet/tempo-blocks.js'

const EDGE = [...lengthDelimited(readFileSync(new URL('../fixtures/edge.bin', import.meta.url)))]
const TRACES = 12

interface Stored {
  readonly meta: BlockMeta
  readonly backend: MemoryBackend
}

async function ownParquet(): Promise<Stored> {
  const made = await makeBlock('vParquet4', headOf(EDGE, blockIdOf('shared-bytes')))
  const backend = new MemoryBackend()
  for (const [name, bytes] of made.objects) {
    backend.objects.set(`${made.meta.tenantID}/${made.meta.blockID}/${name}`, bytes)
  }
  return { meta: made.meta, backend }
}

const BLOCKS: readonly [name: string, make: () => Stored | Promise<Stored>][] = [
  ['blockpack', () => build(groupsOf(memorySource(EDGE.flatMap((bytes) => decodeTraces(bytes)))))],
  ['vParquet4 of ours', ownParquet],
  ['vParquet4 of Tempo', () => tempoBlock('vparquet4-edge')],
  ['vParquet5 of Tempo', () => tempoBlock('vparquet5-edge')],
]

/** What a source gives, as a digest: comparing millions of values one by one takes minutes. */
class Digest {
  readonly #hash = createHash('sha256')

  add(value: unknown): void {
    if (ArrayBuffer.isView(value)) {
      this.#hash.update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    } else this.#hash.update(JSON.stringify([value]))
  }

  addColumn(column: Column | undefined): void {
    if (column && 'dictionary' in column) {
      const { codes, dictionary } = column
      const texts = new Map(
        [...new Set(codes)].map((code) => [code, code && dictionary.text(code)]),
      )
      this.add([...codes].map((code) => texts.get(code)))
    } else for (const value of Object.values(column ?? {})) this.add(value)
  }

  async addGroup(group: RowGroup): Promise<void> {
    for (const parents of Object.values(await group.parents())) this.add(parents)
    for (const level of ['event', 'link'] as const) this.add(await group.offsets(level))
    const fields = await Promise.all(FIELDS.map(([name]) => group.field(name)))
    for (const field of fields) this.addColumn(field)
    for (const level of ['resource', 'scope', 'span', 'event', 'link'] as const) {
      for (const key of await group.attributes(level)) {
        this.add(key)
        this.addColumn(await group.attribute(key))
      }
    }
  }

  toString(): string {
    return this.#hash.digest('hex')
  }
}

/** Every column of every row, some traces by id, and filters. */
async function readAll(source: ColumnSource): Promise<string> {
  const digest = new Digest()
  const ids: Uint8Array[] = []
  for await (const group of groupsOf(source)) {
    await digest.addGroup(group)
    const { bytes } = (await group.field('trace.id'))!
    for (let at = 0; at < bytes.length; at += 16) ids.push(bytes.subarray(at, at + 16))
  }
  for (const id of ids.filter((_, i) => i % Math.ceil(ids.length / TRACES) === 0)) {
    const place = (await source.locate(id))!
    digest.add(await assembleTrace(await source.group(place.group), place.row))
  }
  const filter = await source.traceFilter?.()
  digest.add(filter?.mayHave(ids[0]!))
  await source.close()
  return digest.toString()
}

/** Gives views of the one object there is. */
function baring({ objects }: MemoryBackend): BackendReader {
  return {
    get: (path) => Promise.resolve(objects.get(path)!.subarray()),
    getRange: (path, offset, length) =>
      Promise.resolve(objects.get(path)!.subarray(offset, offset + length)),
  }
}

it.each(BLOCKS)('a reader of %s leaves what it was given as it was', async (_, make) => {
  const { meta, backend } = await make()
  const before = new Map([...backend.objects].map(([path, bytes]) => [path, bytes.slice()]))
  await readAll(await openBlock(meta, baring(backend)))
  for (const [path, bytes] of backend.objects) {
    expect(Buffer.compare(bytes, before.get(path)!), path).toBe(0)
  }
})

it.each(BLOCKS)('%s reads the same out of a cache, and asks for nothing more', async (_, make) => {
  const { meta, backend } = await make()
  const cache = new ReadCache(backend, { max_bytes: 256 * 2 ** 20, isImmutable: isBlockData })
  const uncached = await readAll(await openBlock(meta, backend))
  const plain = backend.reads
  const first = await readAll(await openBlock(meta, cache))
  const { length: calls } = backend.calls
  // Merged as without a cache.
  expect(backend.reads - plain).toBeLessThanOrEqual(plain)
  const second = await readAll(await openBlock(meta, cache))
  expect(backend.calls).toHaveLength(calls)
  expect([first, second]).toEqual([uncached, uncached])
})

it.each(BLOCKS)(
  'what is kept of an open %s is a copy: no read is held for a part of it',
  async (_, make) => {
    const { meta, backend } = await make()
    const given: Buffer[] = []
    const give = (bytes: Uint8Array) => given[given.push(Buffer.from(bytes)) - 1]!
    const reader: BackendReader = {
      get: async (path) => give(await backend.get(path)),
      getRange: async (path, offset, length) => give(await backend.getRange(path, offset, length)),
    }
    const scribble = () => {
      for (const bytes of given.splice(0)) bytes.fill(0xa5)
    }
    const source = await openBlock(meta, reader)
    const filter = await source.traceFilter?.()
    scribble()
    const { bytes } = (await (await source.group(0)).field('trace.id'))!
    for (let at = 0; at < bytes.length; at += 16) {
      expect(filter?.mayHave(bytes.subarray(at, at + 16)) ?? true).toBe(true)
    }
    scribble()
    expect(await readAll(source)).toBe(await readAll(await openBlock(meta, backend)))
  },
)
