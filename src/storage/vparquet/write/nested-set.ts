/**
 * Owns the nested-set numbers by which structural queries see a trace as a tree: depth first from each root, left on the way
 * in, right on the way out. Tempo's rules for what is no tree are kept, so that its queries answer the same.
 */

const ROOT_PARENT = -1
const KIND_SERVER = 2
const KIND_CLIENT = 3
const FIRST_SLOTS = 64

export interface SpanTree {
  readonly parent: Int32Array
  readonly left: Int32Array
  readonly right: Int32Array
  readonly childCount: Int32Array
}

/** Spans of one group, in the order they are written. Ids are pairs of words. */
export interface TreeInput {
  readonly ids: Uint32Array
  readonly parentIds: Uint32Array
  readonly kinds: Uint32Array
}

/** Scratch of one trace at a time, kept so that a trace costs no allocation. */
export class NestedSets {
  /** Hash table of ids: the first span of an id, as place + 1. */
  #slots = new Int32Array(FIRST_SLOTS)
  /** The second span of an id; -1 = none. */
  #twin = new Int32Array(FIRST_SLOTS)
  #parentOf = new Int32Array(FIRST_SLOTS)
  #firstChild = new Int32Array(FIRST_SLOTS)
  #lastChild = new Int32Array(FIRST_SLOTS)
  #nextSibling = new Int32Array(FIRST_SLOTS)

  /** Fills the numbers of spans from..to, one trace; all stay 0 when it has no root or an id stands for three spans. */
  assign(input: TreeInput, from: number, to: number, tree: SpanTree): void {
    const { parentIds } = input
    let hasRoot = false
    for (let i = from; i < to && !hasRoot; i++) {
      hasRoot = parentIds[2 * i] === 0 && parentIds[2 * i + 1] === 0
    }
    if (!hasRoot) return
    this.#room(to - from)
    if (!this.#indexIds(input, from, to)) return
    this.#linkChildren(input, from, to, tree)
    this.#walk(input, from, to, tree)
  }

  #room(count: number): void {
    if (this.#twin.length < count) {
      const size = Math.max(count, 2 * this.#twin.length)
      this.#twin = new Int32Array(size)
      this.#parentOf = new Int32Array(size)
      this.#firstChild = new Int32Array(size)
      this.#lastChild = new Int32Array(size)
      this.#nextSibling = new Int32Array(size)
    }
    let slots = this.#slots.length
    while (slots < 2 * count) slots *= 2
    if (slots > this.#slots.length) this.#slots = new Int32Array(slots)
    else this.#slots.fill(0)
  }

  /** False when more than two spans share an id. */
  #indexIds(input: TreeInput, from: number, to: number): boolean {
    const { ids } = input
    for (let i = from; i < to; i++) {
      const node = i - from
      this.#twin[node] = -1
      const slot = this.#slotOf(ids, from, ids[2 * i]!, ids[2 * i + 1]!)
      const first = this.#slots[slot]! - 1
      if (first < 0) {
        this.#slots[slot] = node + 1
        continue
      }
      if (this.#twin[first]! >= 0) return false
      this.#twin[first] = node
    }
    return true
  }

  #slotOf(ids: Uint32Array, from: number, a: number, b: number): number {
    const mask = this.#slots.length - 1
    const mixed = Math.imul(a ^ Math.imul(b, 0x85ebca6b), 0x9e3779b1)
    for (let slot = (mixed ^ (mixed >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const node = this.#slots[slot]! - 1
      if (node < 0) return slot
      const i = 2 * (from + node)
      if (ids[i] === a && ids[i + 1] === b) return slot
    }
  }

  #linkChildren(input: TreeInput, from: number, to: number, tree: SpanTree): void {
    const count = to - from
    this.#firstChild.fill(-1, 0, count)
    for (let node = 0; node < count; node++) {
      const parent = this.#findParent(input, from, node)
      this.#parentOf[node] = parent
      this.#nextSibling[node] = -1
      if (parent < 0) continue
      tree.childCount[from + parent]!++
      if (this.#firstChild[parent]! < 0) this.#firstChild[parent] = node
      else this.#nextSibling[this.#lastChild[parent]!] = node
      this.#lastChild[parent] = node
    }
  }

  /** Client and server of one call may share an id (Zipkin): a server's parent is the client, any other's the server. */
  #findParent({ ids, parentIds, kinds }: TreeInput, from: number, node: number): number {
    const a = parentIds[2 * (from + node)]!
    const b = parentIds[2 * (from + node) + 1]!
    if (a === 0 && b === 0) return -1
    const first = this.#slots[this.#slotOf(ids, from, a, b)]! - 1
    if (first < 0) return -1
    const second = this.#twin[first]!
    if (second < 0) return first
    const wanted = kinds[from + node] === KIND_SERVER ? KIND_CLIENT : KIND_SERVER
    if (kinds[from + first] === wanted) return first
    return kinds[from + second] === wanted ? second : -1
  }

  #walk({ parentIds }: TreeInput, from: number, to: number, tree: SpanTree): void {
    let bound = 1
    for (let root = from; root < to; root++) {
      if (parentIds[2 * root] !== 0 || parentIds[2 * root + 1] !== 0) continue
      tree.left[root] = bound++
      tree.parent[root] = ROOT_PARENT
      for (let node = root - from; node >= 0;) {
        const child = this.#firstChild[node]!
        if (child >= 0) {
          // Taken off its parent's list, so that the way back goes on with its sibling.
          this.#firstChild[node] = this.#nextSibling[child]!
          tree.left[from + child] = bound++
          tree.parent[from + child] = tree.left[from + node]!
          node = child
        } else {
          tree.right[from + node] = bound++
          node = this.#parentOf[node]!
        }
      }
    }
  }
}
