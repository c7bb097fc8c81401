import { expect, it } from 'vitest'
import { appWith } from './fake-frontend.js'

it('shows how memory is divided, as a table that adds up to the limit', async () => {
  const { status, text } = await appWith().get('/status/memory')
  expect(status).toBe(200)
  const [first, ...rows] = text.trim().split('\n')
  const limit = /^limit (\d+) MiB \(/.exec(first!)
  const sizes = rows.map((row) => Number(/^ *([\d.]+) MiB {2}\w/.exec(row)![1]))
  expect(sizes.length).toBeGreaterThan(5)
  expect(sizes.reduce((total, size) => total + size, 0)).toBe(Number(limit![1]))
})
