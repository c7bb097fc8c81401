/** Owns lies about structures: one number, flag or list somewhere in an object becomes another, as a damaged or hostile file would have it. */
import type { Random } from './random.js'

const EXTREMES = [0, 1, 2, 127, 128, 255, 256, 65_535, 65_536, 2 ** 20, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 40, Number.MAX_SAFE_INTEGER] // prettier-ignore
const EXTREMES_BIG = [0n, 1n, 2n ** 31n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]

interface Place {
  readonly get: () => unknown
  readonly set: (value: unknown) => void
}

/** Changes one value of `object`, in place; answers where. Encoders may refuse it: then there is no such file. */
export function lie(random: Random, object: object): string {
  const places: [path: string, place: Place][] = []
  collect(object, '', places, 0)
  const [path, place] = random.pick(places)
  place.set(other(random, place.get()))
  return path
}

function collect(value: unknown, path: string, into: [string, Place][], depth: number): void {
  if (typeof value !== 'object' || value === null || depth > 8 || into.length > 20_000) return
  if (value instanceof Uint8Array && value.length === 0) return
  for (const key of Object.keys(value)) {
    const holder = value as Record<string, unknown>
    const at = `${path}.${key}`
    const child = holder[key]
    if (typeof child === 'object' && child !== null) collect(child, at, into, depth + 1)
    if (typeof child === 'object' && child !== null && !Array.isArray(child)) continue
    if (typeof child === 'function') continue
    into.push([at, { get: () => holder[key], set: (next) => void (holder[key] = next) }])
  }
}

function other(random: Random, value: unknown): unknown {
  if (typeof value === 'boolean') return !value
  if (typeof value === 'bigint') return random.oneIn(2) ? value + 1n : random.pick(EXTREMES_BIG)
  if (typeof value === 'string') return random.pick(['', `${value}x`, 'x'.repeat(70_000)])
  if (Array.isArray(value)) {
    const list = value as unknown[]
    if (random.oneIn(3)) return []
    if (random.oneIn(2)) return list.slice(0, -1)
    return list.length > 0 ? [...list, random.pick(list)] : list
  }
  if (typeof value !== 'number') return value
  const kind = random.below(4)
  if (kind === 0) return Math.max(0, value - 1)
  if (kind === 1) return value + 1
  return kind === 2 ? random.pick(EXTREMES) : value ^ (1 << random.below(31))
}
