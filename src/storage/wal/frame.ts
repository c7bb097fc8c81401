/** Owns frames: packing records of one append into few LMDB values, and unpacking them (layout in keys.ts). */
import { crc32 } from 'node:zlib'
import {
  FRAME_BYTES,
  FRAME_HEADER_BYTES,
  FrameKind,
  MAX_FRAME_RECORDS,
  PART_BYTES,
  RECORD_HEADER_BYTES,
} from './keys.js'

/** Where a record stands in the ring and whose it is; `bytes` is OTLP. */
export interface FramedRecord {
  tenantIndex: number
  startOffset: number
  endOffset: number
  timestamp_ms: number
  bytes: Uint8Array
}

export interface Frame {
  kind: number
  /** Records in it, or for parts the number of the part. */
  count: number
  /** What follows the frame header; checked against its checksum. */
  body: Uint8Array
}

const MAX_POOLED_BUFFERS = 4

class FrameBuffer {
  readonly bytes = new Uint8Array(FRAME_BYTES)
  readonly view = new DataView(this.bytes.buffer)
}

/** Packs records into frames on reused buffers: a buffer is free again once its transaction has ended. */
export class FramePacker {
  readonly #pool: FrameBuffer[] = []
  #buffer: FrameBuffer | undefined
  #length = 0
  #recordCount = 0
  #sealed: Uint8Array[] = []
  #lent: FrameBuffer[] = []

  /** Copies the record, so that its bytes may change or go away at once. */
  add(record: FramedRecord): void {
    const length = RECORD_HEADER_BYTES + record.bytes.length
    if (FRAME_HEADER_BYTES + length > FRAME_BYTES) {
      this.#seal()
      this.#sealed.push(...cutIntoParts(record))
      return
    }
    if (this.#length + length > FRAME_BYTES || this.#recordCount === MAX_FRAME_RECORDS) this.#seal()
    this.#buffer ??= this.#begin()
    writeRecordHeader(this.#buffer.view, this.#length, record)
    this.#buffer.bytes.set(record.bytes, this.#length + RECORD_HEADER_BYTES)
    this.#length += length
    this.#recordCount++
  }

  /** The frames so far, in order, and what to call when nobody reads them any more. */
  take(): { frames: Uint8Array[]; release: () => void } {
    this.#seal()
    const frames = this.#sealed
    const lent = this.#lent
    this.#sealed = []
    this.#lent = []
    const release = () => {
      for (const buffer of lent) {
        if (this.#pool.length < MAX_POOLED_BUFFERS) this.#pool.push(buffer)
      }
    }
    return { frames, release }
  }

  #begin(): FrameBuffer {
    this.#length = FRAME_HEADER_BYTES
    this.#recordCount = 0
    const buffer = this.#pool.pop() ?? new FrameBuffer()
    this.#lent.push(buffer)
    return buffer
  }

  #seal(): void {
    if (!this.#buffer) return
    const { bytes, view } = this.#buffer
    this.#sealed.push(
      finishFrame(bytes.subarray(0, this.#length), view, FrameKind.records, this.#recordCount),
    )
    this.#buffer = undefined
  }
}

function writeRecordHeader(view: DataView, at: number, record: FramedRecord): void {
  view.setUint32(at, record.bytes.length, true)
  view.setUint32(at + 4, record.tenantIndex, true)
  view.setFloat64(at + 8, record.startOffset, true)
  view.setFloat64(at + 16, record.endOffset, true)
  view.setFloat64(at + 24, record.timestamp_ms, true)
}

function finishFrame(frame: Uint8Array, view: DataView, kind: number, count: number): Uint8Array {
  view.setUint8(0, kind)
  view.setUint8(1, 0)
  view.setUint16(2, count, true)
  view.setUint32(4, crc32(frame.subarray(FRAME_HEADER_BYTES)), true)
  return frame
}

/** Each part repeats the record header, so that any frame tells its offset. */
function cutIntoParts(record: FramedRecord): Uint8Array[] {
  const room = PART_BYTES - FRAME_HEADER_BYTES - RECORD_HEADER_BYTES
  const partCount = Math.ceil(record.bytes.length / room)
  const parts: Uint8Array[] = []
  for (let part = 0; part < partCount; part++) {
    const piece = record.bytes.subarray(part * room, (part + 1) * room)
    const frame = new Uint8Array(FRAME_HEADER_BYTES + RECORD_HEADER_BYTES + piece.length)
    const view = new DataView(frame.buffer)
    writeRecordHeader(view, FRAME_HEADER_BYTES, record)
    frame.set(piece, FRAME_HEADER_BYTES + RECORD_HEADER_BYTES)
    const kind = part === partCount - 1 ? FrameKind.lastPart : FrameKind.part
    parts.push(finishFrame(frame, view, kind, part))
  }
  return parts
}

/** The frame, or undefined when its checksum or its shape is wrong. */
export function openFrame(value: Uint8Array): Frame | undefined {
  if (value.length < FRAME_HEADER_BYTES + RECORD_HEADER_BYTES) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const body = value.subarray(FRAME_HEADER_BYTES)
  if (crc32(body) !== view.getUint32(4, true)) return undefined
  return { kind: view.getUint8(0), count: view.getUint16(2, true), body }
}

/** The start offset of the first record in the frame. */
export function frameStartOffset({ body }: Frame): number {
  return new DataView(body.buffer, body.byteOffset).getFloat64(8, true)
}

/** The records of a frame of kind `records`, as views on it. */
export function unpackRecords({ body, count }: Frame): FramedRecord[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  const records: FramedRecord[] = []
  let at = 0
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(at, true)
    records.push(
      recordAt(
        view,
        at,
        body.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length),
      ),
    )
    at += RECORD_HEADER_BYTES + length
  }
  return records
}

/** The record that was cut into these frames. */
export function joinParts(parts: readonly Frame[]): FramedRecord {
  const first = parts[0]!.body
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength)
  const bytes = new Uint8Array(view.getUint32(0, true))
  let at = 0
  for (const { body } of parts) {
    bytes.set(body.subarray(RECORD_HEADER_BYTES), at)
    at += body.length - RECORD_HEADER_BYTES
  }
  return recordAt(view, 0, bytes)
}

function recordAt(view: DataView, at: number, bytes: Uint8Array): FramedRecord {
  return {
    tenantIndex: view.getUint32(at + 4, true),
    startOffset: view.getFloat64(at + 8, true),
    endOffset: view.getFloat64(at + 16, true),
    timestamp_ms: view.getFloat64(at + 24, true),
    bytes,
  }
}
