import { expect, it } from 'vitest'
import { Pending } from '../../../src/actors/receiver/pending.js'
import { AckMarker, AckReceiver, Acks } from '../../../src/bus/acks.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'

function made() {
  const memory = Acks.create({ slots: 4 })
  const acks = new AckReceiver(memory)
  const options = { acks, committedOf: () => 64, spots: [], timeout_ms: 1000 }
  const pending = new Pending({ ...options, clock: new FakeClock() })
  return { acks, pending, marker: new AckMarker(memory) }
}

it('answers a request that comes to its wait after the stop, instead of never', async () => {
  const { acks, pending } = made()
  const correlation = acks.open(1)
  pending.stop()
  expect(await pending.wait(correlation)).toMatchObject({ kind: 'timeout' })
  expect(acks.openCount).toBe(0)
})

it('says durable of one that is durable by then', async () => {
  const { acks, pending, marker } = made()
  const correlation = acks.open(1)
  marker.route(correlation, 0, 64)
  marker.routed(correlation)
  pending.stop()
  expect(await pending.wait(correlation)).toMatchObject({ kind: 'durable' })
})
