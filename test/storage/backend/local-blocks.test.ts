import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { LocalBlocks } from '../../../src/storage/backend/local-blocks.js'
import { serializeMeta } from '../../../src/storage/block/meta.js'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function root(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-local-blocks-'))
  folders.push(folder)
  return folder
}

const idOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

function metaOf(n: number): BlockMeta {
  return {
    format: 'blockpack1',
    blockID: idOf(n),
    tenantID: 'acme',
    startTime: '2026-01-01T00:00:00Z',
    endTime: '2026-01-01T00:01:00Z',
    size: 1,
  } as BlockMeta
}

it.each([
  ['empty', ''],
  ['cut short', '{"format":"block'],
  ['missing', undefined],
])('serves the other blocks when the meta.json of one is %s after a power cut', async (_, text) => {
  const path = root()
  for (const n of [1, 2]) mkdirSync(join(path, 'acme', idOf(n)), { recursive: true })
  writeFileSync(join(path, 'acme', idOf(1), 'meta.json'), serializeMeta(metaOf(1)))
  const damaged = join(path, 'acme', idOf(2))
  if (text !== undefined) writeFileSync(join(damaged, 'meta.json'), text)
  const told: string[] = []
  const blocks = new LocalBlocks(path, { fsync: false })
  const found = await blocks.sweep((folder) => told.push(folder))
  expect(found.map(({ blockID }) => blockID)).toEqual([idOf(1)])
  expect(told).toEqual([`${damaged}.damaged`])
  expect(existsSync(told[0]!)).toBe(true)
  expect(await blocks.sweep()).toHaveLength(1)
})

it('passes over a file among the tenants, and removes what a crash left half done', async () => {
  const path = root()
  writeFileSync(join(path, '.DS_Store'), 'x')
  for (const end of ['.draft', '.deleted'])
    mkdirSync(join(path, 'acme', idOf(3) + end), { recursive: true })
  expect(await new LocalBlocks(path, { fsync: false }).sweep()).toEqual([])
  expect(existsSync(join(path, 'acme', `${idOf(3)}.draft`))).toBe(false)
  expect(existsSync(join(path, 'acme', `${idOf(3)}.deleted`))).toBe(false)
})
