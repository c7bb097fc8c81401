/** Owns finding out how much memory there is for this process: the machine's, or what its container or control group may use. */
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { dirname } from 'node:path'

export interface AvailableMemory {
  readonly bytes: number
  /** `container`: a control group's limit, which is for this process and little else. */
  readonly of: 'machine' | 'container'
}

/** The text of a file; undefined when it cannot be read. */
export type ReadText = (path: string) => string | undefined

const ROOT = '/sys/fs/cgroup'
/** What version 1 says for "no limit" is the largest page-aligned i64; anything near it means the same. */
const NO_LIMIT_BYTES = 2 ** 53

/** The smallest of the machine's memory and the limits of the control groups above this process (Linux; elsewhere the machine's). */
export function availableMemory(
  read: ReadText = readText,
  machine_bytes: number = totalmem(),
): AvailableMemory {
  let bytes = machine_bytes
  let of: AvailableMemory['of'] = 'machine'
  for (const path of limitFiles(read('/proc/self/cgroup') ?? '')) {
    const limit = limitOf(read(path))
    if (limit >= bytes) continue
    bytes = limit
    of = 'container'
  }
  return { bytes, of }
}

/** A container often sees its own group as the root, so each group's files are looked for up to there. */
function limitFiles(memberships: string): string[] {
  const files: string[] = []
  for (const line of memberships.split('\n')) {
    const [id, controllers, ...rest] = line.split(':')
    const group = rest.join(':')
    if (!group.startsWith('/')) continue
    const isUnified = id === '0' && controllers === ''
    const isMemory = controllers?.split(',').includes('memory') ?? false
    const folder = isUnified ? ROOT : `${ROOT}/memory`
    const names = isUnified ? ['memory.max', 'memory.high'] : ['memory.limit_in_bytes']
    if (!isUnified && !isMemory) continue
    for (const each of upToRoot(group)) {
      for (const name of names) files.push(`${folder}${each === '/' ? '' : each}/${name}`)
    }
  }
  return files
}

function upToRoot(group: string): string[] {
  // A path that climbs is of another namespace's view; the root is all that can be seen of it.
  if (group.includes('..')) return ['/']
  const groups = [group]
  for (let at = group; at !== '/';) groups.push((at = dirname(at)))
  return groups
}

function limitOf(text: string | undefined): number {
  const limit = /^\d+$/.test(text?.trim() ?? '') ? Number(text) : Infinity
  return limit > 0 && limit < NO_LIMIT_BYTES ? limit : Infinity
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
