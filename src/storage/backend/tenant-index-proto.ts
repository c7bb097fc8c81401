/**
 * Owns the protobuf form of a tenant index, as Tempo's backend.v1.TenantIndex has it. Two fields of ours are numbered far above Tempo's,
 * which passes over what it does not know.
 */
import type { BlockMeta, DedicatedColumn } from '../block/encoding.js'
import { ByteReader, ByteWriter } from '../block/codec/bytes.js'
import { formatTime, parseTime_ns } from '../block/meta.js'
import { inputsOf } from './replaced-blocks.js'
import type { CompactedMeta, TenantIndex } from './tenant-index.js'

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

const INDEX = { createdAt: 1, meta: 2, compacted: 3 } as const
const COMPACTED = { meta: 1, compactedTime: 2 } as const
const META = {
  format: 1,
  blockID: 2,
  tenantID: 5,
  startTime: 6,
  endTime: 7,
  dedicatedColumns: 17,
  totalSpans: 5001,
  compactedFrom: 5002,
} as const
const COUNTS = [
  ['totalObjects', 8],
  ['size', 9],
  ['compactionLevel', 10],
  ['indexPageSize', 12],
  ['totalRecords', 13],
  ['bloomShards', 15],
  ['footerSize', 16],
  ['replicationFactor', 18],
] as const
const COUNT_NAMES = new Map<number, keyof BlockMeta>(COUNTS.map(([name, field]) => [field, name]))
const NS_PER_S = 1_000_000_000n

export function encodeIndexProto({ createdAt, metas, compacted }: TenantIndex): Uint8Array {
  const out = new ByteWriter(256 + 256 * (metas.length + compacted.length))
  bytesField(out, INDEX.createdAt, timestamp(createdAt))
  for (const meta of metas) bytesField(out, INDEX.meta, encodeMeta(meta))
  for (const meta of compacted) {
    const inner = new ByteWriter()
    bytesField(inner, COMPACTED.meta, encodeMeta(meta))
    bytesField(inner, COMPACTED.compactedTime, timestamp(meta.compactedTime))
    bytesField(out, INDEX.compacted, inner.view())
  }
  return out.view().slice()
}

/** Throws `Malformed`. */
export function decodeIndexProto(bytes: Uint8Array): TenantIndex {
  let createdAt = ''
  const metas: BlockMeta[] = []
  const compacted: CompactedMeta[] = []
  fields(bytes, (field, _, value) => {
    if (field === INDEX.createdAt) createdAt = readTimestamp(value)
    else if (field === INDEX.meta) metas.push(decodeMeta(value))
    else if (field === INDEX.compacted) {
      let meta: BlockMeta | undefined
      let compactedTime = ''
      fields(value, (inner, __, part) => {
        if (inner === COMPACTED.meta) meta = decodeMeta(part)
        else if (inner === COMPACTED.compactedTime) compactedTime = readTimestamp(part)
      })
      if (meta) compacted.push({ ...meta, compactedTime })
    }
  })
  return { createdAt, metas, compacted }
}

function encodeMeta(meta: BlockMeta): Uint8Array {
  const out = new ByteWriter()
  bytesField(out, META.format, Buffer.from(meta.format))
  bytesField(out, META.blockID, idBytes(meta.blockID))
  bytesField(out, META.tenantID, Buffer.from(meta.tenantID))
  bytesField(out, META.startTime, timestamp(meta.startTime))
  bytesField(out, META.endTime, timestamp(meta.endTime))
  for (const [name, field] of COUNTS) countField(out, field, meta[name])
  if (meta.dedicatedColumns && meta.dedicatedColumns.length > 0) {
    bytesField(out, META.dedicatedColumns, Buffer.from(JSON.stringify(meta.dedicatedColumns)))
  }
  countField(out, META.totalSpans, meta.totalSpans ?? 0)
  for (const id of inputsOf(meta)) bytesField(out, META.compactedFrom, idBytes(id))
  return out.view()
}

function decodeMeta(bytes: Uint8Array): BlockMeta {
  const meta: Record<string, unknown> = { totalObjects: 0, size: 0, compactionLevel: 0 }
  const from: string[] = []
  for (const [name] of COUNTS) meta[name] = 0
  fields(bytes, (field, number, value) => {
    const count = COUNT_NAMES.get(field)
    if (count) meta[count] = Number(number)
    else if (field === META.format) meta.format = textOf(value)
    else if (field === META.blockID) meta.blockID = idText(value)
    else if (field === META.tenantID) meta.tenantID = textOf(value)
    else if (field === META.startTime) meta.startTime = readTimestamp(value)
    else if (field === META.endTime) meta.endTime = readTimestamp(value)
    // Tempo writes the field of a block that has none too, as nothing.
    else if (field === META.dedicatedColumns && value.length > 0)
      meta.dedicatedColumns = JSON.parse(textOf(value)) as DedicatedColumn[]
    else if (field === META.totalSpans) meta.totalSpans = Number(number)
    else if (field === META.compactedFrom) from.push(idText(value))
  })
  if (from.length > 0) meta.compactedFrom = from
  return meta as unknown as BlockMeta
}

function fields(
  bytes: Uint8Array,
  take: (field: number, number: bigint, value: Uint8Array) => void,
): void {
  const input = new ByteReader(bytes)
  const nothing = new Uint8Array(0)
  while (input.remaining > 0) {
    const tag = input.varint(2 ** 32 - 1)
    const field = Math.floor(tag / 8)
    switch (tag % 8) {
      case VARINT:
        take(field, varint64(input), nothing)
        break
      case BYTES:
        take(field, 0n, input.bytes(input.varint(bytes.length)))
        break
      case FIXED64:
        input.bytes(8)
        break
      case FIXED32:
        input.bytes(4)
        break
      default:
        input.fail(`field ${field} has wire type ${tag % 8}`)
    }
  }
}

function varint64(input: ByteReader): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = input.u8()
    value |= BigInt(byte & 127) << shift
    if (byte < 128) return BigInt.asIntN(64, value)
  }
  return input.fail('a varint is longer than ten bytes')
}

function bytesField(out: ByteWriter, field: number, bytes: Uint8Array): void {
  out.varint(field * 8 + BYTES)
  out.varint(bytes.length)
  out.bytes(bytes)
}

function countField(out: ByteWriter, field: number, value: number): void {
  if (value === 0) return
  out.varint(field * 8 + VARINT)
  out.varint(value)
}

/** google.protobuf.Timestamp. Times before 1970 are none that a block has. */
function timestamp(text: string): Uint8Array {
  const time_ns = parseTime_ns(text) ?? 0n
  const at_ns = time_ns < 0n ? 0n : time_ns
  const out = new ByteWriter(16)
  countField(out, 1, Number(at_ns / NS_PER_S))
  countField(out, 2, Number(at_ns % NS_PER_S))
  return out.view()
}

function readTimestamp(bytes: Uint8Array): string {
  let seconds = 0n
  let nanos = 0n
  fields(bytes, (field, number) => {
    if (field === 1) seconds = number
    else if (field === 2) nanos = number
  })
  const time_ns = seconds * NS_PER_S + nanos
  return formatTime(time_ns < 0n ? 0n : time_ns)
}

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()

const idBytes = (id: string): Uint8Array => Buffer.from(id.replaceAll('-', ''), 'hex')

function idText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  return [8, 12, 16, 20, 32].map((end, i) => hex.slice([0, 8, 12, 16, 20][i], end)).join('-')
}
