/**
 * Owns the steps of the store on shared memory: each call below is a point before which a life may end, and some are
 * looked at by the judge. The methods are the real ones; only a call goes in front of them.
 */
import { AckMarker } from '../../src/bus/acks.js'
import { Consumer } from '../../src/bus/consumer.js'
import { groupState } from '../../src/bus/group.js'
import { LOCK_OFFSET } from '../../src/bus/layout.js'
import { Ring, type Fill, type RecordHead } from '../../src/bus/ring.js'
import { TRACES_TOPIC } from '../../src/actors/livestore/contract.js'
import { Catalog } from '../../src/storage/catalog.js'
import { HeadArena } from '../../src/storage/head/arena.js'
import { HeadWriter } from '../../src/storage/head/writer.js'
import { ledger } from './ledger.js'
import { namesInRequest } from './span-names.js'
import { world } from './world.js'

const STEPS: readonly (readonly [object, string, readonly string[]])[] = [
  [Catalog.prototype, 'catalog', ['addHead', 'addLocal', 'markCut', 'markLocal', 'markFlushed', 'remove']], // prettier-ignore
  [HeadArena.prototype, 'arena', ['takeHeader', 'open', 'retire', 'reclaim']],
  [HeadWriter.prototype, 'head', ['append', 'publish']],
  [AckMarker.prototype, 'acks', ['route', 'routed', 'refuse', 'reject']],
]

type Method = (...args: unknown[]) => unknown

export function installSteps(): void {
  for (const [prototype, label, names] of STEPS) {
    const methods = prototype as Record<string, Method>
    for (const name of names) {
      const real = methods[name]!
      methods[name] = function (...args) {
        world.step(`${label}.${name}`)
        return real.apply(this, args)
      }
    }
  }
  installAppend()
  installCommit()
}

/** A thread that dies in an append may hold the lock of the ring. */
function installAppend(): void {
  const real = Object.getOwnPropertyDescriptor(Ring.prototype, 'append')!.value as Ring['append']
  Ring.prototype.append = function (this: Ring, actorId, head: RecordHead, length, fill: Fill) {
    try {
      world.step(`append to ${this.label}`)
    } catch (error) {
      if (world.random.oneIn(2)) Atomics.compareExchange(this.words, LOCK_OFFSET >> 2, 0, actorId)
      throw error
    }
    let value: Uint8Array | undefined
    const end = real.call(this, actorId, head, length, (target, at) => {
      fill(target, at)
      if (this.topic === TRACES_TOPIC) value = target.slice(at, at + length)
    })
    if (end > 0 && value) ledger.noteAppended(namesInRequest(value), this.partition, end)
    return end
  }
}

function installCommit(): void {
  const real = Object.getOwnPropertyDescriptor(Consumer.prototype, 'commit')!
    .value as Consumer['commit']
  Consumer.prototype.commit = function (this: Consumer, offset: number) {
    const { ring, group } = this
    world.step(`commit ${ring.label} at ${offset}`)
    const before = ring.committed(group)
    real.call(this, offset)
    const after = ring.committed(group)
    const { actorId } = world.current
    world.check(
      after >= before,
      'offsets never go back',
      () => `${ring.label}: ${before} to ${after}`,
    )
    const { owner } = groupState(ring, group)
    world.check(owner === actorId, 'only the owner commits', () => {
      return `${ring.label} belongs to ${owner}, and ${actorId} committed ${offset}`
    })
  }
}
