/** Owns which object paths exist: the same strict rule for every backend, so that no tenant or id can reach outside its folder. */
import { BackendError } from './backend.js'

/** A tenant id, a block id or an object name: the characters that Tempo allows in a tenant id. */
const SEGMENT = /^[A-Za-z0-9!\-_.*'()]{1,200}$/
const MAX_SEGMENTS = 8

export class InvalidPath extends BackendError {
  override readonly code = 'INVALID_PATH'
  constructor(path: string, why: string) {
    super(`invalid object path ${JSON.stringify(path.slice(0, 300))}: ${why}`, false)
  }
}

export function isSegment(text: string): boolean {
  return SEGMENT.test(text) && text !== '.' && text !== '..'
}

/** The segments of an object's path; throws `InvalidPath`. */
export function objectSegments(path: string): string[] {
  const segments = path.split('/')
  if (segments.length > MAX_SEGMENTS) {
    throw new InvalidPath(path, `${segments.length} segments, at most ${MAX_SEGMENTS} are allowed`)
  }
  const bad = segments.find((segment) => !isSegment(segment))
  if (bad !== undefined) {
    throw new InvalidPath(path, `${JSON.stringify(bad.slice(0, 100))} is not a name`)
  }
  return segments
}

/** The segments of a listing's prefix; '' is the root. */
export function prefixSegments(prefix: string): string[] {
  return prefix === '' ? [] : objectSegments(prefix)
}
