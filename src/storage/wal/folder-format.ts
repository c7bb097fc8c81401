/**
 * Owns the version of a data folder as a whole: which folders it has, and what is to be found in which. The files in them carry
 * versions of their own (keys.ts, state.ts, blockpack-format.ts); this one changes when a trace may lie elsewhere than before.
 *
 *   <wal_path>/format.json    {"format": 1, "writtenBy": "0.1.0"}
 *
 * A folder without it, or with a blank one, was written before there was one, or lost it with the power: it is of version 1.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { syncFolder } from '../../lib/durable-folders.js'
import { WalCorrupt, WalVersionUnsupported } from './errors.js'

export const FOLDER_FORMAT = 1
const NAME = 'format.json'

/** Notes the version in a folder that has none; throws `WalVersionUnsupported` when a newer program wrote it. */
export function claimFormat(path: string, program: string): void {
  const file = join(path, NAME)
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  if (isBlank(text)) {
    write(path, JSON.stringify({ format: FOLDER_FORMAT, writtenBy: program }))
    return
  }
  const found = formatIn(text)
  if (found === undefined) {
    throw new WalCorrupt(
      file,
      'it has no format version; delete it if the folder is of this program',
    )
  }
  if (found > FOLDER_FORMAT) throw new WalVersionUnsupported(path, found, FOLDER_FORMAT)
}

/** A file system that lost power between a rename and the write before it leaves the name with nothing, or zeros, in it. */
function isBlank(text: string): boolean {
  return /^\0*$/.test(text)
}

/** By a rename, so that a crash leaves no half of it; on the disk before the rename, or a power cut could leave the name alone. */
function write(path: string, text: string): void {
  const draft = join(path, `${NAME}.draft`)
  const fd = openSync(draft, 'w')
  try {
    writeFileSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(draft, join(path, NAME))
  syncFolder(path)
}

function formatIn(text: string): number | undefined {
  try {
    const { format } = JSON.parse(text) as { format?: unknown }
    return Number.isInteger(format) && Number(format) > 0 ? Number(format) : undefined
  } catch {
    return undefined
  }
}
