/**
 * Owns making folders, and making them last: a file that is synced is only sure to be found after a power cut when each folder on the way to it is
 * synced too, and a folder that was made but not synced looks like any other after the death of the process.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/**
 * Makes a folder and those above it that are missing; returns the topmost that had to be made. As `recursive: true` of Node's mkdir,
 * which never returns where a folder is there that nothing can be made in and that says so by ENOENT: /proc, /sys.
 */
export function makeFoldersSync(path: string): string | undefined {
  const missing: string[] = []
  let made: string | undefined
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      mkdirSync(at)
      made = at
      break
    } catch (error) {
      if (isToBeMade(at, error)) missing.push(at)
      else if (isFolderSync(at, error)) break
      else throw error
    }
  }
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder)
      made ??= folder
    } catch (error) {
      // Another may have been quicker.
      if (codeOf(error) !== 'EEXIST') throw error
    }
  }
  return made
}

/** The same without holding up the thread. */
export async function makeFolders(path: string): Promise<string | undefined> {
  const missing: string[] = []
  let made: string | undefined
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      await mkdir(at)
      made = at
      break
    } catch (error) {
      if (isToBeMade(at, error)) missing.push(at)
      else if (await isFolder(at, error)) break
      else throw error
    }
  }
  for (const folder of missing.reverse()) {
    try {
      await mkdir(folder)
      made ??= folder
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
  }
  return made
}

/** The folder above is missing too; the root is there. */
function isToBeMade(path: string, error: unknown): boolean {
  return codeOf(error) === 'ENOENT' && dirname(path) !== path
}

function isFolderSync(path: string, found: unknown): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (error) {
    throw goneOr(found, error)
  }
}

function isFolder(path: string, found: unknown): Promise<boolean> {
  return stat(path).then(
    (facts) => facts.isDirectory(),
    (error: unknown) => {
      throw goneOr(found, error)
    },
  )
}

/** What was in the way, and is not any more, was removed meanwhile: then the folder is missing, as for any other who looks for it. */
function goneOr(found: unknown, error: unknown): Error {
  return (codeOf(found) === 'EEXIST' ? error : found) as Error
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

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
