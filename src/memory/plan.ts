/**
 * Owns the memory budget: how one limit on the whole process is divided into rings, heads, caches, requests and heaps. A
 * pure function; docs/memory.md says where its figures come from.
 */
import { assert } from '../lib/assert.js'
import { formatBytes } from '../lib/units.js'
import type { AvailableMemory } from './available.js'
import { TUNED, type Allocator } from './allocator.js'

const MIB = 2 ** 20

/** Where no limit is set: this much of a container, this much of a machine that others use too, and never more than enough. */
const CONTAINER_SHARE = 0.92
const MACHINE_SHARE = 0.25
const DEFAULT_MOST_MIB = 512

/** Resident when idle: Node and its code (47, mapped from files), eight threads and their heaps. */
const AT_REST_MIB = 185
/** The writer's private hash tables: 42 bytes a live span, whose columns take 128. */
const INDEX_BYTES_PER_HEAD_BYTE = 42 / 128
/** What a livestore keeps of heads that are cut, to know a late retry by. */
const RECENT_BYTES_PER_HEAD_BYTE = 1 / 4
/** Completion table, metrics pages; then the catalog of each partition. */
const TABLES_MIB = 6
const CATALOG_MIB = 2
/** One block builder: zstd, its heap, and the columns of a row group, 2.2 KiB a span. */
const BUILDER_MIB = 29
const GROUP_BYTES_PER_SPAN = 2240
/** Pages of a parquet row group wait until it is whole. */
const PARQUET_MIB = 20
/** From this limit on there is room for them beside columns of as many spans as else. */
const PARQUET_WHOLE_MIB = 576
/** Columns that one job of a query has in memory at once: those of one row group, 6 to 8 MiB for a query of many attributes. */
const JOB_MIB = 8
/** Heaps grow, buffers wait for their collection, and above all the allocator keeps what was freed: what this takes at the least. */
const RESERVE_LEAST_MIB: Record<Allocator, number> = { keeps: 104, trims: 92, tuned: 40 }
/** Of the memory of queries, what is kept of blocks for the next query: one part in so many. */
const OPEN_PART = 4
/** Of that, the trace filters. */
const FILTERS_PART = 4
/** Of what is left of that, ranges that were read, where blocks are not on a disk of this machine. */
const RANGES_PART = 2
/** Heap of a worker at rest with room to collect in; it may grow by the whole reserve. */
const HEAP_AT_REST_MIB = 32

interface Growth {
  readonly least_mib: number
  /** At the default limit. */
  readonly usual_mib: number
  readonly most_mib: number
  /** Of each MiB that the limit is below or above the default. */
  readonly below: number
  readonly above: number
}
/** An arena may have 2 GiB. */
const HEADS: Growth = { least_mib: 16, usual_mib: 40, most_mib: 1024, below: 0.35, above: 1 / 4 }
const INFLIGHT: Growth = { least_mib: 4, usual_mib: 18, most_mib: 128, below: 1 / 8, above: 1 / 16 }
const QUERIES: Growth = { least_mib: 12, usual_mib: 48, most_mib: 1024, below: 0.3, above: 1 / 6 }
const RING_LEAST = MIB
const RING_MOST = 16 * MIB
/** The longest record is a quarter of its ring, and a request is split into at most 32 (a little is lost in the splitting). */
const RINGS_PER_MESSAGE = 1 / 4

/** Sizes are whole MiB: just above the least limit all of them may have been rounded up. */
const ROUNDING_BYTES = 3 * MIB

/** New requests are refused above the first share of the limit, until the second is reached. */
const REFUSE_ABOVE = 0.88
const RESUME_BELOW = 0.84

export interface MemoryRequest {
  /** 0 = not set: a share of what is available. */
  readonly limit_bytes: number
  readonly available: AvailableMemory
  readonly partitions: number
  /** Blocks built at once. */
  readonly builders: number
  /** New blocks are parquet; those of single tenants, which may change while we run, are not asked. */
  readonly buildsParquet?: boolean // default false
  /** Blocks are read over the network; a disk's are in the kernel's cache. */
  readonly readsRemotely?: boolean // default false
  readonly maxMessage_bytes: number
  readonly allocator: Allocator
  /** Set by hand; 0 = derived. */
  readonly ring_bytes: number
  readonly ingress_bytes: number
  readonly head_bytes: number
}

export interface HeapLimits {
  readonly old_mib: number
  readonly young_mib: number
}

export interface MemoryPart {
  readonly name: string
  readonly bytes: number
  readonly about: string
}

