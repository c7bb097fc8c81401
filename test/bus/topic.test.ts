/** Owns the proof of topics: a handle that crosses threads, and errors that name what is missing. */
import { expect, it } from 'vitest'
import { assignGroup } from '../../src/bus/group.js'
import { createTopic, Topic, TOPICS } from '../../src/bus/topic.js'
import { filling, READER, WRITER } from './support.js'

const SPEC = {
  name: TOPICS.traces,
  partitions: 3,
  capacity_bytes: 4096,
  baseOffsets: [0, 640],
  groups: [
    { name: 'livestore', mode: 'gating' as const },
    { name: 'generator', mode: 'lossy' as const },
  ],
}

it('appends to a partition, and reads it again through a clone of the handle', () => {
  const handle = createTopic(SPEC)
  const writer = new Topic(handle)
  const head = { type: 1, correlation: 4, key: Buffer.from('t'), timestamp_ms: 0 }
  expect(writer.appendTo(1, WRITER, head, 10, filling(4, 10))).toBe(640 + 64)
  const reader = new Topic(structuredClone(handle))
  const group = reader.groupIndex('livestore')
  const epoch = assignGroup(reader.ring(1), group, READER)
  const consumer = reader.consumer(1, 'livestore', { actorId: READER, epoch })
  const batch = consumer.poll()!
  expect(batch).toMatchObject({ partition: 1, end: 704 })
  expect(writer.committedOf(1)).toBe(640)
  consumer.commit(batch.end)
  expect(writer.committedOf(1)).toBe(704) // the lossy group does not count
  expect(reader.capacity_bytes).toBe(3 * 4096)
})

it('names what does not exist, and refuses rings in the wrong place', () => {
  const handle = createTopic(SPEC)
  const topic = new Topic(handle)
  expect(() => topic.ring(3)).toThrow('topic traces has no partition 3; it has 3')
  expect(() => topic.groupIndex('x')).toThrow('it has: livestore, generator')
  expect(() => createTopic({ ...SPEC, partitions: 17 })).toThrow('partitions=17')
  const partitions = [...handle.partitions].reverse()
  expect(() => new Topic({ ...handle, partitions })).toThrow(
    'traces/0 was given the ring of traces/2',
  )
})
