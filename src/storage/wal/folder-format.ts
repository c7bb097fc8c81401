/**
 * Owns the version of a data folder as a whole: which folders it has, and what is to be found in which. The files in them carry
 * versions of their own (keys.ts, state.ts, blockpack-format.ts); this one changes when a trace may lie elsewhere than before.
 *
 *   <wal_path>/format.json    {"format": 1, "writtenBy": "0.1.0"}
 *
 * A folder without it was written before there was one: it is of version 1.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { WalCorrupt, WalVersionUnsupported } from './errors.js'

export const FOLDER_FORMAT = 1
const NAME = 'format.json'

/** Notes the version in a folder that has none; throws `WalVersionUnsupported` when a newer program wrote it. */
export function claimFormat(path: string, program: string): void {
  const file = join(path, NAME)
  if (!existsSync(file)) {
    // By a rename, so that a crash leaves no half of it; lost in a power cut, it is written again.
    writeFileSync(`${file}.draft`, JSON.stringify({ format: FOLDER_FORMAT, writtenBy: program }))
    renameSync(`${file}.draft`, file)
    return
  }
  const found = formatIn(readFileSync(file, 'utf8'))
  if (found === undefined) {
    throw new WalCorrupt(
      file,
      'it has no format version; delete it if the folder is of this program',
    )
  }
  if (found > FOLDER_FORMAT) throw new WalVersionUnsupported(path, found, FOLDER_FORMAT)
}

function formatIn(text: string): number | undefined {
  try {
    const { format } = JSON.parse(text) as { format?: unknown }
    return Number.isInteger(format) && Number(format) > 0 ? Number(format) : undefined
  } catch {
    return undefined
  }
}
