/**
 * Owns the regrouping of a request by partition: one slice a partition, each ResourceSpans and ScopeSpans once in it, with
 * only the spans whose trace hashes there.
 *
 * A slice is the request minus the other partitions' spans, with the lengths around the gaps corrected, so resources,
 * scopes, schema URLs and fields that we do not know travel as the bytes they came in. A slice is never longer than
 * its request; a request that belongs to one partition is its own slice.
 */
import { assert } from '../lib/assert.js'
import { copyBytes } from '../lib/copy.js'
import { RESOURCE_SPANS_TAG, RequestIndex, SCOPE_SPANS_TAG, tenantSeed } from './request-index.js'
import { noTruncation, truncateAttributes, type Truncation } from './truncate.js'
import { varintSize, writeVarint, type MalformedOtlp } from './wire.js'

/** More partitions than this would make the size tables of a hostile request large, and no machine has so many cores. */
export const MAX_PARTITIONS = 64

export interface RegrouperOptions {
  readonly partitions: number
  /** Attribute keys and string values are cut to this many bytes, as in Tempo; 0 = never. */
  readonly max_attribute_bytes: number
}

export class Regrouper {
  readonly partitions: number
  private readonly max_attribute_bytes: number
  private readonly index = new RequestIndex()
  private readonly sizes: Float64Array
  private readonly counts: Int32Array
  private readonly scopeFill: Int32Array
  private readonly resourceFill: Int32Array
  private owner = new Uint8Array(1024)
  private scopeSize = new Int32Array(1024)
  private resourceSize = new Int32Array(1024)
  private whole = -1
  private tenant = ''
  private seed = tenantSeed('')

  /** Spans in the request. */
  spans = 0
  /** Attributes cut in the request. */
  truncation: Truncation = noTruncation()

  constructor(options: RegrouperOptions) {
    const { partitions } = options
    assert(
      Number.isInteger(partitions) && partitions >= 1 && partitions <= MAX_PARTITIONS,
      `partitions is ${partitions}, must be 1 to ${MAX_PARTITIONS}`,
    )
    this.partitions = partitions
    this.max_attribute_bytes = options.max_attribute_bytes
    this.sizes = new Float64Array(partitions)
    this.counts = new Int32Array(partitions)
    this.scopeFill = new Int32Array(partitions)
    this.resourceFill = new Int32Array(partitions)
  }

  /**
   * Validates the request and measures its slices; the request is held until the next `read` or `release`. Its tenant may
   * have another limit of attributes.
   * Returns why the whole request must be refused, if so. A request without spans is fine and has no slice.
   */
  read(
    tenant: string,
    request: Uint8Array,
    max_attribute_bytes = this.max_attribute_bytes,
  ): MalformedOtlp | undefined {
    if (tenant !== this.tenant) {
      this.tenant = tenant
      this.seed = tenantSeed(tenant)
    }
    this.truncation = noTruncation()
    this.sizes.fill(0)
    this.counts.fill(0)
    this.whole = -1
    this.spans = 0
    let malformed = this.index.read(request, this.seed, max_attribute_bytes)
    if (!malformed && this.index.overlong) {
      const cut = truncateAttributes(request, max_attribute_bytes)
      this.truncation = cut.truncation
      malformed = this.index.read(cut.request, this.seed, 0)
    }
    if (malformed) {
      this.index.release()
      return malformed
    }
    this.spans = this.index.spanCount
    if (this.spans > 0) this.assign()
    return undefined
  }

  /** Bytes of a partition's slice; 0 when no span goes there. */
  size_bytes(partition: number): number {
    return this.sizes[partition]!
  }

  /** Spans of a partition's slice. */
  spansOf(partition: number): number {
    return this.counts[partition]!
  }

