/** Owns small damage to bytes. */
import type { Random } from './random.js'

/** Changes a few bytes: to extremes, by a bit, or at random. */
export function scramble(bytes: Uint8Array, random: Random): Uint8Array {
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const at = random.below(bytes.length)
    const kind = random.below(3)
    bytes[at] =
      kind === 0
        ? random.pick([0, 1, 127, 128, 255])
        : kind === 1
          ? bytes[at]! ^ (1 << random.below(8))
          : random.bits()
  }
  return bytes
}
