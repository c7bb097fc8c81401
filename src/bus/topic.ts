/** Owns the topics: their names, and the rings that are a topic's partitions. */
import { assert } from '../lib/assert.js'
import { BusFormatError, BusNameError } from './errors.js'
import { Consumer, type ConsumerOptions } from './consumer.js'
import { type Fill, type RecordHead, Ring } from './ring.js'
import type { GroupSpec } from './ring-format.js'

/** The topics of the house, in the order in which a span passes them. */
export const TOPICS = { ingress: 'ingress', traces: 'traces' } as const

export const PARTITIONS_MAX = 16

export interface TopicSpec {
  name: string
  partitions: number // 1..16, fixed for the life of the process
  capacity_bytes: number // of each partition
  groups: readonly GroupSpec[]
  baseOffsets?: readonly number[] // where each partition's offsets begin; default 0
}

/** A topic as it travels to a worker: structured clone shares the memory. */
export interface TopicHandle {
  name: string
  partitions: readonly SharedArrayBuffer[]
}

/** Makes the memory of a topic. The supervisor holds it as long as the process lives. */
export function createTopic(spec: TopicSpec): TopicHandle {
  const { name, partitions, capacity_bytes, groups, baseOffsets = [] } = spec
  assert(
    Number.isInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS_MAX,
    `topic ${name}: 1 to ${PARTITIONS_MAX} partitions: partitions=${partitions}`,
  )
  const buffers = Array.from({ length: partitions }, (_, partition) => {
    const baseOffset = baseOffsets[partition] ?? 0
    return Ring.create({ topic: name, partition, capacity_bytes, baseOffset, groups })
  })
  return { name, partitions: buffers }
}

/** One thread's view of a topic. */
export class Topic {
  readonly name: string
  readonly rings: readonly Ring[]

  constructor(handle: TopicHandle) {
    this.name = handle.name
    this.rings = handle.partitions.map((buffer) => new Ring(buffer))
    for (const [partition, ring] of this.rings.entries()) {
      if (ring.topic !== handle.name || ring.partition !== partition) {
        throw new BusFormatError(
          `topic ${handle.name}/${partition} was given the ring of ${ring.label}`,
        )
      }
    }
  }

  get partitions(): number {
    return this.rings.length
  }

  /** Bytes that may be on their way: what the rings hold together. */
  get capacity_bytes(): number {
    return this.rings.reduce((sum, ring) => sum + ring.capacity_bytes, 0)
  }

  ring(partition: number): Ring {
    const ring = this.rings[partition]
    if (ring !== undefined) return ring
    throw new BusNameError(
      `topic ${this.name} has no partition ${partition}; it has ${this.partitions}`,
    )
  }

  /** As Ring.append: the END offset, BACK_PRESSURED or RECORD_TOO_LONG. */
  appendTo(
    partition: number,
    actorId: number,
    head: RecordHead,
    valueLength: number,
    fill: Fill,
  ): number {
    return this.ring(partition).append(actorId, head, valueLength, fill)
  }

  /** Index of a group; the same in every partition. */
  groupIndex(name: string): number {
    return this.ring(0).groupIndex(name)
  }

  consumer(partition: number, group: string, options: ConsumerOptions): Consumer {
    return new Consumer(this.ring(partition), this.groupIndex(group), options)
  }

  /** For AckReceiver.poll: how far every gating group has committed a partition. */
  committedOf(partition: number): number {
    const ring = this.ring(partition)
    let committed = Infinity
    for (const group of ring.groups) {
      if (group.mode === 'gating') committed = Math.min(committed, ring.committed(group.index))
    }
    return committed
  }
}

/** The rings of a topic by partition, from shared memory whose names are `<topic>-<partition>`. */
export function openRings(
  shared: Readonly<Record<string, SharedArrayBuffer>>,
  topic: string,
): Ring[] {
  return Object.keys(shared)
    .filter((name) => name.startsWith(`${topic}-`))
    .map((name) => new Ring(shared[name]!))
    .sort((a, b) => a.partition - b.partition)
}

/** How far a group has committed each of the partitions: what the completion table of requests is held against. */
export function committedBy(rings: readonly Ring[], group: string): (partition: number) => number {
  const groups = rings.map((ring) => ring.groupIndex(group))
  return (partition) => rings[partition]?.committed(groups[partition]!) ?? 0
}
