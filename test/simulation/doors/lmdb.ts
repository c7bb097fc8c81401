/** Owns the package `lmdb` as the WAL sees it in the simulation: a transaction happens as a whole, late, or not at all. */
import { disk } from '../disk.js'
import { world } from '../world.js'

type Bytes = Uint8Array

export interface RootDatabaseOptions {
  maxDbs?: number
}
export type RootDatabase<_Value = unknown, _Key = unknown> = Environment

/** A commit in so many errors says that it failed although it is in the file. */
const LIES_ONE_IN = 4

export function open(path: string): Environment {
  return disk.now(`open ${path}`, () => new Environment(path))
}

class Environment {
  #batch = new Map<string, Bytes | undefined>()
  readonly #tree: Map<string, Bytes>

  constructor(readonly path: string) {
    disk.makeFolders(path)
    this.#tree = disk.tree(path)
  }

  getBinary(key: Bytes): Buffer | undefined {
    const value = this.#tree.get(keyText(key))
    return value && Buffer.from(value)
  }

  *getRange({ start, end }: { start: Bytes; end: Bytes }) {
    const [from, to] = [keyText(start), keyText(end)]
    const keys = [...this.#tree.keys()].filter((key) => key >= from && key < to).sort()
    for (const key of keys)
      yield { key: Buffer.from(key, 'latin1'), value: Buffer.from(this.#tree.get(key)!) }
  }

  put(key: Bytes, value: Bytes): void {
    this.#batch.set(keyText(key), value)
  }

  remove(key: Bytes): void {
    this.#batch.set(keyText(key), undefined)
  }

  batch(fill: () => void): Promise<void> {
    this.#batch = new Map()
    fill()
    const writes = this.#batch
    const { errorsOneIn } = disk.mood
    const isFailing = errorsOneIn > 0 && world.random.oneIn(errorsOneIn)
    return world.io(`commit ${writes.size} to ${this.path}`, disk.latency_ms(), () => {
      const isDone = !isFailing || world.random.oneIn(LIES_ONE_IN)
      if (isDone) disk.commit(this.path, writes)
      if (isFailing) throw new Error('MDB_EIO: simulated')
    })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

function keyText(key: Bytes): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
}
