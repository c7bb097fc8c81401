/**
 * Owns the planted bugs: edits of the store's sources on their way into the simulator, each a mistake that somebody could
 * make. An edit must fit in one place exactly; one that does not is out of date and stops the run.
 */
const PARTITION = 'actors/livestore/partition.ts'
const PIPELINE = 'actors/livestore/block-pipeline.ts'
const FLUSH = 'actors/livestore/local-flush.ts'
const LIVESTORE = 'actors/livestore/actor.ts'

const APPEND = 'const started = clock.monotonic()\n      await wal.append('
const PUBLISH = 'for (const head of touched) head.writer.publish(applied)'

/** Bounds and times that a short run with small data would never reach: edits of every run. */
export const TUNINGS = [
  {
    file: 'actors/backend-worker/contract.ts',
    from: 'FRONTEND_FORGOTTEN_MS = 60_000',
    to: 'FRONTEND_FORGOTTEN_MS = 8_000',
  },
  { file: 'storage/wal/keys.ts', from: 'FRAME_BYTES = 256 * 1024', to: 'FRAME_BYTES = 2048' },
  { file: 'storage/wal/keys.ts', from: 'PART_BYTES = 8 * 1024 * 1024', to: 'PART_BYTES = 1024' },
]

/** The text of a source with the edits that are meant for it. One that fits nowhere, or in two places, is out of date. */
export function applyEdits(edits, source, text) {
  for (const { file, from, to } of edits) {
    if (file !== source) continue
    const found = text.split(from).length - 1
    if (found !== 1) {
      throw new Error(`${found} places in src/${file} read ${JSON.stringify(from)}`)
    }
    text = text.replace(from, () => to)
  }
  return text
}

/** The ones that are found soon come first: a time box may end before the others. */
export const PLANTED_BUGS = {
  'lost-notify': {
    text: 'a commit wakes nobody: acks come when somebody re-checks',
    edits: [{ file: 'bus/consumer.ts', from: 'wake(ring.space)', to: '' }],
  },
  'no-recheck': {
    text: 'who parks is not woken by the time: after one lost wake-up he waits for ever',
    edits: [
      {
        file: 'bus/parking.ts',
        from: 'if (!this.#isRechecking) void this.#recheck(signal)',
        to: '',
      },
    ],
  },
  'ack-before-commit': {
    text: 'the receiver answers when a request is routed, not when it is committed',
    edits: [
      {
        file: 'bus/acks.ts',
        from: 'if (end > 0 && committedOf(partition) < end) return undefined',
        to: '',
      },
    ],
  },
  'commit-before-write': {
    text: 'the ring is committed before the write-ahead log has the records',
    edits: [{ file: PARTITION, from: APPEND, to: `consumer.commit(applied)\n      ${APPEND}` }],
  },
  'early-segment-drop': {
    text: 'a segment of the log is dropped when its slice is cut, before the blocks are built',
    edits: [
      {
        file: PIPELINE,
        from: 'for (const head of slice.heads) {',
        to: 'await this.#options.wal.drop(slice.segment)\n    for (const head of slice.heads) {',
      },
    ],
  },
  'flushed-before-meta': {
    text: 'a block is noted as flushed before the backend has its meta.json',
    edits: [
      {
        file: FLUSH,
        from: 'await this.#upload(block)\n      await onFlushed(block)',
        to: 'await onFlushed(block)\n      await this.#upload(block)',
      },
    ],
  },
  'short-recovery': {
    text: 'a replay leaves out the last frame of a segment',
    edits: [
      { file: 'storage/wal/replay.ts', from: 'index < frameCount; index++', to: 'index < frameCount - 1; index++' }, // prettier-ignore
    ],
  },
  'offsets-restart': {
    text: 'a new process begins its rings at zero',
    edits: [
      { file: 'storage/wal/applied.ts', from: 'offsets.push(wal.appliedOffset)', to: 'offsets.push(0)' }, // prettier-ignore
    ],
  },
  'staged-rows-lost': {
    text: 'of the heads that a batch has touched only the first is published',
    edits: [
      {
        file: PARTITION,
        from: PUBLISH,
        to: PUBLISH.replace('touched', '[...touched].slice(0, 1)'),
      },
    ],
  },
  'deleted-unflushed': {
    text: 'a local block is deleted when its time is up, flushed or not',
    edits: [
      { file: FLUSH, from: 'return block.isFlushed && age_ms', to: 'return age_ms' },
      { file: LIVESTORE, from: 'if (listed.has(block.blockId)) await', to: 'if (listed) await' },
    ],
  },
  'stale-epoch': {
    text: 'who has lost the group goes on reading and committing',
    edits: [
      {
        file: 'bus/consumer.ts',
        from: 'return ownsGroup(this.ring, this.group, this.#actorId, this.#epoch)',
        to: 'return ownsGroup !== undefined && this.#actorId + this.#epoch > 0',
      },
    ],
  },
  'own-room': {
    text: 'a head that found no room takes the memory it gives back for room (found by the simulator, mended)',
    edits: [
      {
        file: 'storage/head/writer.ts',
        from: 'arena.reclaim()\n      return undefined',
        to: 'return undefined',
      },
    ],
  },
  'publish-before-commit': {
    text: 'rows are shown before the write-ahead log has them',
    edits: [{ file: PARTITION, from: APPEND, to: `${PUBLISH}\n      ${APPEND}` }],
  },
  'stale-generation': {
    text: 'a late mark for a request that was given up counts for the next one in its slot',
    edits: [
      {
        file: 'bus/acks.ts',
        from: 'const parts = this.payload(slot, PARTS_WORD, BigInt(correlation >>> 16))\n    return parts',
        to: 'const parts = Atomics.load(this.longs, this.wordOf(slot, PARTS_WORD)) & PAYLOAD_MASK\n    return parts',
      },
      {
        file: 'bus/acks.ts',
        from: 'const slot = slotOf(correlation)\n    const generation = BigInt(correlation >>> 16)\n    const index',
        to: 'const slot = slotOf(correlation)\n    const generation = generationOf(Atomics.load(this.longs, this.wordOf(slot, PARTS_WORD)))\n    const index',
      },
    ],
  },
  'deleted-unlisted': {
    text: 'a local block is deleted before every frontend lists it in the backend',
    edits: [
      { file: LIVESTORE, from: 'if (listed.has(block.blockId)) await', to: 'if (listed) await' },
    ],
  },
  'double-apply': {
    text: 'a replacement reads from where the ring was committed, not from what the log has applied',
    edits: [
      { file: LIVESTORE, from: '{ actorId, epoch, from, reuses', to: '{ actorId, epoch, reuses' },
      { file: LIVESTORE, from: 'consumer.commit(from)', to: 'if (from < 0) consumer.commit(from)' },
    ],
  },
  'empty-heads': {
    text: 'heads without a span keep their memory while the partition waits for room (found by the simulator, mended)',
    edits: [{ file: PARTITION, from: 'else this.#letGo()', to: '' }],
  },
}
