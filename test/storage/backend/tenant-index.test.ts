import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { beforeEach, describe, expect, it } from 'vitest'
import { ObjectNotFound } from '../../../src/storage/backend/backend.js'
import {
  INDEX_JSON,
  INDEX_PROTO,
  NoTenantIndex,
  newIndex,
  readTenantIndex,
  writeTenantIndex,
  type TenantIndex,
} from '../../../src/storage/backend/tenant-index.js'
import { compress } from '../../../src/storage/block/zstd.js'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { Random } from '../../support/random.js'
import { blockId } from '../compaction/blocks.js'

const NOW_MS = 1_700_000_000_000
const ANY = { now_ms: NOW_MS, stale_ms: 0 }

const meta = (n: number, change: Partial<BlockMeta> = {}): BlockMeta => ({
  format: 'vParquet4',
  blockID: blockId(n),
  tenantID: 'a',
  startTime: '2026-01-01T00:00:00Z',
  endTime: '2026-01-01T00:01:00.5Z',
  totalObjects: 12,
  size: 2 ** 40 + n,
  compactionLevel: 3,
  indexPageSize: 0,
  totalRecords: 4,
  bloomShards: 2,
  footerSize: 99,
  replicationFactor: 1,
  ...change,
})

const INDEX: TenantIndex = newIndex(
  NOW_MS,
  [
    meta(1, { dedicatedColumns: [{ n: 'x' }, { s: 'resource', n: 'y', t: 'int', o: ['array'] }] }),
    meta(2, { format: 'blockpack1', totalSpans: 77, compactedFrom: [blockId(8), blockId(9)] }),
  ],
  [{ ...meta(3), compactedTime: '2026-01-02T03:04:05.006Z' }],
)

describe('a tenant index', () => {
  let backend: MemoryBackend
  beforeEach(() => {
    backend = new MemoryBackend()
  })

  it('is the same in both forms, and has all that a poll needs', async () => {
    await writeTenantIndex(backend, 'a', INDEX)
    expect([...backend.objects.keys()]).toEqual([`a/${INDEX_PROTO}`, `a/${INDEX_JSON}`])
    expect(await readTenantIndex(backend, 'a', ANY)).toEqual(INDEX)
    backend.objects.delete(`a/${INDEX_PROTO}`)
    expect(await readTenantIndex(backend, 'a', ANY)).toEqual(INDEX)
  })

  it('that Tempo 3 wrote is read, in both forms', async () => {
    const recorded = (name: string) =>
      readFileSync(new URL(`../../fixtures/tenant-index/${name}`, import.meta.url))
    const read: TenantIndex[] = []
    for (const name of [INDEX_PROTO, INDEX_JSON]) {
      backend.objects.clear()
      backend.objects.set(`single-tenant/${name}`, recorded(name))
      read.push(await readTenantIndex(backend, 'single-tenant', ANY))
    }
    const [proto, json] = read
    expect(proto!.metas).toEqual(json!.metas)
    expect(proto!.metas.map(({ format, dedicatedColumns = [] }) => [format, dedicatedColumns.length])).toEqual([['vParquet4', 0], ['vParquet5', 14]]) // prettier-ignore
    expect(proto!.metas[1]).toMatchObject({
      blockID: 'f507e93f-95a2-4aa7-9fc6-8adc22755d9a',
      endTime: '2262-04-11T23:47:16.854775807Z',
      totalObjects: 1508,
      size: 215_065,
      bloomShards: 1,
      footerSize: 13_704,
      replicationFactor: 1,
    })
    expect(proto!.createdAt.slice(0, 19)).toBe('2026-11-21T18:26:16')
    expect(proto!.compacted).toEqual([])
  })

  it('of no blocks is deleted', async () => {
    await writeTenantIndex(backend, 'a', INDEX)
    await writeTenantIndex(backend, 'a', newIndex(NOW_MS, [], []))
    expect(backend.objects.size).toBe(0)
    await expect(readTenantIndex(backend, 'a', ANY)).rejects.toThrow(NoTenantIndex)
  })

  it('is not believed when it is too old, unless any age will do', async () => {
    await writeTenantIndex(backend, 'a', INDEX)
    const later = { now_ms: NOW_MS + 60_001, stale_ms: 60_000 }
    await expect(readTenantIndex(backend, 'a', later)).rejects.toThrow(/written at 2023/)
    await expect(readTenantIndex(backend, 'a', { ...later, stale_ms: 0 })).resolves.toBeDefined()
  })

  it('reads the lists of nothing that Go writes as null', async () => {
    const json = { created_at: '2026-01-01T00:00:00Z', meta: [meta(1)], compacted: null }
    await backend.put(`a/${INDEX_JSON}`, gzipSync(JSON.stringify(json)))
    expect((await readTenantIndex(backend, 'a', ANY)).compacted).toEqual([])
  })

  it('is not used when it lists another tenant’s block', async () => {
    await writeTenantIndex(backend, 'a', newIndex(NOW_MS, [meta(1, { tenantID: 'b' })], []))
    await expect(readTenantIndex(backend, 'a', ANY)).rejects.toThrow(/tenantID is b/)
  })

  it('that is broken is told as one that cannot be used, whatever is broken', async () => {
    await writeTenantIndex(backend, 'a', INDEX)
    const random = new Random(1)
    const whole = backend.objects.get(`a/${INDEX_PROTO}`)!
    let refused = 0
    for (let i = 0; i < 500; i++) {
      const bytes = whole.slice()
      for (let n = 1 + random.below(4); n > 0; n--)
        bytes[random.below(bytes.length)] = random.bits()
      backend.objects.set(`a/${INDEX_PROTO}`, bytes)
      const read = readTenantIndex(backend, 'a', ANY)
      await read.catch((error: unknown) => {
        refused++
        expect(error).toBeInstanceOf(NoTenantIndex)
      })
    }
    expect(refused).toBeGreaterThan(100)
  })

  it('passes over fields that it does not know', async () => {
    await writeTenantIndex(backend, 'a', INDEX)
    const { decodeIndexProto, encodeIndexProto } =
      await import('../../../src/storage/backend/tenant-index-proto.js')
    const more = Buffer.concat([encodeIndexProto(INDEX), Buffer.from([0xfa, 0x7f, 2, 1, 2, 0xf0, 0x7f, 5])]) // prettier-ignore
    expect(decodeIndexProto(more)).toEqual(INDEX)
    await backend.put(`a/${INDEX_PROTO}`, compress(more))
    expect(await readTenantIndex(backend, 'a', ANY)).toEqual(INDEX)
  })

  it('that cannot be fetched is another fault: the backend’s', async () => {
    backend.fault = () => {
      throw new ObjectNotFound('x')
    }
    await expect(readTenantIndex(backend, 'a', ANY)).rejects.toThrow(NoTenantIndex)
    backend.fault = () => {
      throw new TypeError('down')
    }
    await expect(readTenantIndex(backend, 'a', ANY)).rejects.toThrow(/down/)
  })
})
