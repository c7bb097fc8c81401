/**
 * Owns the simulated disk: folders, files and LMDB files in memory, which outlive every process. A write that is under way
 * at a death is done, half done or not done; a transaction is done or not. Slow, failing and full by order.
 */
import { world } from './world.js'

type Tree = Map<string, Uint8Array>

/** How the disk behaves at this time. */
export interface DiskMood {
  /** One operation in so many fails; 0 = none. */
  errorsOneIn: number
  /** Operations take up to so much longer. */
  slowness_ms: number
  free_bytes: number
}
const FREE_BYTES = 2 ** 40
export const HEALTHY_DISK: DiskMood = { errorsOneIn: 0, slowness_ms: 0, free_bytes: FREE_BYTES }

export class Disk {
  readonly folders = new Set<string>(['/'])
  readonly files = new Map<string, Uint8Array>()
  /** LMDB environments, each the tree of one folder. */
  readonly trees = new Map<string, Tree>()
  mood: DiskMood = HEALTHY_DISK
  /** Called before a folder is renamed or removed, and after a transaction: what must hold is looked at here. */
  onGone: (path: string) => void = () => undefined
  onCommit: (path: string, writes: ReadonlyMap<string, Uint8Array | undefined>) => void = () =>
    undefined

  /** How long the next operation takes. */
  latency_ms(): number {
    const { random } = world
    const usual = 0.02 + random.float() * 0.5
    return this.mood.slowness_ms > 0 && random.oneIn(3)
      ? usual + random.float() * this.mood.slowness_ms
      : usual
  }

  /** An asynchronous operation of the current life. */
  io<T>(op: string, effect: () => T, torn?: () => void): Promise<T> {
    return world.io(op, this.latency_ms(), () => this.#orFail(op, effect), torn)
  }

  /** A synchronous one. */
  now<T>(op: string, effect: () => T): T {
    world.step(op)
    return this.#orFail(op, effect)
  }

  makeFolder(path: string): void {
    if (this.folders.has(path) || this.files.has(path)) throw fault('EEXIST', 'mkdir', path)
    if (!this.folders.has(parentOf(path))) throw notFound('mkdir', path)
    this.folders.add(path)
  }

  /** With those above it. */
  makeFolders(path: string): void {
    for (let at = path; at !== '/' && !this.folders.has(at); at = parentOf(at)) this.folders.add(at)
  }

  names(path: string): string[] {
    if (!this.folders.has(path)) throw notFound('scandir', path)
    const found = new Set<string>()
    const prefix = path === '/' ? path : `${path}/`
    for (const known of [...this.folders, ...this.files.keys()]) {
      if (known.length > prefix.length && known.startsWith(prefix))
        found.add(known.slice(prefix.length).split('/')[0]!)
    }
    return [...found].sort()
  }

  stat(path: string): { size: number; isDirectory: () => boolean } {
    const isFolder = this.folders.has(path)
    return { size: isFolder ? 0 : this.read(path).length, isDirectory: () => isFolder }
  }

  read(path: string): Uint8Array {
    const bytes = this.files.get(path)
    if (!bytes) throw notFound('open', path)
    return bytes
  }

  write(path: string, bytes: Uint8Array): void {
    if (!this.folders.has(parentOf(path))) throw notFound('open', path)
    this.files.set(path, bytes)
  }

  rename(from: string, to: string): void {
    if (!this.folders.has(from) && !this.files.has(from)) throw notFound('rename', from)
    this.onGone(from)
    const moved = <T>(keys: Iterable<[string, T]>, put: (key: string, value: T) => void) => {
      for (const [key, value] of [...keys]) {
        if (key === from || key.startsWith(`${from}/`)) put(to + key.slice(from.length), value)
      }
    }
    const folders = [...this.folders].map((path): [string, undefined] => [path, undefined])
    const files = [...this.files]
    const trees = [...this.trees]
    this.#forget(from)
    if (this.folders.has(to)) {
      if (this.names(to).length > 0) throw fault('ENOTEMPTY', 'rename', to)
      this.#forget(to)
    }
    moved(folders, (path) => this.folders.add(path))
    moved(files, (path, bytes) => this.files.set(path, bytes))
    moved(trees, (path, tree) => this.trees.set(path, tree))
  }

  remove(path: string): void {
    if (!this.folders.has(path) && !this.files.has(path)) return
    this.onGone(path)
    this.#forget(path)
  }

  tree(path: string): Tree {
    let tree = this.trees.get(path)
    if (!tree) this.trees.set(path, (tree = new Map<string, Uint8Array>()))
    return tree
  }

  commit(path: string, writes: ReadonlyMap<string, Uint8Array | undefined>): void {
    const tree = this.trees.get(path)
    // The folder was renamed or removed under an open handle: the bytes go where nobody looks.
    if (!tree) return
    for (const [key, value] of writes) {
      if (value) tree.set(key, value.slice())
      else tree.delete(key)
    }
    this.onCommit(path, writes)
  }

  #forget(path: string): void {
    const isBelow = (key: string) => key === path || key.startsWith(`${path}/`)
    for (const key of [...this.folders]) if (isBelow(key)) this.folders.delete(key)
    for (const key of [...this.files.keys()]) if (isBelow(key)) this.files.delete(key)
    for (const key of [...this.trees.keys()]) if (isBelow(key)) this.trees.delete(key)
  }

  #orFail<T>(op: string, effect: () => T): T {
    const { errorsOneIn } = this.mood
    if (errorsOneIn > 0 && world.random.oneIn(errorsOneIn)) {
      world.say(`EIO: ${op}`)
      throw fault('EIO', op, '')
    }
    return effect()
  }
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')))
}

export function notFound(call: string, path: string): Error {
  return fault('ENOENT', call, path)
}

function fault(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${call} '${path}'`), { code })
}

/** The disk of the seed that runs. */
export let disk = new Disk()

export function newDisk(): Disk {
  disk = new Disk()
  return disk
}
