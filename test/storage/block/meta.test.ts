import { describe, expect, test } from 'vitest'
import {
  formatTime,
  META_BYTES_MAX,
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
  })

  test.each([
    ['no object', '[]', /at byte 0: is no JSON object/],
    ['null', 'null', /at byte 0: is no JSON object/],
    ['a number', '1e999', /at byte 0: is no JSON object/],
    ['not JSON', '{"a":1,}', /at byte 7: is not JSON$/],
    ['no text at all', '\x07\x1b[31m', /at byte 0: is not JSON$/],
    ['cut off', '{"format":"blo', /at byte 14: is not JSON$/],
    ['empty', '', /at byte 0: is empty/],
    ['too large', ' '.repeat(META_BYTES_MAX + 1), /has 262145 bytes, at most 262144 are read/],
    ['too deep', `{"a":${'['.repeat(1e5)}${']'.repeat(1e5)}}`, /more than 32 levels deep/],
  ])('that is %s is refused, and its own text stands in no message', (_, text, words) => {
    expect(() => parseMeta(Buffer.from(text), BLOCK_ID)).toThrow(words)
  })

  test.each([
    ['format', 'x'.repeat(1025), 'format is longer than 1024 characters'],
    ['size', 2 ** 53, 'size is no count'],
    ['size', 1e300, 'size is no count'],
    ['totalSpans', '7', 'totalSpans is no count'],
    ['startTime', 1, 'startTime is no text'],
    ['compactedFrom', 'x', 'compactedFrom is no list of texts'],
    ['compactedFrom', [1], 'compactedFrom is no list of texts'],
    ['dedicatedColumns', {}, 'dedicatedColumns is no list of sections'],
    ['dedicatedColumns', [null], 'dedicatedColumns is no list of sections'],
  ])('with %s of a wrong kind is refused', async (field, value, words) => {
    const { meta } = await build(groupsOf(memorySource(shopTraces({ traces: 1 }))))
    const bytes = Buffer.from(JSON.stringify({ ...meta, [field]: value }))
    expect(() => parseMeta(bytes, BLOCK_ID)).toThrow(words)
  })

  test('without the lists that another writer leaves out, or writes as null, is taken', async () => {
    const { meta } = await build(groupsOf(memorySource(shopTraces({ traces: 1 }))))
    const bytes = Buffer.from(JSON.stringify({ ...meta, dedicatedColumns: null }))
    expect(parseMeta(bytes, BLOCK_ID)).toEqual(meta)
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
