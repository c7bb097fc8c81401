import { describe, expect, it } from 'vitest'
import { compareBytes, toHex } from '../../../src/lib/bytes.js'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { HeadReader, openHead, type HeadSource } from '../../../src/storage/head/source.js'
import { HeadReaders } from '../../../src/storage/head/readers.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import {
  Proto,
  Random,
  intValue,
  keyValue,
  request,
  shopRequests,
  span,
  stringValue,
} from '../../support/otlp-gen.js'
import { randomRequests } from './random-otlp.js'
import { Fieldbook, readSpans } from './reference.js'

const FACTS = { blockId: '01234567-89ab-cdef-0123-456789abcdef', tenant: 't', partition: 0 }

function head(requests: readonly Uint8Array[], bytes = 64 << 20) {
  const arena = HeadArena.create({ bytes, readers: 2 })
  const writer = HeadWriter.create(arena, FACTS)!
  for (const request of requests) writer.append(request)
  writer.publish(1)
  return {
    arena,
    writer,
    open: (order: 'arrival' | 'traceId' = 'arrival', groupSpans?: number) =>
      openHead(arena, writer.headerChunk, { order, ...(groupSpans && { groupSpans }) }),
  }
}

const shop = (traces: number) => shopRequests({ traces }).map(({ bytes }) => bytes)
const id16 = (byte: number) => new Uint8Array(16).fill(byte)
const id8 = (byte: number) => new Uint8Array(8).fill(byte)

async function traceIds(source: HeadSource): Promise<string[]> {
  const ids: string[] = []
  for (let index = 0; index < source.groupCount; index++) {
    const group = await source.group(index)
    const fields = await Fieldbook.read(group)
    for (let row = 0; row < group.counts.trace; row++) ids.push(fields.hex('trace.id', row, 16))
  }
  return ids
}

describe('order', () => {
  it('traceId sorts traces by their bytes over all groups; groups hold whole traces', async () => {
    const { open } = head(shop(400))
    const source = open('traceId', 1000)
    expect(source.groupCount).toBeGreaterThan(5)
    const ids = await traceIds(source)
    expect(ids).toEqual([...ids].sort())
    expect(new Set(ids).size).toBe(400)
    let spans = 0
    for (let index = 0; index < source.groupCount; index++) {
      const { counts } = await source.group(index)
      spans += counts.span
      expect(counts.span).toBeLessThan(1000 + 30)
    }
    expect(spans).toBe(source.spanCount)
  })

  it('a trace of more spans than insertion sort takes comes by start time, ties by arrival', async () => {
    const random = new Random(1)
    const starts = Array.from(
      { length: 500 },
      () => BigInt(random.below(200)) << BigInt(random.below(3) * 20),
    )
    const spans = starts.map((start, i) =>
      span(id16(1), Uint8Array.of(i >> 8, i, 0, 0, 0, 0, 0, 1), { start, end: start }),
    )
    const { open } = head([request(spans)])
    const group = await open().group(0)
    const fields = await Fieldbook.read(group)
    const wanted = starts
      .map((start, i) => ({ start, i }))
      .sort((a, b) => Number(a.start - b.start) || a.i - b.i)
    for (let row = 0; row < 500; row++) {
      expect(fields.big('span.start', row)).toBe(wanted[row]!.start)
      const id = Uint8Array.of(wanted[row]!.i >> 8, wanted[row]!.i, 0, 0, 0, 0, 0, 1)
      expect(fields.hex('span.id', row, 8)).toBe(toHex(id))
    }
  })
})

