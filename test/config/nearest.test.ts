import { expect, it } from 'vitest'
import { nearestWord } from '../../src/config/nearest.js'

const words = ['server', 'querier', 'storage', 'live_store', 'local', 's3']

it('finds the word that was meant', () => {
  expect(nearestWord('sevrer', words)).toBe('server')
  expect(nearestWord('Storage', words)).toBe('storage')
  expect(nearestWord('livestore', words)).toBe('live_store')
  expect(nearestWord('loacl', words)).toBe('local')
  expect(nearestWord('s4', words)).toBe('s3')
})

it('says nothing rather than something far off', () => {
  expect(nearestWord('frontend', words)).toBeUndefined()
  expect(nearestWord('gcs', words)).toBeUndefined()
  expect(nearestWord('', words)).toBeUndefined()
})