export interface MemoryPlan {
  readonly limit_bytes: number
  /** Where the limit comes from, for people. */
  readonly origin: string
  /** Their sum is the limit. */
  readonly parts: readonly MemoryPart[]
  readonly refuseAbove_bytes: number
  readonly resumeBelow_bytes: number
  readonly ring_bytes: number
  readonly ingress_bytes: number
  readonly head_bytes: number
  /** False when the size of the heads is derived. */
  readonly areHeadsSet: boolean
  /** Bodies of requests between socket and answer, both doors together. */
  readonly inflight_bytes: number
  /** What open blocks keep for the next query. */
  readonly openBlocks_bytes: number
  /** Ranges that were read from the backend; 0 where that is a disk. */
  readonly ranges_bytes: number
  /** What is kept of the trace ids of all blocks, in a querier. */
  readonly traceFilters_bytes: number
  /** Jobs that a querier runs at once; further ones wait. */
  readonly queryJobs: number
  /** Spans whose columns a block builder holds at once. */
  readonly groupSpans: number
  readonly heaps: {
    readonly write: HeapLimits
    readonly read: HeapLimits
    readonly builder: HeapLimits
  }
}

export interface MemoryProblem {
  /** The key that is to be changed. */
  readonly path: string
  readonly text: string
}

/** The sizes that fit the limit, or which key does not fit and by how much. */
export function planMemory(request: MemoryRequest): MemoryPlan | MemoryProblem {
  const { limit_bytes, origin } = limitOf(request)
  const sizes = sizesFor(limit_bytes, request)
  const short_bytes = leastReserve_bytes(request) - sizes.reserve_bytes
  const isRounding = short_bytes <= ROUNDING_BYTES && limit_bytes >= leastLimit_bytes(request)
  if (short_bytes <= 0 || isRounding) {
    const limit = { limit_bytes, origin, areHeadsSet: request.head_bytes > 0 }
    return planOf(limit, sizes, request.readsRemotely ?? false)
  }
  return misfit(limit_bytes, origin, request)
}

/** The least limit with which these settings fit. */
export function leastLimit_bytes(request: MemoryRequest): number {
  // With the smallest row groups the parts never shrink as the limit grows, so what is missing at one limit is missing from
  // every smaller one too.
  for (let mib = AT_REST_MIB; ;) {
    const missing_bytes = leastReserve_bytes(request) - sizesFor(mib * MIB, request).reserve_bytes
    if (missing_bytes <= 0) return mib * MIB
    mib += Math.ceil(missing_bytes / MIB)
  }
}

function limitOf(request: MemoryRequest): { limit_bytes: number; origin: string } {
  const { available } = request
  if (request.limit_bytes > 0) return { limit_bytes: request.limit_bytes, origin: 'as set' }
  const share = available.of === 'container' ? CONTAINER_SHARE : MACHINE_SHARE
  const ofIt = `the ${available.of}'s ${formatBytes(available.bytes)}`
  const wanted = Math.min(floorTo(share * available.bytes, MIB), DEFAULT_MOST_MIB * MIB)
  const least = leastLimit_bytes(request)
  const isDerived = request.ring_bytes + request.ingress_bytes + request.head_bytes === 0
  const mayGrow = isDerived || wanted < DEFAULT_MOST_MIB * MIB
  // What is needed is given, if it is there at all: to a small machine, and to many partitions. Who sets sizes sets the limit.
  if (mayGrow && wanted < least && least <= CONTAINER_SHARE * available.bytes) {
    return { limit_bytes: least, origin: `the least that is needed, of ${ofIt}` }
  }
  if (wanted === DEFAULT_MOST_MIB * MIB) {
    return { limit_bytes: wanted, origin: `the default where ${ofIt} allow it` }
  }
  return { limit_bytes: wanted, origin: `${Math.round(share * 100)} % of ${ofIt}` }
}

function leastReserve_bytes({ allocator }: MemoryRequest): number {
  return RESERVE_LEAST_MIB[allocator] * MIB
}

interface Sizes {
  readonly ring_bytes: number
  readonly ingress_bytes: number
  readonly head_bytes: number
  readonly inflight_bytes: number
  readonly queries_bytes: number
  readonly builder_bytes: number
  readonly groupSpans: number
  readonly parts: readonly MemoryPart[]
  /** What is left; less than nothing when it does not fit. */
  readonly reserve_bytes: number
}

/** Row groups are as large as fits beside what was set by hand. */
function sizesFor(limit_bytes: number, request: MemoryRequest): Sizes {
  const choices = groupSpansFor(limit_bytes, request.buildsParquet ?? false)
  const sizes = choices.map((spans) => sizesWith(spans, limit_bytes, request))
  const least_bytes = leastReserve_bytes(request)
  return sizes.find(({ reserve_bytes }) => reserve_bytes >= least_bytes) ?? sizes.at(-1)!
}

