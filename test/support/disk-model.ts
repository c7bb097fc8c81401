/**
 * Owns a model of a disk that loses power: it knows of each file and folder what was synced and what was only written, and makes the
 * disks that a crash at this point may leave behind. Data and the names in folders are apart: a synced file whose folder was not synced
 * has no name.
 */
import type { Random } from '../../src/lib/random.js'
import type { DiskOp } from './strace.js'

interface Pending {
  readonly ended: number
  readonly apply: (data: Growing) => void
}

type Names = ReadonlyMap<string, Inode>

/** Files by path, and folders as undefined. */
export type Image = Map<string, Uint8Array | undefined>

class Growing {
  bytes = new Uint8Array(0)

  write(offset: number, part: Uint8Array): void {
    if (offset + part.length > this.bytes.length) this.resize(offset + part.length)
    this.bytes.set(part, offset)
  }

  resize(length: number): void {
    const next = new Uint8Array(length)
    next.set(this.bytes.subarray(0, length))
    this.bytes = next
  }

  copy(): Growing {
    const copy = new Growing()
    copy.bytes = this.bytes.slice()
    return copy
  }
}

class Inode {
  readonly now = new Growing()
  readonly synced = new Growing()
  pending: Pending[] = []
  names: Names = new Map()
  syncedNames: Names = new Map()
  /** The folder after each change since it was synced. */
  history: { ended: number; names: Names }[] = []

  constructor(readonly isFolder: boolean) {}

  change(ended: number, isSynced: boolean, apply: (data: Growing) => void): void {
    apply(this.now)
    if (isSynced) apply(this.synced)
    else this.pending.push({ ended, apply })
  }

  rename(ended: number, edit: (names: Map<string, Inode>) => void): void {
    const names = new Map(this.names)
    edit(names)
    this.names = names
    this.history.push({ ended, names })
  }

  /** Covers what had ended before the sync began; more may have reached the disk, but nobody promised it. */
  sync(began: number): void {
    for (const { ended, apply } of this.pending) if (ended < began) apply(this.synced)
    this.pending = this.pending.filter(({ ended }) => ended >= began)
    const covered = this.history.filter(({ ended }) => ended < began).at(-1)
    if (covered) this.syncedNames = covered.names
    this.history = this.history.filter(({ ended }) => ended >= began)
  }
}

/** least: nothing that was not synced, and every deletion. most: all, as after kill -9. any: a random choice in between. */
export type Loss = 'least' | 'most' | 'any'

export class DiskModel {
  readonly #root = new Inode(true)
  /** Counts what changes the least that a crash leaves. */
  changes = 0

  apply(op: DiskOp): void {
    switch (op.call) {
      case 'create': {
        this.#create(op.path, op.truncates, op.ended)
        return
      }
      case 'write': {
        const file = this.#at(op.path)
        file?.change(op.ended, op.isSynced, (data) => data.write(op.offset, op.bytes))
        return
      }
      case 'truncate':
        this.#at(op.path)?.change(op.ended, false, (data) => data.resize(op.length))
        return
      case 'sync':
        this.changes++
        this.#at(op.path)?.sync(op.began)
        return
      case 'mkdir': {
        this.#name(op.path, new Inode(true), op.ended)
        return
      }
      case 'link': {
        const file = this.#at(op.path)
        if (file) this.#name(op.to, file, op.ended)
        return
      }
      case 'rename': {
        this.#rename(op.path, op.to, op.ended)
        return
      }
      case 'unlink':
      case 'rmdir':
        this.changes++
        this.#folderOf(op.path)?.rename(op.ended, (names) => names.delete(lastOf(op.path)))
        return
      case 'mark':
        return
    }
  }

  /** What a restart finds when the power goes now. */
  image(loss: Loss, random?: Random): Image {
    const image: Image = new Map()
    const fill = (folder: Inode, path: string) => {
      for (const [name, inode] of namesOf(folder, loss, random)) {
        const at = path === '' ? name : `${path}/${name}`
        image.set(at, inode.isFolder ? undefined : dataOf(inode, loss, random))
        if (inode.isFolder) fill(inode, at)
      }
    }
    fill(this.#root, '')
    return image
  }

  /** What a reader sees now. */
  read(path: string): Uint8Array | undefined {
    return this.#at(path)?.now.bytes
  }

  #create(path: string, truncates: boolean, ended: number): void {
    const file = this.#at(path)
    if (!file) {
      this.#name(path, new Inode(false), ended)
      return
    }
    if (truncates && file.now.bytes.length > 0) {
      file.change(ended, false, (data) => data.resize(0))
    }
  }

  #name(path: string, inode: Inode, ended: number): void {
    this.#folderOf(path)?.rename(ended, (names) => names.set(lastOf(path), inode))
  }

  #rename(from: string, to: string, ended: number): void {
    const inode = this.#at(from)
    if (!inode) return
    this.changes++
    const [source, target] = [this.#folderOf(from), this.#folderOf(to)]
    if (source !== target) target?.rename(ended, (names) => names.set(lastOf(to), inode))
    source?.rename(ended, (names) => {
      names.delete(lastOf(from))
      if (source === target) names.set(lastOf(to), inode)
    })
  }

  #at(path: string): Inode | undefined {
    let at: Inode | undefined = this.#root
    if (path === '') return at
    for (const name of path.split('/')) at = at?.names.get(name)
    return at
  }

  #folderOf(path: string): Inode | undefined {
    const cut = path.lastIndexOf('/')
    return this.#at(cut < 0 ? '' : path.slice(0, cut))
  }
}

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function namesOf(folder: Inode, loss: Loss, random: Random | undefined): Names {
  if (loss === 'most') return folder.names
  if (loss === 'any') {
    const states = [folder.syncedNames, ...folder.history.map(({ names }) => names)]
    return random!.pick(states)
  }
  const kept = [...folder.syncedNames].filter(([name, inode]) => folder.names.get(name) === inode)
  return new Map(kept)
}

function dataOf(file: Inode, loss: Loss, random: Random | undefined): Uint8Array {
  if (loss === 'most') return file.now.bytes
  if (loss === 'least') return file.synced.bytes
  const data = file.synced.copy()
  for (const { apply } of file.pending) if (random!.oneIn(2)) apply(data)
  return data.bytes
}
