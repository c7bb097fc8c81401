/**
 * Owns zstd: the only file that knows which implementation compresses. Node has it from 22.15; before that it is WASM,
 * not an addon, because a worker may be terminated while it compresses. Both write the same frames.
 */
import * as zlib from 'node:zlib'

const LEVEL = 3
const MAGIC = 0xfd2fb528

interface Zstd {
  compress(bytes: Uint8Array): Uint8Array
  /** Called only with frames that say `length`, so that a hostile frame cannot make it allocate more. */
  decompress(frame: Uint8Array, length: number): Uint8Array
}

/** What `node:zlib` has from Node 22.15 on, which the types of Node 20 do not list. */
interface NodeZstd {
  zstdCompressSync?: (bytes: Uint8Array, options: object) => Uint8Array
  zstdDecompressSync?: (bytes: Uint8Array, options: object) => Uint8Array
  constants: { ZSTD_c_compressionLevel?: number }
}

function nodeZstd(node: NodeZstd): Zstd | undefined {
  const { zstdCompressSync, zstdDecompressSync } = node
  const level = node.constants.ZSTD_c_compressionLevel
  if (!zstdCompressSync || !zstdDecompressSync || level === undefined) return undefined
  return {
    compress: (bytes) => zstdCompressSync(bytes, { params: { [level]: LEVEL } }),
    decompress: (frame, length) => zstdDecompressSync(frame, { maxOutputLength: length }),
  }
}

async function wasmZstd(): Promise<Zstd> {
  const wasm = await import('@bokuweb/zstd-wasm')
  await wasm.init()
  // One context for the thread's life: making one for each page costs more than compressing a small page.
  const context = wasm.createCCtx()
  const noDictionary = new Uint8Array(0)
  return {
    compress: (bytes) => wasm.compressUsingDict(context, bytes, noDictionary, LEVEL),
    decompress: (frame) => wasm.decompress(frame),
  }
}

const zstd: Zstd = nodeZstd(zlib as unknown as NodeZstd) ?? (await wasmZstd())

/** One zstd frame that states its content size. */
export function compress(bytes: Uint8Array): Uint8Array {
  return zstd.compress(bytes)
}

/** Exactly `length` bytes of one frame; undefined when the frame is broken or is not of that length. */
export function decompress(frame: Uint8Array, length: number): Uint8Array | undefined {
  if (contentLength(frame) !== length) return undefined
  if (length === 0) return new Uint8Array(0)
  try {
    const bytes = zstd.decompress(frame, length)
    return bytes.length === length ? bytes : undefined
  } catch {
    return undefined
  }
}

/** All bytes of one frame, whatever its length up to `max`; undefined when it is broken, longer, or does not say its length. */
export function decompressWhole(frame: Uint8Array, max: number): Uint8Array | undefined {
  const length = contentLength(frame)
  return length === undefined || length > max ? undefined : decompress(frame, length)
}

/** The content size in a frame's header (RFC 8878, 3.1.1.1); undefined when there is none. */
function contentLength(frame: Uint8Array): number | undefined {
  if (frame.length < 6) return undefined
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (view.getUint32(0, true) !== MAGIC) return undefined
  const descriptor = frame[4]!
  const singleSegment = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >>> 6
  const at = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!
  const width = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag
  if (width === 0 || at + width > frame.length) return undefined
  if (width === 1) return view.getUint8(at)
  if (width === 2) return view.getUint16(at, true) + 256
  const low = view.getUint32(at, true)
  return width === 4 ? low : view.getUint32(at + 4, true) * 2 ** 32 + low
}