function sizesWith(groupSpans: number, limit_bytes: number, request: MemoryRequest): Sizes {
  const { partitions, builders, maxMessage_bytes, buildsParquet = false } = request
  const head_bytes = request.head_bytes || grown(HEADS, limit_bytes)
  const ring = derivedRing_bytes(limit_bytes, partitions, maxMessage_bytes)
  const ring_bytes = request.ring_bytes || Math.max(ring, request.ingress_bytes)
  const ingress_bytes = request.ingress_bytes || Math.min(ring, ring_bytes)
  const inflight_bytes = Math.max(maxMessage_bytes, grown(INFLIGHT, limit_bytes))
  const queries_bytes = grown(QUERIES, limit_bytes)
  const builder_mib = BUILDER_MIB + (buildsParquet ? PARQUET_MIB : 0)
  const builder_bytes = builder_mib * MIB + groupSpans * GROUP_BYTES_PER_SPAN
  const parts: MemoryPart[] = [
    part('rest', AT_REST_MIB * MIB, 'Node, its code, and every thread at rest'),
    part('heads', head_bytes, 'live heads'),
    part('indexes', ceilTo(head_bytes * INDEX_BYTES_PER_HEAD_BYTE, MIB), 'hash tables of the live heads'),
    part('recent', ceilTo(head_bytes * RECENT_BYTES_PER_HEAD_BYTE, MIB), 'ids of spans whose heads were cut lately'),
    part('rings', partitions * (ring_bytes + ingress_bytes), ringsText(partitions, ingress_bytes, ring_bytes)),
    part('tables', (TABLES_MIB + CATALOG_MIB * partitions) * MIB, 'catalogs, acks, metrics'),
    part('requests', inflight_bytes, 'requests in flight'),
    part('builders', builders * ceilTo(builder_bytes, MIB), buildersText(builders, groupSpans, buildsParquet)),
    part('queries', queries_bytes, 'open blocks and jobs of queries'),
  ] // prettier-ignore
  const sum = parts.reduce((total, { bytes }) => total + bytes, 0)
  const reserve_bytes = limit_bytes - sum
  return {
    ring_bytes,
    ingress_bytes,
    head_bytes,
    inflight_bytes,
    queries_bytes,
    builder_bytes,
    groupSpans,
    parts: [
      ...parts,
      part('reserve', reserve_bytes, 'heaps, buffers, and what the allocator keeps'),
    ],
    reserve_bytes,
  }
}

function grown(
  { least_mib, usual_mib, most_mib, below, above }: Growth,
  limit_bytes: number,
): number {
  const over_mib = limit_bytes / MIB - DEFAULT_MOST_MIB
  const mib = Math.floor(usual_mib + over_mib * (over_mib < 0 ? below : above))
  return within(mib, least_mib, most_mib) * MIB
}

/** A power of two: a small share of the limit, but large enough for the longest request. */
function derivedRing_bytes(
  limit_bytes: number,
  partitions: number,
  maxMessage_bytes: number,
): number {
  const share = 2 ** Math.floor(Math.log2(limit_bytes / (128 * partitions)))
  const needed = 2 ** Math.ceil(Math.log2(maxMessage_bytes * RINGS_PER_MESSAGE))
  return Math.max(within(share, RING_LEAST, RING_MOST), Math.min(needed, RING_MOST))
}

/**
 * Larger groups compress better and are scanned faster; their columns are what a builder holds. The largest first.
 * Parquet's row groups are its own, these are the parts of one.
 */
function groupSpansFor(limit_bytes: number, buildsParquet: boolean): readonly number[] {
  if (buildsParquet) return limit_bytes >= PARQUET_WHOLE_MIB * MIB ? [16_384, 4096] : [4096]
  if (limit_bytes >= DEFAULT_MOST_MIB * MIB) return [16_384, 8192, 4096]
  return limit_bytes >= 440 * MIB ? [8192, 4096] : [4096]
}

