/**
 * Owns what the threads of the head's stress test do: a writer that fills, publishes, retires and adopts heads, and
 * readers that check each snapshot against the one they made themselves of the same requests.
 */
import { Buffer } from 'node:buffer'
import { parentPort, workerData } from 'node:worker_threads'
import { HeadArena } from '../../dist/storage/head/arena.js'
import { HeadReaders } from '../../dist/storage/head/readers.js'
import { openHead } from '../../dist/storage/head/source.js'
import { HeadWriter } from '../../dist/storage/head/writer.js'

/** Words of `control`: the current head's chunk, its number, stop, publications, adoptions. */
const HEAD = 0
const NUMBER = 1
const STOP = 2
const PUBLISHED = 3
const ADOPTED = 4
const PARTITION = 1

const { role, memory, control, requests, slot } = workerData

function blockId(number) {
  return `00000000-0000-0000-0000-${number.toString(16).padStart(12, '0')}`
}

function write() {
  const arena = new HeadArena(memory)
  parentPort.postMessage({ ready: true })
  let writer = takeOver(arena)
  while (Atomics.load(control, STOP) === 0) {
    writer ??= begin(arena)
    if (!writer) {
      arena.reclaim()
      continue
    }
    const next = writer.appliedOffset
    if (next === requests.length) {
      Atomics.store(control, HEAD, 0)
      writer.retire()
      arena.reclaim()
      writer = undefined
      continue
    }
    const { code } = writer.append(requests[next])
    if (code !== 'ok') {
      arena.reclaim()
      continue
    }
    writer.publish(next + 1)
    Atomics.add(control, PUBLISHED, 1)
  }
}

/** What a new owner does: goes on with the listed head, gives up heads that were never listed. */
function takeOver(arena) {
  arena.sweep(PARTITION)
  const current = Atomics.load(control, HEAD)
  for (const head of arena.heads(PARTITION)) {
    if (head.state === 'open' && head.headerChunk !== current) arena.retire(head.headerChunk)
  }
  if (current === 0) return undefined
  Atomics.add(control, ADOPTED, 1)
  return HeadWriter.adopt(arena, current)
}

function begin(arena) {
  const number = Atomics.add(control, NUMBER, 1) + 1
  const facts = { blockId: blockId(number), tenant: 'stress', partition: PARTITION }
  const writer = HeadWriter.create(arena, facts)
  if (writer) Atomics.store(control, HEAD, writer.headerChunk)
  return writer
}

/** Everything that the requests up to each offset add up to. */
async function references() {
  const arena = HeadArena.create({ bytes: 64 << 20, readers: 1 })
  const facts = { blockId: blockId(0), tenant: 'stress', partition: 0 }
  const writer = HeadWriter.create(arena, facts)
  const sums = []
  for (let offset = 0; offset <= requests.length; offset++) {
    if (offset > 0) {
      writer.append(requests[offset - 1])
      writer.publish(offset)
    }
    sums.push(await sumOf(openHead(arena, writer.headerChunk, { order: 'arrival' })))
  }
  return sums
}

async function read() {
  const wanted = await references()
  const readers = new HeadReaders(new HeadArena(memory), slot)
  const tally = { scans: 0, misses: 0, spans: 0, traces: 0 }
  parentPort.postMessage({ ready: true })
  while (Atomics.load(control, STOP) === 0) {
    const number = Atomics.load(control, NUMBER)
    const chunk = Atomics.load(control, HEAD)
    const source = chunk === 0 ? undefined : readers.open(chunk, blockId(number))
    if (!source) {
      tally.misses++
      continue
    }
    // While the writer goes on, retires the head and reuses memory.
    const found = await sumOf(source)
    if (found !== wanted[source.appliedOffset]) {
      throw new Error(
        `offset ${source.appliedOffset}: ${found}, not ${wanted[source.appliedOffset]}`,
      )
    }
    tally.scans++
    tally.spans += source.spanCount
    tally.traces += await lookUp(source, readers, chunk, number)
    await source.close()
  }
  parentPort.postMessage(tally)
}

/** One trace by its id, alone, agrees with the head's own opinion of it. */
async function lookUp(source, readers, chunk, number) {
  if (source.traceCount === 0) return 0
  const group = await source.group(0)
  const ids = (await group.field('trace.id')).bytes
  const { trace } = await group.parents()
  const row = source.spanCount % group.counts.trace
  const id = ids.subarray(row * 16, row * 16 + 16)
  const alone = readers.openTrace(chunk, blockId(number), id)
  if (!alone) return 0
  const spans = trace.reduce((sum, of) => sum + (of === row ? 1 : 0), 0)
  const isSame = alone.appliedOffset === source.appliedOffset
  if (alone.spanCount < spans || (isSame && alone.spanCount !== spans)) {
    throw new Error(`trace has ${alone.spanCount} spans alone, ${spans} in the head`)
  }
  await alone.close()
  return 1
}

async function sumOf(source) {
  let hash = 0
  const add = (word) => (hash = (hash + Math.imul(word ^ (word >>> 15), 0x9e3779b1)) | 0)
  for (let index = 0; index < source.groupCount; index++) {
    const group = await source.group(index)
    const { trace } = await group.parents()
    const id = (await group.field('span.id')).bytes
    const start = await group.field('span.start')
    const name = await group.field('span.name')
    const url = await group.attribute({ level: 'span', key: 'http.url', type: 'string' })
    const cost = await group.attribute({ level: 'span', key: 'db.cost', type: 'float' })
    const ids = new Int32Array(id.buffer)
    for (let row = 0; row < group.counts.span; row++) {
      if (row > 0 && trace[row] < trace[row - 1]) throw new Error(`trace falls at row ${row}`)
      add(ids[2 * row] ^ start.lo[row])
      add(Buffer.from(group.owner.dictionary.bytes(name.codes[row])).length)
      if (url && url.codes[row] !== 0)
        for (const byte of url.dictionary.bytes(url.codes[row])) add(byte)
      if (cost && cost.present[row]) add(Math.floor(cost.values[row] * 1e6))
    }
  }
  return `${source.spanCount} ${source.traceCount} ${source.minStart_ns} ${source.maxEnd_ns} ${hash}`
}

if (role === 'writer') write()
else await read()
