/** Owns chance as the store's modules see it in the simulation: from the seed. */
export { createHash } from 'node:crypto'
import { world } from '../world.js'

export function randomInt(bound: number): number {
  return world.random.below(bound)
}

export function randomUUID(): string {
  const hex = Array.from({ length: 4 }, () =>
    world.random.bits().toString(16).padStart(8, '0'),
  ).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}