describe('locate', () => {
  it('finds every trace where it is, in both orders, and none that is not there', async () => {
    const { open } = head(shop(300))
    for (const order of ['arrival', 'traceId'] as const) {
      const source = open(order, 300)
      for (let index = 0; index < source.groupCount; index++) {
        const group = await source.group(index)
        const { bytes } = (await group.field('trace.id'))!
        for (let row = 0; row < group.counts.trace; row++) {
          expect(await source.locate(bytes.subarray(row * 16, row * 16 + 16))).toEqual({
            group: index,
            row,
          })
        }
      }
      expect(await source.locate(id16(0))).toBeUndefined()
      expect(await source.locate(new Uint8Array(8))).toBeUndefined()
    }
  })

  it('ids that differ in their last byte only are told apart', async () => {
    const ids = Array.from({ length: 200 }, (_, i) => { const id = id16(7); id[15] = i; return id }) // prettier-ignore
    const { open } = head([request(ids.map((id) => span(id, id8(1))))])
    for (const order of ['arrival', 'traceId'] as const) {
      const source = open(order)
      const found = await Promise.all(ids.map((id) => source.locate(id)))
      expect(new Set(found.map((place) => place?.row)).size).toBe(200)
    }
  })

  it('one trace alone has the same spans as in the whole head, events and links too', async () => {
    const requests = [...randomRequests(5, 400), ...shop(200)]
    const { arena, writer, open } = head(requests)
    const all = await readSpans(open())
    const ids = await traceIds(open())
    const readers = new HeadReaders(arena, 0)
    let seen = 0
    for (const hex of ids.filter((_, i) => i % 7 === 0)) {
      const source = readers.openTrace(writer.headerChunk, FACTS.blockId, Buffer.from(hex, 'hex'))!
      expect(source.traceCount).toBe(1)
      const spans = await readSpans(source)
      for (const [key, text] of spans) expect(all.get(key)).toBe(text)
      expect(spans.size).toBe([...all.keys()].filter((key) => key.startsWith(hex)).length)
      expect(await source.locate(Buffer.from(hex, 'hex'))).toEqual({ group: 0, row: 0 })
      seen += spans.size
      await source.close()
    }
    expect(seen).toBeGreaterThan(100)
    const absent = readers.openTrace(writer.headerChunk, FACTS.blockId, id16(3))!
    expect([absent.groupCount, absent.spanCount]).toEqual([0, 0])
  })
})

describe('traces', () => {
  it('start, end and root are of this head’s spans; the last root that arrived counts', async () => {
    const { open } = head([
      request([span(id16(1), id8(1), { name: 'first root', start: 100n, end: 200n })], 'svc-a'),
      request(
        [span(id16(1), id8(2), { name: 'child', start: 50n, end: 900n, parent: id8(1) })],
        'svc-b',
      ),
      request([span(id16(1), id8(3), { name: 'last root', start: 70n, end: 80n })], 'svc-c'),
      request(
        [span(id16(2), id8(4), { name: 'orphan', start: 2n ** 63n, end: 1n, parent: id8(9) })],
        'svc-d',
      ),
    ])
    const source = open()
    const group = await source.group(0)
    const fields = await Fieldbook.read(group)
    expect(fields.big('trace.start', 0)).toBe(50n)
    expect(fields.big('trace.end', 0)).toBe(900n)
    expect(fields.text('trace.rootName', 0)).toBe('last root')
    expect(fields.text('trace.rootService', 0)).toBe('svc-c')
    expect(fields.big('trace.start', 1)).toBe(2n ** 63n)
    expect(fields.big('trace.end', 1)).toBe(1n)
    expect(fields.text('trace.rootName', 1)).toBe('')
    expect(fields.text('trace.rootService', 1)).toBe('')
    expect([source.minStart_ns, source.maxEnd_ns]).toEqual([50n, 900n])
    expect([group.minStart_ns, group.maxEnd_ns]).toEqual([50n, 900n])
  })
})

