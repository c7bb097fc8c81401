/** Owns where a livestore keeps its complete blocks, so that a querier finds them. */
import { join } from 'node:path'

/** Below `live_store.wal.path`, one folder a partition: `<tenant>/<uuid>/` in it. */
export function localBlocksPath(walPath: string, partition: number): string {
  return join(walPath, 'blocks', `p${partition}`)
}
