/** Owns reading a segment back: its records in offset order, one frame in memory at a time. */
import type { Log } from '../../lib/log.js'
import {
  frameStartOffset,
  joinParts,
  openFrame,
  unpackRecords,
  type Frame,
  type FramedRecord,
} from './frame.js'
import { FrameKind, MAX_FRAME_RECORDS } from './keys.js'
import type { Segment, WalRecord } from './segment.js'

/** What is read through the map counts as our memory until the file is mapped anew (a millisecond or two). */
const RELEASE_BYTES = 32 * 1024 * 1024

/**
 * Yields the records that end after `from`, a frame's worth at a time (256 KiB, or one record that is longer). A damaged frame is told
 * in the log and left out: the rest of the segment is worth more than a livestore that cannot start.
 */
export async function* replaySegment(
  segment: Segment,
  from: number,
  log: Log,
): AsyncGenerator<WalRecord[]> {
  const frameCount = segment.frameCount
  let parts: Frame[] = []
  let unreleased_bytes = 0
  for (let index = await firstFrame(segment, from, frameCount); index < frameCount; index++) {
    const frame = await readFrame(segment, index)
    if (!frame) {
      log.error('wal frame is damaged, its records are left out', {
        path: segment.path,
        frame: index,
      })
      parts = []
      continue
    }
    unreleased_bytes += frame.body.length
    if (unreleased_bytes > RELEASE_BYTES) {
      await segment.releaseMemory()
      unreleased_bytes = 0
    }
    let records: FramedRecord[] = []
    if (frame.kind === FrameKind.records) records = unpackRecords(frame)
    else if (frame.count === parts.length) {
      parts.push(frame)
      if (frame.kind === FrameKind.lastPart) records = [joinParts(parts)]
    }
    if (frame.kind !== FrameKind.part) parts = []
    const wanted = named(segment, records, from)
    if (wanted.length > 0) yield wanted
    // Between frames the loop breathes, so that a long replay does not look like a hang.
    else await new Promise(setImmediate)
  }
}

async function readFrame(segment: Segment, index: number): Promise<Frame | undefined> {
  const value = await segment.frame(index)
  return value && openFrame(value)
}

function named(segment: Segment, records: FramedRecord[], from: number): WalRecord[] {
  const wanted: WalRecord[] = []
  for (const { tenantIndex, startOffset, endOffset, timestamp_ms, bytes } of records) {
    const owner = segment.tenantAt(tenantIndex)
    if (endOffset > from && owner)
      wanted.push({ ...owner, startOffset, endOffset, timestamp_ms, bytes })
  }
  return wanted
}

/** The last frame that begins at or before `from`, by bisection; damaged frames only make the start earlier. */
async function firstFrame(segment: Segment, from: number, frameCount: number): Promise<number> {
  let low = 0
  let high = frameCount - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    const frame = await readFrame(segment, middle)
    if (frame && frameStartOffset(frame) <= from) low = middle
    else high = middle - 1
  }
  if (low <= 0) return 0
  const frame = await readFrame(segment, low)
  const isPart = frame !== undefined && frame.kind !== FrameKind.records
  return isPart ? Math.max(0, low - Math.min(frame.count, MAX_FRAME_RECORDS)) : low
}
