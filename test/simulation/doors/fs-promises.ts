/** Owns `node:fs/promises` as the store's modules see it in the simulation. Writes may be short, as the real ones may. */
import { disk, parentOf } from '../disk.js'
import { world } from '../world.js'

interface Entry {
  readonly name: string
  isDirectory(): boolean
}

/** One write in so many is short. */
const SHORT_ONE_IN = 8

export function mkdir(path: string): Promise<void> {
  return disk.io(`mkdir ${path}`, () => disk.makeFolder(path))
}

export function readdir(path: string, options: { withFileTypes: true }): Promise<Entry[]>
export function readdir(path: string): Promise<string[]>
export function readdir(
  path: string,
  options?: { withFileTypes: true },
): Promise<string[] | Entry[]> {
  return disk.io<string[] | Entry[]>(`readdir ${path}`, () => {
    const names = disk.names(path)
    if (!options) return names
    return names.map((name) => ({
      name,
      isDirectory: () => disk.folders.has(`${path}/${name}`),
    }))
  })
}

export function readFile(path: string): Promise<Buffer> {
  return disk.io(`read ${path}`, () => Buffer.from(disk.read(path)))
}

export function stat(path: string): Promise<{ size: number; isDirectory: () => boolean }> {
  return disk.io(`stat ${path}`, () => disk.stat(path))
}

export function rename(from: string, to: string): Promise<void> {
  return disk.io(`rename ${from} to ${to}`, () => disk.rename(from, to))
}

/** A folder is removed file by file: a death leaves some of them. */
export function rm(path: string): Promise<void> {
  return disk.io(
    `rm ${path}`,
    () => disk.remove(path),
    () => {
      const [first] = [...disk.files.keys()].filter((key) => key.startsWith(`${path}/`))
      if (first !== undefined) disk.remove(first)
    },
  )
}

export function open(path: string, flags: string): Promise<FileHandle> {
  return disk.io(`open ${path}`, () => {
    if (flags === 'w') disk.write(path, new Uint8Array(0))
    else if (!disk.folders.has(path)) disk.read(path)
    return new FileHandle(path)
  })
}

export class FileHandle {
  constructor(private readonly path: string) {}

  async write(bytes: Uint8Array, from: number): Promise<{ bytesWritten: number }> {
    const left = bytes.length - from
    const isShort = left > 1 && world.random.oneIn(SHORT_ONE_IN)
    const length = isShort ? 1 + world.random.below(left - 1) : left
    const put = (count: number) => {
      // A folder that was moved away under the handle takes the bytes along, unseen.
      if (!disk.folders.has(parentOf(this.path))) return
      const before = disk.files.get(this.path) ?? new Uint8Array(0)
      disk.write(this.path, Buffer.concat([before, bytes.subarray(from, from + count)]))
    }
    await disk.io(
      `write ${length} bytes to ${this.path}`,
      () => put(length),
      () => put(length >> 1),
    )
    return { bytesWritten: length }
  }

  sync(): Promise<void> {
    return disk.io(`sync ${this.path}`, () => undefined)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
