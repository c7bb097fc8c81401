import { expect, test } from 'vitest'
import { NestedSets, type SpanTree } from '../../../src/storage/vparquet/write/nested-set.js'
import { Random } from '../../support/random.js'

interface Span {
  readonly id: number
  /** 0 = a root. */
  readonly parent: number
  readonly kind?: number
}

function assign(spans: readonly Span[], sets = new NestedSets()) {
  const words = (of: (span: Span) => number) => {
    const out = new Uint32Array(2 * spans.length)
    spans.forEach((span, i) => (out[2 * i] = of(span)))
    return out
  }
  const numbers = () => new Int32Array(spans.length)
  const tree: SpanTree = { parent: numbers(), left: numbers(), right: numbers(), childCount: numbers() } // prettier-ignore
  const kinds = Uint32Array.from(spans, ({ kind = 0 }) => kind)
  const input = { ids: words(({ id }) => id), parentIds: words(({ parent }) => parent), kinds }
  sets.assign(input, 0, spans.length, tree)
  return spans.map((_, i) => [tree.parent[i], tree.left[i], tree.right[i], tree.childCount[i]])
}

test('a tree is numbered depth first, children in their order, a parent by its left', () => {
  const spans = [
    { id: 1, parent: 0 },
    { id: 2, parent: 1 },
    { id: 3, parent: 1 },
    { id: 4, parent: 2 },
  ]
  expect(assign(spans)).toEqual([
    [-1, 1, 8, 2],
    [1, 2, 5, 1],
    [1, 6, 7, 0],
    [2, 3, 4, 0],
  ])
})

test('a second root goes on with the numbers, a span without its parent gets none', () => {
  const spans = [
    { id: 1, parent: 0 },
    { id: 2, parent: 0 },
    { id: 3, parent: 99 },
  ]
  expect(assign(spans)).toEqual([
    [-1, 1, 2, 0],
    [-1, 3, 4, 0],
    [0, 0, 0, 0],
  ])
})

test('a trace without a root, or with an id that three spans share, has no numbers at all', () => {
  const none = [0, 0, 0, 0]
  expect(assign([{ id: 1, parent: 9 }, { id: 2, parent: 1 }])).toEqual([none, none]) // prettier-ignore
  const shared = [{ id: 1, parent: 0 }, { id: 2, parent: 1 }, { id: 2, parent: 1 }, { id: 2, parent: 1 }] // prettier-ignore
  expect(assign(shared)).toEqual([none, none, none, none])
})

test('of two spans with one id a server is the child of the client, all others of the server', () => {
  const client = { id: 2, parent: 1, kind: 3 }
  const server = { id: 2, parent: 2, kind: 2 }
  const spans = [{ id: 1, parent: 0, kind: 2 }, client, server, { id: 3, parent: 2, kind: 1 }]
  const [root, ofClient, ofServer, inner] = assign(spans)
  expect(root).toEqual([-1, 1, 8, 1])
  expect(ofClient).toEqual([1, 2, 7, 1])
  expect(ofServer).toEqual([2, 3, 6, 1])
  expect(inner).toEqual([3, 4, 5, 0])
})

test('spans that are each other’s parents are walked around', () => {
  const spans = [
    { id: 1, parent: 0 },
    { id: 2, parent: 3 },
    { id: 3, parent: 2 },
    { id: 4, parent: 4 },
  ]
  expect(assign(spans).map(([, left]) => left)).toEqual([1, 0, 0, 0])
})

test('one trace leaves nothing behind for the next, larger or smaller', () => {
  const random = new Random(5)
  const sets = new NestedSets()
  for (let round = 0; round < 20; round++) {
    const count = 1 + random.below(200)
    const spans = Array.from({ length: count }, (_, i) => ({ id: i + 1, parent: i === 0 ? 0 : 1 + random.below(i) })) // prettier-ignore
    const numbers = assign(spans, sets)
    expect(numbers).toEqual(assign(spans))
    expect(new Set(numbers.flatMap(([, left, right]) => [left, right])).size).toBe(2 * count)
    const isInside = spans.every((span, i) => {
      const [parent, left, right] = numbers[i]!
      const outer = numbers[span.parent - 1]
      return !outer || (parent === outer[1] && left! > outer[1]! && right! < outer[2]!)
    })
    expect(isInside).toBe(true)
  }
})
