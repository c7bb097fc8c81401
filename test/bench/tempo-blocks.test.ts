import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { flushedBlocks } from '../../src/bench/tempo-blocks.js'

describe('what Tempo has flushed', () => {
  let folder: string
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'bench-blocks-'))))
  afterEach(() => rmSync(folder, { recursive: true }))

  const block = (name: string, files: Record<string, string>) => {
    mkdirSync(join(folder, name), { recursive: true })
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, name, file), text)
  }
  const meta = (totalObjects: number, compactionLevel?: number) =>
    JSON.stringify({ totalObjects, ...(compactionLevel !== undefined && { compactionLevel }) })

  it('is nothing before the first block', () => {
    expect(flushedBlocks(folder)).toEqual({ blocks: 0, traces: 0, bytes: 0, format: '' })
    expect(flushedBlocks(join(folder, 'not-there')).blocks).toBe(0)
  })

  it('is the traces and all bytes of whole blocks, over the tenants; other files are none', () => {
    block('one/a', { 'meta.json': meta(3), 'data.parquet': 'x'.repeat(100) })
    block('two/b', { 'meta.json': meta(4, 0), 'bloom-0': 'yy' })
    writeFileSync(join(folder, 'one', 'index.json.gz'), 'index')
    const metas = meta(3).length + meta(4, 0).length
    expect(flushedBlocks(folder)).toEqual({ blocks: 2, traces: 7, bytes: 102 + metas, format: '' })
  })

  it('leaves out a block whose meta.json is not there yet or half written', () => {
    block('one/a', { 'data.parquet': 'x' })
    block('one/b', { 'data.parquet': 'x', 'meta.json': meta(3).slice(0, 5) })
    expect(flushedBlocks(folder).blocks).toBe(0)
  })

  it('counts a merged block by what it was merged from, never twice', () => {
    block('one/a', { 'meta.compacted.json': meta(3) })
    block('one/b', { 'meta.json': meta(4) })
    block('one/c', { 'meta.json': meta(7, 1), 'data.parquet': 'x'.repeat(1000) })
    const { traces, bytes } = flushedBlocks(folder)
    expect(traces).toBe(7)
    expect(bytes).toBeLessThan(1000)
  })
})
