/** Owns seeded randomness for tests: the product's generator, with bytes and hex digits of any length. */
import { Random as SeededRandom } from '../../src/lib/random.js'

export class Random extends SeededRandom {
  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length)
    for (let i = 0; i < length; i++) out[i] = this.bits()
    return out
  }
  hex(digits: number): string {
    let out = ''
    while (out.length < digits) out += this.bits().toString(16).padStart(8, '0')
    return out.slice(0, digits)
  }
}