function planOf(
  limit: Pick<MemoryPlan, 'limit_bytes' | 'origin' | 'areHeadsSet'>,
  sizes: Sizes,
  readsRemotely: boolean,
): MemoryPlan {
  const { limit_bytes } = limit
  const { parts, reserve_bytes, queries_bytes, builder_bytes, groupSpans, ...rest } = sizes
  const sum = parts.reduce((total, { bytes }) => total + bytes, 0)
  assert(sum === limit_bytes, `memory parts make ${sum} bytes, the limit is ${limit_bytes}`)
  const young_mib = 4
  const write = HEAP_AT_REST_MIB + Math.floor(reserve_bytes / MIB)
  const open_bytes = floorTo(queries_bytes / OPEN_PART, MIB)
  const filters_bytes = Math.floor(open_bytes / FILTERS_PART)
  const blocks_bytes = open_bytes - filters_bytes
  const ranges_bytes = readsRemotely ? Math.floor(blocks_bytes / RANGES_PART) : 0
  return {
    ...limit,
    parts,
    refuseAbove_bytes: Math.floor(limit_bytes * REFUSE_ABOVE),
    resumeBelow_bytes: Math.floor(limit_bytes * RESUME_BELOW),
    ring_bytes: rest.ring_bytes,
    ingress_bytes: rest.ingress_bytes,
    head_bytes: rest.head_bytes,
    inflight_bytes: rest.inflight_bytes,
    openBlocks_bytes: blocks_bytes - ranges_bytes,
    ranges_bytes,
    traceFilters_bytes: filters_bytes,
    queryJobs: Math.max(1, Math.floor((queries_bytes - open_bytes) / (JOB_MIB * MIB))),
    groupSpans,
    heaps: {
      write: { old_mib: write, young_mib },
      read: { old_mib: write + Math.floor(queries_bytes / MIB), young_mib },
      builder: { old_mib: Math.floor((builder_bytes + reserve_bytes) / MIB), young_mib },
    },
  }
}

/** Whether a size set by hand is at fault, or the limit itself. */
function misfit(limit_bytes: number, origin: string, request: MemoryRequest): MemoryProblem {
  const bare = { ...request, ring_bytes: 0, ingress_bytes: 0, head_bytes: 0 }
  const needs = leastLimit_bytes(request)
  const least = leastLimit_bytes(bare)
  const by = inMib(needs - limit_bytes)
  const limit = `${inMib(limit_bytes)} (${origin})`
  if (least > limit_bytes) {
    const mib = Math.round(request.maxMessage_bytes / MIB)
    const { partitions, builders } = request
    const what = `${plural(partitions, 'partition')}, ${plural(builders, 'block builder')} and requests of up to ${mib} MiB`
    const text = `is ${limit}, too little by ${by}: ${what} need at least ${inMib(needs)}${tunedHint(request)}`
    return { path: 'memory.limit', text }
  }
  const { path, bytes } = largestExcess(request, bare, limit_bytes)
  const text = `is ${inMib(bytes)} and does not fit memory.limit ${limit}: with it the process needs ${inMib(needs)}, ${by} more; make it smaller, leave it out, or set memory.limit: ${needs / MIB}MiB`
  return { path, text }
}

function tunedHint(request: MemoryRequest): string {
  if (request.allocator === 'tuned') return ''
  const least_bytes = leastLimit_bytes({ ...request, allocator: 'tuned' })
  return ` (${inMib(least_bytes)} with ${TUNED} in the environment)`
}

function largestExcess(request: MemoryRequest, bare: MemoryRequest, limit_bytes: number) {
  const derived = sizesFor(limit_bytes, bare)
  const { partitions } = request
  const keys = [
    { path: 'actors.head_bytes', bytes: request.head_bytes, over: request.head_bytes - derived.head_bytes },
    { path: 'actors.bus.ring_bytes', bytes: request.ring_bytes, over: partitions * (request.ring_bytes - derived.ring_bytes) },
    { path: 'actors.bus.ingress_bytes', bytes: request.ingress_bytes, over: partitions * (request.ingress_bytes - derived.ingress_bytes) },
  ] // prettier-ignore
  return keys.reduce((most, key) => (key.over > most.over ? key : most))
}

function ringsText(partitions: number, ingress_bytes: number, ring_bytes: number): string {
  const sizes = `${formatBytes(ingress_bytes)} (ingress), ${formatBytes(ring_bytes)} (traces)`
  return `rings of ${plural(partitions, 'partition')}: ${sizes} each`
}

function buildersText(builders: number, groupSpans: number, buildsParquet: boolean): string {
  const what = buildsParquet ? 'parquet builder' : 'block builder'
  return `${plural(builders, what)}, ${groupSpans} spans at a time`
}

function plural(count: number, name: string): string {
  return `${count} ${name}${count === 1 ? '' : 's'}`
}

/** One unit for all sizes of a sentence, so that a reader can subtract. */
function inMib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}

function part(name: string, bytes: number, about: string): MemoryPart {
  return { name, bytes, about }
}

function within(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value))
}

function floorTo(value: number, unit: number): number {
  return Math.floor(value / unit) * unit
}

function ceilTo(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}
