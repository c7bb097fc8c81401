/** Owns metas of blocks that exist nowhere, for the tests of lists. */
import type { BlockMeta } from '../../../src/storage/block/encoding.js'

export function blockId(n: number): string {
  return `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
}

export function meta(tenantID: string, n: number, more: Partial<BlockMeta> = {}): BlockMeta {
  return {
    format: 'blockpack1',
    blockID: blockId(n),
    tenantID,
    startTime: '2023-11-14T22:13:20Z',
    endTime: '2023-11-14T22:13:30Z',
    totalObjects: 1,
    totalSpans: 10,
    size: 1000,
    compactionLevel: 0,
    indexPageSize: 0,
    totalRecords: 1,
    bloomShards: 0,
    footerSize: 0,
    replicationFactor: 1,
    ...more,
  }
}
