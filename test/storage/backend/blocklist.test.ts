import { beforeEach, describe, expect, it } from 'vitest'
import { createLog, silentLog } from '../../../src/lib/log.js'
import { BackendError } from '../../../src/storage/backend/backend.js'
import {
  emptyBlocklist,
  metasByTenant,
  pollBlocklist,
  type Blocklist,
} from '../../../src/storage/backend/blocklist.js'
import { MemoryBackend } from '../../support/memory-backend.js'

const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const json = (value: unknown) => Buffer.from(JSON.stringify(value))

function meta(tenant: string, block: string, more: object = {}): Uint8Array {
  return json({
    format: 'blockpack1',
    blockID: block,
    tenantID: tenant,
    startTime: '2026-01-01T00:00:00Z',
    endTime: '2026-01-01T00:01:00.5Z',
    totalObjects: 12,
    size: 3456,
    replicationFactor: 1,
    ...more,
  })
}

describe('pollBlocklist', () => {
  let backend: MemoryBackend
  let lines: string[]
  const poll = (previous: Blocklist = emptyBlocklist) =>
    pollBlocklist(backend, previous, { log: createLog({ write: (line) => lines.push(line) }) })
  const putBlock = async (tenant: string, n: number, more: object = {}) => {
    await backend.put(`${tenant}/${id(n)}/data.blockpack`, Buffer.from('x'))
    await backend.put(`${tenant}/${id(n)}/meta.json`, meta(tenant, id(n), more))
  }
  const blocksOf = (list: Blocklist, tenant: string) => [
    ...(list.tenants.get(tenant)?.metas.keys() ?? []),
  ]

  beforeEach(() => {
    backend = new MemoryBackend()
    lines = []
  })

  it('finds every block of every tenant, and nothing in an empty backend', async () => {
    expect((await poll()).tenants.size).toBe(0)
    await putBlock('a', 2)
    await putBlock('a', 1)
    await putBlock('b', 3)
    const list = await poll()
    expect(blocksOf(list, 'a')).toEqual([id(1), id(2)])
    expect(blocksOf(list, 'b')).toEqual([id(3)])
    expect(list.tenants.get('a')?.metas.get(id(1))).toMatchObject({
      format: 'blockpack1',
      size: 3456,
      compactionLevel: 0,
      bloomShards: 0,
    })
  })

  it('gives the metas by tenant, also of a tenant with an unlucky name', async () => {
    await putBlock('__proto__', 1)
    const metas = metasByTenant(await poll())
    expect(Object.keys(metas)).toEqual(['__proto__'])
    expect(Object.values(metas)[0]?.map((one) => one.blockID)).toEqual([id(1)])
  })

  describe('when a part of the backend cannot be read', () => {
    const failAt = (path: string) => {
      backend.fault = (_, at) => {
        if (at.startsWith(path)) throw new BackendError('slow down', true)
      }
    }
    const unread = (list: Blocklist) => [...list.unread]

    it('names the tenants that were never listed, as long as they are not', async () => {
      for (const tenant of ['a', 'b', 'c']) await putBlock(tenant, 1)
      failAt('b')
      const first = await poll()
      expect([...first.tenants.keys()]).toEqual(['a', 'c'])
      expect(unread(first)).toEqual(['b'])
      const second = await poll(first)
      expect(unread(second)).toEqual(['b'])
      backend.fault = () => {}
      const third = await poll(second)
      expect([unread(third), blocksOf(third, 'b')]).toEqual([[], [id(1)]])
    })

    it('keeps the last list of a tenant: it is old, but nothing is missing', async () => {
      for (const tenant of ['a', 'b']) await putBlock(tenant, 1)
      const first = await poll()
      failAt('b')
      const second = await poll(first)
      expect([unread(second), blocksOf(second, 'b'), second.failures.length]).toEqual([[], [id(1)], 1]) // prettier-ignore
    })

    it('misses a block whose meta.json cannot be read, also after a list that fails', async () => {
      await putBlock('a', 1)
      await putBlock('a', 2)
      failAt(`a/${id(2)}`)
      const first = await poll()
      expect([unread(first), blocksOf(first, 'a')]).toEqual([['a'], [id(1)]])
      failAt('a')
      expect(unread(await poll(first))).toEqual(['a'])
    })
  })

  it('does not list a block that is still being written', async () => {
    await putBlock('a', 1)
    await backend.put(`a/${id(2)}/data.blockpack`, Buffer.from('x'))
    await backend.put(`a/${id(2)}/nocompact.flg`, Buffer.from(''))
    expect(blocksOf(await poll(), 'a')).toEqual([id(1)])
  })

  it('reads the meta of new blocks only, and keeps what did not change', async () => {
    for (let n = 1; n <= 50; n++) await putBlock('a', n)
    await putBlock('b', 51)
    const first = await poll()
    expect(first.metasRead).toBe(51)
    const second = await poll(first)
    expect(second.metasRead).toBe(0)
    expect(second.tenants.get('a')).toBe(first.tenants.get('a'))
    await putBlock('a', 60)
    const third = await poll(second)
    expect(third.metasRead).toBe(1)
    expect(third.tenants.get('a')).not.toBe(first.tenants.get('a'))
    expect(third.tenants.get('a')?.metas.get(id(1))).toBe(first.tenants.get('a')?.metas.get(id(1)))
    expect(third.tenants.get('b')).toBe(first.tenants.get('b'))
  })

  it('drops a block that was deleted', async () => {
    await putBlock('a', 1)
    await putBlock('a', 2)
    const first = await poll()
    await backend.deleteBlock('a', id(1))
    expect(blocksOf(await poll(first), 'a')).toEqual([id(2)])
  })

  it('sees the replacement of a block that is marked between two pages of a listing', async () => {
    await putBlock('a', 2)
    const first = await poll()
    let isFirst = true
    const listBlocks = backend.listBlocks.bind(backend)
    backend.listBlocks = async (tenant) => {
      const listed = await listBlocks(tenant)
      if (!isFirst) return listed
      isFirst = false
      // The page with block 1 was read before it was there; the one with block 2 after its mark.
      await putBlock('a', 1)
      await backend.put(`a/${id(2)}/meta.compacted.json`, meta('a', id(2)))
      return new Map([[id(2), ['data.blockpack', 'meta.compacted.json', 'meta.json']]])
    }
    expect(blocksOf(await poll(first), 'a')).toEqual([id(1)])
  })

  it('drops a block that compaction replaced although its folder and its old meta.json are there', async () => {
    await putBlock('a', 1)
    await putBlock('a', 2)
    const first = await poll()
    await backend.put(`a/${id(1)}/meta.compacted.json`, meta('a', id(1)))
    const second = await poll(first)
    expect(blocksOf(second, 'a')).toEqual([id(2)])
    expect([...(second.tenants.get('a')?.compacted ?? [])]).toEqual([id(1)])
    expect([...(second.tenants.get('a')?.halfMarked ?? [])]).toEqual([id(1)])
    await backend.delete(`a/${id(1)}/meta.json`)
    const third = await poll(second)
    expect([...(third.tenants.get('a')?.halfMarked ?? [])]).toEqual([])
    expect((await poll(third)).tenants.get('a')).toBe(third.tenants.get('a'))
  })

  it('tells which blocks must not be compacted', async () => {
    await putBlock('a', 1)
    await backend.put(`a/${id(1)}/nocompact.flg`, Buffer.from(''))
    const first = await poll()
    expect([...(first.tenants.get('a')?.nocompact ?? [])]).toEqual([id(1)])
    await backend.delete(`a/${id(1)}/nocompact.flg`)
    const second = await poll(first)
    expect(second.tenants.get('a')?.nocompact.size).toBe(0)
    expect(second.metasRead).toBe(0)
  })

  const garbage: [name: string, body: Uint8Array, reason: string][] = [
    ['no JSON', Buffer.from('{"format": "blockpa'), 'meta.json at byte 19: is not JSON'],
    ['empty', Buffer.from(''), 'meta.json at byte 0: is empty'],
    ['a list', json([]), 'is no JSON object'],
    ['another block', meta('a', id(9)), `blockID is ${id(9)}`],
    ['another tenant', meta('b', id(1)), 'its tenantID is "b"'],
    ['no format', meta('a', id(1), { format: '' }), 'format is no text'],
    ['a bad time', meta('a', id(1), { endTime: 'soon' }), 'endTime is no RFC 3339 time'],
    ['a bad count', meta('a', id(1), { size: '12' }), 'size is no count'],
    ['a negative count', meta('a', id(1), { totalRecords: -1 }), 'totalRecords is no count'],
  ]
  it.each(garbage)(
    'passes over a meta.json that is %s, says so once, and lists the rest',
    async (_name, body, reason) => {
      await putBlock('a', 2)
      await backend.put(`a/${id(1)}/meta.json`, body)
      const first = await poll()
      expect(blocksOf(first, 'a')).toEqual([id(2)])
      expect(first.rejected.get(`a/${id(1)}`)).toContain(reason)
      expect(lines).toHaveLength(1)
      const second = await poll(first)
      expect(lines).toHaveLength(1)
      await putBlock('a', 1)
      const third = await poll(second)
      expect(blocksOf(third, 'a')).toEqual([id(1), id(2)])
      expect(third.rejected.size).toBe(0)
    },
  )

  it('passes over folders that are no blocks and tenants that have none', async () => {
    await putBlock('a', 1)
    await backend.put('a/not-a-block/meta.json', Buffer.from('{}'))
    await backend.put('a/index.json.gz', Buffer.from('x'))
    await backend.put('overrides/a/overrides.json', Buffer.from('{}'))
    await backend.put('tempo_cluster_seed.json', Buffer.from('{}'))
    const list = await poll()
    expect([...list.tenants.keys()]).toEqual(['a'])
    expect(blocksOf(list, 'a')).toEqual([id(1)])
    expect(list.rejected.size).toBe(0)
  })

  it("keeps a tenant's blocks when it cannot be listed, and lists the other tenants", async () => {
    await putBlock('a', 1)
    await putBlock('b', 2)
    const first = await poll()
    await putBlock('b', 3)
    backend.fault = (operation, path) => {
      if (operation === 'listBlocks' && path === 'a') throw new BackendError('slow down', true)
    }
    const second = await poll(first)
    expect(second.tenants.get('a')).toBe(first.tenants.get('a'))
    expect(blocksOf(second, 'b')).toEqual([id(2), id(3)])
    expect(second.failures.map((failure) => failure.message)).toEqual(['slow down'])
  })

  it('finds a block in the next poll when its meta.json could not be read in this one', async () => {
    await putBlock('a', 1)
    await putBlock('a', 2)
    backend.fault = (operation, path) => {
      if (operation === 'get' && path.includes(id(1))) throw new BackendError('timeout', true)
    }
    const first = await poll()
    expect(blocksOf(first, 'a')).toEqual([id(2)])
    expect(first.failures).toHaveLength(1)
    backend.fault = () => {}
    expect(blocksOf(await poll(first), 'a')).toEqual([id(1), id(2)])
  })

  it('does not mind a block that is deleted between the listing and the reading', async () => {
    await putBlock('a', 1)
    await putBlock('a', 2)
    backend.fault = (operation) => {
      if (operation === 'listBlocks')
        queueMicrotask(() => backend.objects.delete(`a/${id(1)}/meta.json`))
    }
    const list = await poll()
    expect(blocksOf(list, 'a')).toEqual([id(2)])
    expect(list.failures).toEqual([])
    expect(list.rejected.size).toBe(0)
  })

  it('throws when the tenants cannot be listed, so that the caller keeps its list', async () => {
    backend.fault = (operation) => {
      if (operation === 'list') throw new BackendError('down', true)
    }
    await expect(poll()).rejects.toThrow('down')
  })

  it('does not hide a bug as a failure of the backend', async () => {
    await putBlock('a', 1)
    backend.fault = (operation) => {
      if (operation === 'listBlocks') throw new TypeError('a bug')
    }
    await expect(poll()).rejects.toThrow(TypeError)
  })

  it('reads no more metas at once than it may', async () => {
    for (let n = 1; n <= 40; n++) await putBlock('a', n)
    let running = 0
    let most = 0
    backend.fault = async (operation) => {
      if (operation !== 'get') return
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
    }
    const options = { log: silentLog, meta_concurrency: 3 }
    await pollBlocklist(backend, emptyBlocklist, options)
    expect(most).toBe(3)
  })
})
