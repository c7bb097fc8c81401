import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { memorySource } from './memory-source.js'
import { decodeTraces, encodeTraces, lengthDelimited } from './otlp-objects.js'

const EDGE = new URL('../fixtures/edge.bin', import.meta.url)

test('edge.bin survives the object form byte for byte in meaning', () => {
  for (const request of lengthDelimited(readFileSync(EDGE))) {
    const objects = decodeTraces(request)
    expect(decodeTraces(encodeTraces(objects))).toEqual(objects)
  }
})

test('a memory source has every trace of edge.bin, in groups of whole traces', async () => {
  const objects = [...lengthDelimited(readFileSync(EDGE))].flatMap((bytes) => decodeTraces(bytes))
  const source = memorySource(objects, { spansPerGroup: 500 })
  expect(source.traceCount).toBe(1508)
  let spans = 0
  for (let i = 0; i < source.groupCount; i++) {
    const group = await source.group(i)
    const { trace } = await group.parents()
    expect(trace.length).toBe(group.counts.span)
    for (let row = 1; row < trace.length; row++) expect(trace[row]! >= trace[row - 1]!).toBe(true)
    spans += group.counts.span
  }
  expect(spans).toBe(source.spanCount)
})
