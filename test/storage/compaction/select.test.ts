import { describe, expect, it } from 'vitest'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import { formatTime } from '../../../src/storage/block/meta.js'
import { selectBlocks, type SelectOptions } from '../../../src/storage/compaction/select.js'
import { blockId } from './blocks.js'

const HOUR_MS = 3_600_000
/** 40 minutes into a window of an hour. */
const NOW_MS = 1_700_000_000_000 - (1_700_000_000_000 % HOUR_MS) + 40 * 60_000

const OPTIONS: SelectOptions = {
  window_ms: HOUR_MS,
  max_objects: 6_000_000,
  max_block_bytes: 100 * 2 ** 30,
  min_input_blocks: 2,
  max_input_blocks: 4,
  max_level: 0,
}

interface Change extends Partial<BlockMeta> {
  /** How long ago it ended. */
  ago_ms?: number
}

function block(n: number, { ago_ms = 60_000, ...change }: Change = {}): BlockMeta {
  return {
    format: 'blockpack1',
    blockID: blockId(n),
    tenantID: 'a',
    startTime: formatTime(BigInt(NOW_MS - ago_ms - 1000) * 1_000_000n),
    endTime: formatTime(BigInt(NOW_MS - ago_ms) * 1_000_000n),
    totalObjects: 100,
    size: 1000,
    compactionLevel: 0,
    indexPageSize: 0,
    totalRecords: 1,
    bloomShards: 0,
    footerSize: 0,
    replicationFactor: 1,
    ...change,
  }
}

function select(blocks: readonly BlockMeta[], change: Partial<SelectOptions> = {}): number[][] {
  return selectBlocks(blocks, NOW_MS, { ...OPTIONS, ...change }).map((group) =>
    group.map(({ blockID }) => Number(blockID.slice(-12))),
  )
}

/** n blocks that are alike but for the change of each. */
const blocks = (...changes: Change[]) => changes.map((change, i) => block(i + 1, change))

describe('which blocks are merged', () => {
  it.each<[string, BlockMeta[], number[][], Partial<SelectOptions>?]>([
    ['none of one block', blocks({}), []],
    ['two that are alike', blocks({}, {}), [[1, 2]]],
    ['at most four at once', blocks({}, {}, {}, {}, {}, {}, {}), [[1, 2, 3, 4], [5, 6, 7]]],
    ['as many as are asked for', blocks({}, {}, {}, {}, {}, {}), [[1, 2, 3, 4, 5, 6]], { max_input_blocks: 8 }],
    ['no fewer than are asked for', blocks({}, {}), [], { min_input_blocks: 3 }],
    ['the smallest first', blocks({ totalObjects: 9 }, { totalObjects: 1 }, { totalObjects: 5 }), [[2, 3, 1]]],
    ['not over windows', blocks({ ago_ms: 0 }, { ago_ms: HOUR_MS }), []],
    ['over a longer window', blocks({ ago_ms: 0 }, { ago_ms: HOUR_MS }), [[1, 2]], { window_ms: 24 * HOUR_MS }],
    ['newest windows first', blocks({ ago_ms: 2 * HOUR_MS }, { ago_ms: 2 * HOUR_MS }, {}, {}), [[3, 4], [1, 2]]],
    ['not over levels in the last day', blocks({}, { compactionLevel: 1 }), []],
    ['lowest levels first, whatever their window', blocks({ compactionLevel: 1 }, { compactionLevel: 1 }, { ago_ms: 3 * HOUR_MS }, { ago_ms: 3 * HOUR_MS }), [[3, 4], [1, 2]]],
    ['over levels after a day', blocks({ ago_ms: 30 * HOUR_MS, compactionLevel: 3 }, { ago_ms: 30 * HOUR_MS }), [[2, 1]]],
    ['the last day before older ones', blocks({ ago_ms: 30 * HOUR_MS }, { ago_ms: 30 * HOUR_MS }, { compactionLevel: 2 }, { compactionLevel: 2 }), [[3, 4], [1, 2]]],
    ['none of the window that is just a day old', blocks({ ago_ms: 24 * HOUR_MS }, { ago_ms: 24 * HOUR_MS }), []],
    ['not over encodings', blocks({}, { format: 'vParquet4' }, {}, { format: 'vParquet4' }), [[1, 3], [2, 4]]],
    ['not over dedicated columns', blocks({}, { dedicatedColumns: [{ n: 'x' }] }, {}, { dedicatedColumns: [{ n: 'y' }] }), [[1, 3]]],
    ['not over replication factors', blocks({}, { replicationFactor: 0 }), []],
    ['no more traces than a block may have', blocks({}, {}, {}), [[1, 2]], { max_objects: 250 }],
    ['no more bytes than a block may have', blocks({ size: 900 }, { size: 200 }, { size: 300 }), [[2, 3]], { max_block_bytes: 1000 }],
    ['none above the level that is asked for', blocks({ compactionLevel: 2 }, { compactionLevel: 2 }), [], { max_level: 2 }],
  ])('%s', (_, given, expected, change) => {
    expect(select(given, change)).toEqual(expected)
    expect(select([...given].reverse(), change)).toEqual(expected)
  })

  it('is every block once at most', () => {
    const many = Array.from({ length: 500 }, (_, i) =>
      block(i, { ago_ms: (i % 40) * HOUR_MS, compactionLevel: i % 3, totalObjects: (i * 7) % 50 }),
    )
    const ids = select(many).flat()
    expect(new Set(ids).size).toBe(ids.length)
  })
}) // prettier-ignore
