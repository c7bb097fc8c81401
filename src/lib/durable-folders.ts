/**
 * Owns making folders last: a file that is synced is only sure to be found after a power cut when each folder on the way to it is
 * synced too, and a folder that was made but not synced looks like any other after the death of the process.
 */
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Syncs one folder: the names in it. */
export function syncFolder(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Syncs a folder and all above it, so that the way to it is durable, whoever made it. Ends at the first one above that may not be
 * read: it was there before us, we could not have made anything in it.
 */
export function syncUpwards(path: string): void {
  const from = resolve(path)
  syncFolder(from)
  for (let at = dirname(from); at !== dirname(at); at = dirname(at)) {
    try {
      syncFolder(at)
    } catch {
      return
    }
  }
}
