/** Owns the group slots of a ring: who may commit, since which epoch, and how often a start found nothing moved. */
import { assert } from '../lib/assert.js'
import * as at from './layout.js'
import type { Ring } from './ring.js'
import type { GroupMode } from './ring-format.js'
import { wake } from './parking.js'

/** What a group's slot says, read word by word: a snapshot for people and metrics. */
export interface GroupState {
  name: string
  mode: GroupMode
  committed: number
  committedRecords: number
  lapped: number // how often a lossy group was overrun
  lostRecords: number // what it lost thereby
  owner: number // actor id, 0 = nobody
  epoch: number
  attempts: number
}

/** Index into `words` of a 4-byte field of a group's slot. */
export function groupWord(group: number, field: number): number {
  return (at.GROUPS_OFFSET + group * at.GROUP_LENGTH + field) >> 2
}

/** Index into `longs` and `floats` of an 8-byte field of a group's slot. */
export function groupLong(group: number, field: number): number {
  return (at.GROUPS_OFFSET + group * at.GROUP_LENGTH + field) >> 3
}

/**
 * Makes `actorId` the owner and answers the new epoch; whoever held the group before is fenced from here on.
 * Thread contract: one coordinator (the supervisor).
 */
export function assignGroup(ring: Ring, group: number, actorId: number): number {
  assert(actorId > 0, `${ring.label}: actor ids are positive: actorId=${actorId}`)
  const epoch = revokeGroup(ring, group)
  Atomics.store(ring.words, groupWord(group, at.OWNER_OFFSET), actorId)
  return epoch
}

/** Takes the group from its owner; a parked consumer wakes to find itself fenced. Answers the new epoch. */
export function revokeGroup(ring: Ring, group: number): number {
  assert(group >= 0 && group < ring.groups.length, `${ring.label}: no group ${group}`)
  // Nobody first, then the epoch: at no instant does an old owner meet its own id with its own epoch again.
  Atomics.store(ring.words, groupWord(group, at.OWNER_OFFSET), 0)
  const epoch = Atomics.add(ring.words, groupWord(group, at.EPOCH_OFFSET), 1) + 1
  wake(ring.published)
  return epoch
}

/** True while `actorId` may read and commit under `epoch`. */
export function ownsGroup(ring: Ring, group: number, actorId: number, epoch: number): boolean {
  return (
    Atomics.load(ring.words, groupWord(group, at.OWNER_OFFSET)) === actorId &&
    Atomics.load(ring.words, groupWord(group, at.EPOCH_OFFSET)) === epoch
  )
}

/**
 * Counts one more start after a crash; answers how many there were since `committed` last moved. From the first
 * on, batches should be of one record; at the third, the record at `committed` is the poison.
 */
export function countAttempt(ring: Ring, group: number): number {
  return Atomics.add(ring.words, groupWord(group, at.ATTEMPTS_OFFSET), 1) + 1
}

/** Starts since `committed` last moved. */
export function attemptsOf(ring: Ring, group: number): number {
  return Atomics.load(ring.words, groupWord(group, at.ATTEMPTS_OFFSET))
}

export function groupState(ring: Ring, group: number): GroupState {
  const info = ring.groups[group]
  assert(info !== undefined, `${ring.label}: no group ${group}`)
  const float = (field: number) => ring.floats[groupLong(group, field)]!
  const word = (field: number) => Atomics.load(ring.words, groupWord(group, field))
  return {
    name: info.name,
    mode: info.mode,
    committed: ring.committed(group),
    committedRecords: float(at.COMMITTED_RECORDS_OFFSET),
    lapped: float(at.LAPPED_OFFSET),
    lostRecords: float(at.LOST_RECORDS_OFFSET),
    owner: word(at.OWNER_OFFSET),
    epoch: word(at.EPOCH_OFFSET),
    attempts: word(at.ATTEMPTS_OFFSET),
  }
}
