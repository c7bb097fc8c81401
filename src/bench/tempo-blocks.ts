/** Owns counting what a real Tempo has flushed to its local backend: traces and bytes of its first blocks, compacted since or not. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { folderBytes } from './program.js'

export interface FlushedBlocks {
  readonly blocks: number
  readonly traces: number
  readonly bytes: number
  /** Such as vParquet5; empty while there is no block. */
  readonly format: string
}

const NONE: FlushedBlocks = { blocks: 0, traces: 0, bytes: 0, format: '' }

interface Meta {
  readonly format?: string
  readonly totalObjects?: number
  readonly compactionLevel?: number
}

/** Over all tenants of a backend. */
export function flushedBlocks(folder: string): FlushedBlocks {
  return foldersIn(folder)
    .map(flushedOf)
    .reduce((a, b) => ({
      blocks: a.blocks + b.blocks,
      traces: a.traces + b.traces,
      bytes: a.bytes + b.bytes,
      format: b.format || a.format,
    }), NONE)
} // prettier-ignore

/**
 * Of the blocks of one tenant: `<folder>/<block>/`. A block that was merged keeps its data for a while and has a
 * meta.compacted.json then: it counts, and what it was merged into does not, so that nothing is counted twice.
 */
export function flushedOf(folder: string): FlushedBlocks {
  let { blocks, traces, bytes, format } = NONE
  for (const block of foldersIn(folder)) {
    const meta = metaIn(block)
    if (!meta || (meta.compactionLevel ?? 0) > 0) continue
    blocks++
    traces += meta.totalObjects ?? 0
    bytes += folderBytes(block)
    format = meta.format ?? ''
  }
  return { blocks, traces, bytes, format }
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

/** None while the folder is not there yet. */
function foldersIn(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(folder, entry.name))
}
