/** Owns the recorded data folders of earlier versions: reading them, and laying them out on disk (scripts/record-data-folder.js made them). */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'

const FOLDER = new URL('../fixtures/data-folders/', import.meta.url)

export type Stage = 'flushed' | 'complete' | 'closed' | 'live'

export interface RecordedTrace {
  readonly tenant: string
  readonly stage: Stage
  readonly traceId: string
  /** Sorted. */
  readonly spanIds: readonly string[]
}

export interface Recording {
  readonly name: string
  /** The version that wrote it. */
  readonly program: string
  readonly partitions: number
  readonly sent: readonly RecordedTrace[]
  /** `live-store/...` and `blocks/...`, base64. */
  readonly files: Readonly<Record<string, string>>
}

/** Every recording, oldest first. */
export function recordings(): Recording[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json.gz'))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((file) => {
      const text = gunzipSync(readFileSync(new URL(file, FOLDER))).toString()
      const recording = JSON.parse(text) as Omit<Recording, 'name'>
      return { ...recording, name: file.replace('.json.gz', '') }
    })
}

/** Writes the files to where `place` puts them below the folder; a file without a place is left out. */
export function unpack(
  { files }: Recording,
  folder: string,
  place: (path: string) => string | undefined = (path) => path,
): void {
  for (const [path, content] of Object.entries(files)) {
    const to = place(path)
    if (to === undefined) continue
    mkdirSync(dirname(join(folder, to)), { recursive: true })
    writeFileSync(join(folder, to), Buffer.from(content, 'base64'))
  }
}
