import { expect, it } from 'vitest'
import { MergedReads } from '../../../src/storage/backend/merged-reads.js'

const KIB = 1024
const MIB = 1024 * KIB

/** An object whose byte at `i` is `i % 251`, and what of it was read. */
function made() {
  const reads: [offset: number, length: number][] = []
  const merged = new MergedReads((offset, length) => {
    reads.push([offset, length])
    return Promise.resolve(Uint8Array.from({ length }, (_, i) => (offset + i) % 251))
  })
  return { merged, reads }
}

it('near ranges of one turn are one read, whatever their order, overlapping or not', async () => {
  const { merged, reads } = made()
  const wanted = [[5000, 10] as const, [0, 100] as const, [90, 300] as const, [0, 100] as const]
  const found = await Promise.all(wanted.map(([offset, length]) => merged.read(offset, length)))
  expect(reads).toEqual([[0, 5010]])
  for (const [i, [offset, length]] of wanted.entries()) {
    expect([found[i]!.length, found[i]![0]]).toEqual([length, offset % 251])
  }
})

it('far ranges are read by themselves, and so are those of another turn', async () => {
  const { merged, reads } = made()
  await Promise.all([merged.read(0, 10), merged.read(10 + 128 * KIB, 1), merged.read(MIB, 1)])
  await merged.read(20, 10)
  expect(reads).toEqual([
    [0, 11 + 128 * KIB],
    [MIB, 1],
    [20, 10],
  ])
})

it('a merged read ends at 16 MiB, a single range may be longer', async () => {
  const { merged, reads } = made()
  const read = (offset: number, length: number) => merged.read(offset, length)
  await Promise.all([read(0, 10 * MIB), read(10 * MIB, 6 * MIB), read(16 * MIB, 1)])
  await read(0, 17 * MIB)
  expect(reads).toEqual([
    [0, 16 * MIB],
    [16 * MIB, 1],
    [0, 17 * MIB],
  ])
})

it('a read that fails fails for all who are in it, and for none after', async () => {
  let fails = true
  const merged = new MergedReads((_, length) =>
    fails ? Promise.reject(new Error('broken')) : Promise.resolve(new Uint8Array(length)),
  )
  const both = await Promise.allSettled([merged.read(0, 1), merged.read(5, 1)])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  fails = false
  expect(await merged.read(0, 1)).toHaveLength(1)
})
