/** Owns bytes that keep nothing else in memory: a view of a few bytes holds the whole buffer that it is a view of. */

/** The same bytes in a buffer of just their length. Not by `slice`, which of a Buffer is one more view. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}
