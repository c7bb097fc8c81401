/** Owns numbering the spans of a trace as a nested set: a span's descendants are those whose bounds lie within its own. */

/** Zeros where a span hangs on no root. A root's parent is -1; any other's is the left bound of its parent. */
export interface NestedSets {
  readonly left: Int32Array
  readonly right: Int32Array
  readonly parent: Int32Array
  readonly childCount: Int32Array
}

const NO_PARENT = -1
export const ROOT_PARENT = -1
const KIND_SERVER = 2
const KIND_CLIENT = 3
/** Zipkin lets the two sides of a call share a span id; more than that makes the tree ambiguous. */
const MAX_SHARED_ID = 2

export function assignNestedSets(
  traceOffsets: Uint32Array,
  spanCount: number,
  ids: Uint8Array | undefined,
  parentIds: Uint8Array | undefined,
  kinds: Uint32Array | undefined,
): NestedSets {
  const sets: NestedSets = {
    left: new Int32Array(spanCount),
    right: new Int32Array(spanCount),
    parent: new Int32Array(spanCount),
    childCount: new Int32Array(spanCount),
  }
  const keys = keysOf(ids, spanCount)
  const parentKeys = keysOf(parentIds, spanCount)
  for (let trace = 0; trace + 1 < traceOffsets.length; trace++) {
    const [begin, end] = [traceOffsets[trace]!, traceOffsets[trace + 1]!]
    numberTrace(sets, begin, end, keys, parentKeys, kinds)
  }
  return sets
}

function keysOf(bytes: Uint8Array | undefined, count: number): BigUint64Array {
  const keys = new BigUint64Array(count)
  if (!bytes) return keys
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0; i < count; i++) keys[i] = view.getBigUint64(i * 8, true)
  return keys
}

function numberTrace(
  sets: NestedSets,
  begin: number,
  end: number,
  keys: BigUint64Array,
  parentKeys: BigUint64Array,
  kinds: Uint32Array | undefined,
): void {
  const byId = new Map<bigint, number[]>()
  let ambiguous = false
  for (let row = begin; row < end; row++) {
    const same = byId.get(keys[row]!)
    if (!same) byId.set(keys[row]!, [row])
    else if (same.push(row) > MAX_SHARED_ID) ambiguous = true
  }
  const up = new Int32Array(end - begin).fill(NO_PARENT)
  const children: (number[] | undefined)[] = []
  for (let row = begin; row < end; row++) {
    if (parentKeys[row] === 0n) continue
    const parent = parentOf(byId.get(parentKeys[row]!), kinds, row)
    if (parent === undefined) continue
    up[row - begin] = parent
    sets.childCount[parent]!++
    const siblings = children[parent - begin]
    if (siblings) siblings.push(row)
    else children[parent - begin] = [row]
  }
  if (ambiguous) return
  const next = new Uint32Array(end - begin)
  let bound = 1
  for (let root = begin; root < end; root++) {
    if (parentKeys[root] !== 0n) continue
    sets.left[root] = bound++
    sets.parent[root] = ROOT_PARENT
    let row = root
    while (row !== NO_PARENT) {
      const child = children[row - begin]?.[next[row - begin]!++]
      if (child === undefined) {
        sets.right[row] = bound++
        row = up[row - begin]!
      } else {
        sets.left[child] = bound++
        sets.parent[child] = sets.left[row]!
        row = child
      }
    }
  }
}

/** Of two spans with one id a server's parent is the client, and everyone else's is the server. */
function parentOf(
  candidates: readonly number[] | undefined,
  kinds: Uint32Array | undefined,
  row: number,
): number | undefined {
  if (!candidates || candidates.length === 1) return candidates?.[0]
  if (candidates.length > MAX_SHARED_ID) return undefined
  const wanted = kinds?.[row] === KIND_SERVER ? KIND_CLIENT : KIND_SERVER
  return candidates.find((c) => (kinds?.[c] ?? 0) === wanted)
}