  /** Writes a partition's slice, `size_bytes(partition)` long, to `target` at `at`; returns the position behind it. */
  writeSlice(partition: number, target: Uint8Array, at: number): number {
    const size = this.sizes[partition]!
    assert(at + size <= target.length, `slice of ${size} bytes at ${at} of ${target.length}`)
    if (size === 0) return at
    const { index } = this
    const { request, resources, scopes } = index
    if (this.whole === partition) return copyBytes(request, 0, size, target, at)
    for (let r = 0; r < index.resourceCount; r++) {
      const resourceSize = this.resourceSize[r * this.partitions + partition]!
      if (resourceSize === 0) continue
      target[at++] = RESOURCE_SPANS_TAG
      at = writeVarint(target, at, resourceSize)
      let from = resources.start[r]!
      const lastScope = resources.first[r + 1]!
      for (let s = resources.first[r]!; s < lastScope; s++) {
        at = copyBytes(request, from, scopes.field[s]!, target, at)
        from = scopes.end[s]!
        const scopeSize = this.scopeSize[s * this.partitions + partition]!
        if (scopeSize === 0) continue
        target[at++] = SCOPE_SPANS_TAG
        at = writeVarint(target, at, scopeSize)
        at = this.writeScope(s, partition, target, at)
      }
      at = copyBytes(request, from, resources.end[r]!, target, at)
    }
    return at
  }

  /** Lets go of the request's bytes. */
  release(): void {
    this.index.release()
  }

  private writeScope(s: number, partition: number, target: Uint8Array, at: number): number {
    const { request, scopes, spanStart, spanEnd } = this.index
    const { owner } = this
    const lastSpan = scopes.first[s + 1]!
    let from = scopes.start[s]!
    for (let i = scopes.first[s]!; i < lastSpan; i++) {
      if (owner[i] === partition) continue
      at = copyBytes(request, from, spanStart[i]!, target, at)
      from = spanEnd[i]!
    }
    return copyBytes(request, from, scopes.end[s]!, target, at)
  }

  private assign(): void {
    const { index, partitions, counts } = this
    const spans = index.spanCount
    if (spans > this.owner.length) this.owner = new Uint8Array(spans * 2)
    const { owner } = this
    const { token } = index
    for (let i = 0; i < spans; i++) {
      const partition = token[i]! % partitions
      owner[i] = partition
      counts[partition]!++
    }
    const only = owner[0]!
    if (counts[only] === spans) {
      this.whole = only
      this.sizes[only] = index.request.length
    } else this.measure()
  }

  private measure(): void {
    const { index, partitions, resourceFill } = this
    const { resources, scopes } = index
    this.scopeSize = atLeast(this.scopeSize, index.scopeCount * partitions)
    this.resourceSize = atLeast(this.resourceSize, index.resourceCount * partitions)
    for (let r = 0; r < index.resourceCount; r++) {
      resourceFill.fill(0)
      const lastScope = resources.first[r + 1]!
      let fixed = resources.end[r]! - resources.start[r]!
      for (let s = resources.first[r]!; s < lastScope; s++) {
        fixed -= scopes.end[s]! - scopes.field[s]!
        this.measureScope(s)
      }
      for (let p = 0; p < partitions; p++) {
        const filled = resourceFill[p]!
        const size = filled === 0 ? 0 : fixed + filled
        this.resourceSize[r * partitions + p] = size
        if (size > 0) this.sizes[p]! += 1 + varintSize(size) + size
      }
    }
  }

  private measureScope(s: number): void {
    const { index, partitions, scopeFill, resourceFill, owner } = this
    const { scopes, spanStart, spanEnd } = index
    scopeFill.fill(0)
    const lastSpan = scopes.first[s + 1]!
    let fixed = scopes.end[s]! - scopes.start[s]!
    for (let i = scopes.first[s]!; i < lastSpan; i++) {
      const size = spanEnd[i]! - spanStart[i]!
      fixed -= size
      scopeFill[owner[i]!]! += size
    }
    for (let p = 0; p < partitions; p++) {
      const filled = scopeFill[p]!
      const size = filled === 0 ? 0 : fixed + filled
      this.scopeSize[s * partitions + p] = size
      if (size > 0) resourceFill[p]! += 1 + varintSize(size) + size
    }
  }
}

function atLeast(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  return array.length >= length ? array : new Int32Array(length * 2)
}
