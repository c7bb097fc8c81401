import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  CODEC,
  CONVERTED_TYPE,
  LOGICAL_TYPE,
  REPETITION,
  TYPE,
} from '../../../src/storage/parquet/metadata.js'
import type { SchemaElement } from '../../../src/storage/parquet/metadata.js'
import { ChunkWriter } from '../../../src/storage/parquet/write-chunk.js'
import { ENCODING } from '../../../src/storage/parquet/metadata.js'
import {
  DEFAULT_DEDICATED_COLUMNS,
  mappingOf,
  usable,
} from '../../../src/storage/vparquet/write/dedicated.js'
import { schemaOf, type Version } from '../../../src/storage/vparquet/write/schema.js' // prettier-ignore

/** What a file that Tempo wrote has: elements of the schema, then its columns. */
function tempoLines(version: number): { elements: unknown[]; columns: unknown[] } {
  const url = new URL(`../../fixtures/vparquet/schema${version}.jsonl`, import.meta.url)
  const lines = readFileSync(url, 'utf8').trim().split('\n')
  const all = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  return {
    elements: all.filter((line) => 'name' in line),
    columns: all.filter((line) => 'column' in line),
  }
}

const nameOf = (names: object, value: unknown) =>
  Object.entries(names).find(([, number]) => number === value)?.[0]

function plain(element: SchemaElement): Record<string, unknown> {
  const { name, type, typeLength, repetition, numChildren, convertedType, logicalType } = element
  const all = {
    type: nameOf(TYPE, type),
    type_length: typeLength,
    repetition_type: nameOf(REPETITION, repetition),
    name,
    num_children: numChildren,
    converted_type: nameOf(CONVERTED_TYPE, convertedType),
    logical_type: logicalType && {
      ...logicalType,
      type: nameOf(LOGICAL_TYPE, logicalType.id),
      id: undefined,
    },
  }
  return JSON.parse(JSON.stringify(all)) as Record<string, unknown>
}

function made(version: Version, dedicated: readonly Parameters<typeof usable>[1][number][]) {
  const columns = usable(version, dedicated)
  return schemaOf(version, {
    resource: mappingOf(version, columns, 'resource'),
    span: mappingOf(version, columns, 'span'),
    event: mappingOf(version, columns, 'event'),
  })
}

const tables = [
  ['vParquet4', 4],
  ['vParquet5', 5],
] as const

test.each(tables)(
  'every element of the schema of %s is the one that Tempo writes',
  (version, n) => {
    const { elements } = made(version, DEFAULT_DEDICATED_COLUMNS)
    expect(elements.map(plain)).toEqual(tempoLines(n).elements)
  },
)

test.each(tables)('every column of %s has the encodings and the codec of Tempo', (version, n) => {
  const { leaves } = made(version, DEFAULT_DEDICATED_COLUMNS)
  const columns = leaves.map((leaf) => {
    const { metaData } = new ChunkWriter(leaf).finish(0).chunk
    return {
      column: metaData.pathInSchema.join('.'),
      type: nameOf(TYPE, metaData.type),
      codec: nameOf(CODEC, metaData.codec),
      encodings: metaData.encodings.map((encoding) => nameOf(ENCODING, encoding)).join('|'),
    }
  })
  const expected = tempoLines(n).columns
  // Tempo's list is sorted by number, ours by use: compared as sets.
  const sorted = (column: Record<string, unknown>) => ({
    ...column,
    encodings: String(column.encodings).split('|').sort(),
  })
  expect(columns.map(sorted)).toEqual(expected.map((c) => sorted(c as Record<string, unknown>)))
})

test('vParquet4 leaves out what it has static columns for, and what has options or another type', () => {
  const names = usable('vParquet4', DEFAULT_DEDICATED_COLUMNS).map(({ n }) => n)
  expect(names).toEqual(['http.request.method', 'url.path', 'url.route', 'server.address', 'http.route']) // prettier-ignore
  expect(
    usable('vParquet4', [
      { n: 'a', o: ['array'] },
      { s: 'event', n: 'b' },
    ]),
  ).toEqual([])
})

test('vParquet5 without dedicated columns has no group for them', () => {
  const { elements } = made('vParquet5', [])
  expect(elements.some(({ name }) => name === 'DedicatedAttributes')).toBe(false)
})
