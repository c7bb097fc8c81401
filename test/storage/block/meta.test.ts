import { describe, expect, test } from 'vitest'
import {
  formatTime,
  parseMeta,
  parseTime_ns,
  serializeMeta,
} from '../../../src/storage/block/meta.js'
import { encodingNamed, encodingOf } from '../../../src/storage/block/registry.js'
import { memorySource } from '../../support/memory-source.js'
import { shopTraces } from '../../support/shop-traces.js'
import { BLOCK_ID, build, groupsOf } from './blocks.js'

describe('meta.json', () => {
  test('of a written block it says what is in it, and comes back equal', async () => {
    const source = memorySource(shopTraces({ traces: 5 }))
    const { meta, data } = await build(groupsOf(source))
    expect(meta).toMatchObject({
      format: 'blockpack1',
      totalObjects: 5,
      totalSpans: source.spanCount,
      size: data.length,
      replicationFactor: 1,
    })
    expect(parseTime_ns(meta.startTime)).toBe(source.minStart_ns)
    expect(parseTime_ns(meta.endTime)).toBe(source.maxEnd_ns)
    expect(parseMeta(serializeMeta(meta), BLOCK_ID)).toEqual(meta)
  })

  test('every fault is named at once', () => {
    const bytes = Buffer.from(JSON.stringify({ format: '', blockID: 'x', tenantID: 't', startTime: 'now', size: -1 })) // prettier-ignore
    expect(() => parseMeta(bytes, BLOCK_ID)).toThrow(
      /meta.json at byte 0: format is no text; blockID is no UUID; startTime is no RFC 3339 time; endTime is no text; size is no count/,
    )
    expect(() => parseMeta(Buffer.from('{'), BLOCK_ID)).toThrow('meta.json at byte 0')
    expect(() => parseMeta(Buffer.from('[]'), BLOCK_ID)).toThrow('is no JSON object')
  })

  test('a meta.json of another block is refused, unknown keys are kept', async () => {
    const { meta } = await build(groupsOf(memorySource(shopTraces({ traces: 1 }))))
    const other = { ...meta, blockID: '99999999-2222-4333-8444-555555555555' }
    expect(() => parseMeta(serializeMeta(other), BLOCK_ID)).toThrow('blockID is 99999999')
    const more = { ...meta, somethingNewer: [{ name: 'x' }] }
    expect(parseMeta(serializeMeta(more), BLOCK_ID)).toEqual(more)
  })
})

test('times keep their nanoseconds', () => {
  for (const time of [0n, 1n, 1_700_000_000_123_456_789n, 1_700_000_000_100_000_000n, 2n ** 63n]) {
    expect(parseTime_ns(formatTime(time))).toBe(time)
  }
  expect(formatTime(1_700_000_000_120_000_000n)).toBe('2023-11-14T22:13:20.12Z')
  expect(parseTime_ns('2023-11-15T00:13:20+02:00')).toBe(1_700_000_000_000_000_000n)
  expect(parseTime_ns('2023-11-14')).toBeUndefined()
})

test('encodings are found by version, and an unknown one is told which there are', () => {
  expect(encodingOf('blockpack1').version).toBe('blockpack1')
  expect(encodingNamed('blockpack').version).toBe('blockpack1')
  expect(() => encodingOf('vParquet9')).toThrow(
    /"vParquet9" is unknown; this build has .*blockpack1/,
  )
})
