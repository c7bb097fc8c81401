/** Owns counting what a real Tempo has flushed to its local backend: traces and bytes of its first blocks, compacted since or not. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { folderBytes } from './program.js'

export interface FlushedBlocks {
  readonly blocks: number
  readonly traces: number
  readonly bytes: number
}

interface Meta {
  readonly totalObjects?: number
  readonly compactionLevel?: number
}

/**
 * Of the blocks below `<folder>/<tenant>/<block>/`. A block that was merged keeps its data for a while and has a
 * meta.compacted.json then: it counts, and what it was merged into does not, so that nothing is counted twice.
 */
export function flushedBlocks(folder: string): FlushedBlocks {
  let [blocks, traces, bytes] = [0, 0, 0]
  for (const tenant of foldersIn(folder)) {
    for (const block of foldersIn(tenant)) {
      const meta = metaIn(block)
      if (!meta || (meta.compactionLevel ?? 0) > 0) continue
      blocks++
      traces += meta.totalObjects ?? 0
      bytes += folderBytes(block)
    }
  }
  return { blocks, traces, bytes }
}

/** Undefined while the block is not whole: its meta.json comes last. */
function metaIn(block: string): Meta | undefined {
  for (const name of ['meta.json', 'meta.compacted.json']) {
    const file = join(block, name)
    if (!existsSync(file)) continue
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as Meta
    } catch {
      // Half written, or renamed just now: the next look finds it.
    }
  }
  return undefined
}

function foldersIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(folder, entry.name))
}
