import { describe, expect, it } from 'vitest'
import { LastWord } from '../../../src/actors/receiver/last-word.js'
import { frame, word } from '../../hostile/support/http2-frames.js'

const goaway = (code: number, more = 0) =>
  frame(7, 0, 0, Buffer.concat([word(1), word(code), Buffer.alloc(more, 7)]))
/** A payload that looks like a GOAWAY. */
const trap = frame(0, 1, 1, goaway(1))
const good = [frame(4, 0, 0), frame(4, 1, 0), frame(1, 4, 1, Buffer.alloc(300, 7)), trap, goaway(0)]

function noticed(bytes: Uint8Array, chunk_bytes: number): boolean {
  const lastWord = new LastWord()
  let isNoticed = false
  for (let at = 0; at < bytes.length; at += chunk_bytes) {
    if (lastWord.isIn(bytes.subarray(at, at + chunk_bytes))) isNoticed = true
  }
  return isNoticed
}

describe('the last word of a connection', () => {
  it.each([1, 2, 7, 9, 13, 1000])('is noticed in chunks of %i bytes, and nothing else is', (chunk_bytes) => {
    expect(noticed(Buffer.concat(good), chunk_bytes)).toBe(false)
    expect(noticed(Buffer.concat([...good, goaway(1)]), chunk_bytes)).toBe(true)
    expect(noticed(Buffer.concat([...good, goaway(11, 40)]), chunk_bytes)).toBe(true)
    expect(noticed(Buffer.concat([goaway(2, 5), ...good]), chunk_bytes)).toBe(true)
  }) // prettier-ignore

  it('is not made of a GOAWAY that is too short to have a code', () => {
    expect(noticed(Buffer.concat([frame(7, 0, 0, word(9)), goaway(0), goaway(3)]), 100)).toBe(true)
    expect(noticed(Buffer.concat([frame(7, 0, 0, word(9)), goaway(0)]), 100)).toBe(false)
  })
})
