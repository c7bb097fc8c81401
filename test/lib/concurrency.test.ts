import { expect, it } from 'vitest'
import { mapBounded } from '../../src/lib/concurrency.js'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

it('never runs more tasks at once than it may, and keeps the order', async () => {
  let running = 0
  let most = 0
  const results = await mapBounded([5, 4, 3, 2, 1, 0], 2, async (item, index) => {
    most = Math.max(most, ++running)
    for (let i = 0; i < item; i++) await turn()
    running--
    return `${index}:${item}`
  })
  expect(results).toEqual(['0:5', '1:4', '2:3', '3:2', '4:1', '5:0'])
  expect(most).toBe(2)
})

it('throws the first failure only when nothing runs any more, and begins no further task', async () => {
  let running = 0
  const begun: number[] = []
  const result = mapBounded([0, 1, 2, 3], 2, async (item) => {
    begun.push(item)
    running++
    if (item === 1) {
      running--
      throw new Error('second')
    }
    for (let i = 0; i < 5; i++) await turn()
    running--
  })
  await expect(result).rejects.toThrow('second')
  expect(running).toBe(0)
  expect(begun).toEqual([0, 1])
})