describe('columns that are not there', () => {
  it('fields that are zero throughout, keys nobody sent and types nobody used are undefined', async () => {
    const bare = new Proto().bytes(1, id16(1)).bytes(2, id8(1))
    const { open } = head([request([bare])])
    const group = await open().group(0)
    for (const name of [
      'span.name',
      'span.start',
      'span.duration',
      'span.kind',
      'span.status',
      'span.flags',
      'span.statusMessage',
      'span.traceState',
      'span.parentId',
      'span.droppedLinks',
      'trace.start',
      'trace.end',
      'trace.rootName',
      'event.time',
      'event.name',
      'link.traceId',
      'scope.version',
      'resource.schemaUrl',
    ] as const) {
      expect([name, await group.field(name)]).toEqual([name, undefined])
    }
    expect(await group.attribute({ level: 'span', key: 'nope', type: 'string' })).toBeUndefined()
    expect(
      await group.attribute({ level: 'span', key: 'service.name', type: 'string' }),
    ).toBeUndefined()
    expect(
      await group.attribute({ level: 'resource', key: 'service.name', type: 'int' }),
    ).toBeUndefined()
    expect(await group.attributes('span')).toEqual([])
    expect(group.counts).toEqual({ trace: 1, resource: 1, scope: 1, span: 1, event: 0, link: 0 })
  })

  it('an attribute in one group only is absent from the other', async () => {
    const { open } = head([
      ...shop(100),
      request([span(id16(1), id8(1), {}, [keyValue('only.here', intValue(1))])]),
    ])
    const source = open('arrival', 500)
    const key = { level: 'span', key: 'only.here', type: 'int' } as const
    const first = await source.group(0)
    const last = await source.group(source.groupCount - 1)
    expect(await first.attribute(key)).toBeUndefined()
    expect(await first.attributes('span')).not.toContainEqual(key)
    expect(await last.attribute(key)).toMatchObject({ type: 'int' })
    expect(await last.attributes('span')).toContainEqual(key)
  })

  it('integers of both widths under one key are one column', async () => {
    const values = [1n, -1n, 2n ** 40n, -(2n ** 63n), 2n ** 31n]
    const spans = values.map((value, i) =>
      span(id16(1), id8(i), { start: BigInt(i) }, [keyValue('n', intValue(value))]),
    )
    const group = await head([request(spans)])
      .open()
      .group(0)
    expect(await group.attributes('span')).toEqual([{ level: 'span', key: 'n', type: 'int' }])
    const column = await group.attribute({ level: 'span', key: 'n', type: 'int' })
    if (column?.type !== 'int') throw new Error('no column')
    expect(column.present).toBeUndefined()
    values.forEach((value, i) => {
      expect(BigInt.asIntN(64, (BigInt(column.hi[i]!) << 32n) | BigInt(column.lo[i]!))).toBe(value)
    })
  })
})

describe('sources', () => {
  it('an empty head is a source without groups', async () => {
    const source = head([]).open()
    expect([source.groupCount, source.spanCount, source.traceCount]).toEqual([0, 0, 0])
    expect([source.minStart_ns, source.maxEnd_ns]).toEqual([0n, 0n])
    expect(await source.locate(id16(1))).toBeUndefined()
    await expect(source.group(0)).rejects.toThrow(/group 0 of 0/)
  })

  it('a closed source refuses to read, instead of reading what may be another head’s', async () => {
    const source = head(shop(5)).open()
    const group = await source.group(0)
    await source.close()
    await source.close()
    await expect(group.parents()).rejects.toThrow(/closed/)
    await expect(group.field('span.name')).rejects.toThrow(/closed/)
    await expect(group.attributes('span')).rejects.toThrow(/closed/)
    await expect(source.group(0)).rejects.toThrow(/closed/)
  })

  it('a reader kept between queries sees each new snapshot, and old texts keep their codes', async () => {
    const { arena, writer } = head([request([span(id16(1), id8(1), { name: 'one' })])])
    const reader = new HeadReader(arena, writer.headerChunk)
    const first = reader.open({ order: 'arrival' })!
    const code = first.dictionary.find('one')
    expect(first.dictionary.find('two')).toBe(0)
    writer.append(request([span(id16(1), id8(2), { name: 'two' })]))
    writer.publish(2)
    const second = reader.open({ order: 'arrival' })!
    expect(second.spanCount).toBe(2)
    expect(second.dictionary.find('one')).toBe(code)
    expect(second.dictionary.find('two')).toBeGreaterThan(0)
    expect(first.dictionary.find('two')).toBe(0)
    expect(first.spanCount).toBe(1)
    expect((await readSpans(first)).size).toBe(1)
    expect((await readSpans(second)).size).toBe(2)
  })

  it('says what a group certainly has not', async () => {
    const group = await head([
      request([span(id16(1), id8(1), {}, [keyValue('k', stringValue('here'))])]),
    ])
      .open()
      .group(0)
    const key = { level: 'span', key: 'k', type: 'string' } as const
    expect(await group.mayHave!(key, 'here')).toBe(true)
    expect(await group.mayHave!(key, 'elsewhere')).toBe(false)
    expect(await group.mayHave!('span.name', '')).toBe(true)
  })

  it('counts the bytes it looked at', async () => {
    const source = head(shop(50)).open()
    const before = source.inspected_bytes()
    await (await source.group(0)).field('span.name')
    expect(source.inspected_bytes() - before).toBe(source.spanCount * 4)
    expect(source.size_bytes).toBeGreaterThan(0)
    expect(compareBytes(source.dictionary.bytes(0), new Uint8Array(0))).toBe(0)
  })
})
