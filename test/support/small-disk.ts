/** Owns a small file system of its own for a test that fills or breaks it: tmpfs, or ext4 in a file, mounted where the system lets us. */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type DiskKind = 'tmpfs' | 'ext4'

const CHUNK_BYTES = 1 << 20

export class SmallDisk {
  /** Where it is mounted. */
  readonly path: string
  readonly #folder: string

  private constructor(
    readonly kind: DiskKind,
    readonly size_mib: number,
  ) {
    this.#folder = mkdtempSync(join(tmpdir(), 'small-disk-'))
    this.path = join(this.#folder, 'disk')
    mkdirSync(this.path)
    if (kind === 'ext4') {
      const fd = openSync(this.#image, 'w')
      ftruncateSync(fd, size_mib * CHUNK_BYTES)
      closeSync(fd)
      run('mkfs.ext4', ['-q', '-m', '0', this.#image])
    }
    this.mount()
  }

  static make(kind: DiskKind, size_mib: number): SmallDisk {
    return new SmallDisk(kind, size_mib)
  }

  get #image(): string {
    return join(this.#folder, 'image')
  }

  get free_bytes(): number {
    const { bavail, bsize } = statfsSync(this.path)
    return bavail * bsize
  }

  mount(): void {
    if (this.kind === 'tmpfs')
      run('mount', ['-t', 'tmpfs', '-o', `size=${this.size_mib}m`, 'none', this.path]) // prettier-ignore
    else run('mount', ['-o', 'loop', this.#image, this.path])
  }

  unmount(): void {
    run('umount', [this.path])
  }

  /** To the last byte. */
  fill(): void {
    const fd = openSync(join(this.path, 'ballast'), 'a')
    try {
      for (let size = CHUNK_BYTES; size >= 1; size = size === 1 ? 0 : size >> 4 || 1) {
        while (writesAll(fd, size));
      }
    } finally {
      closeSync(fd)
    }
  }

  empty(): void {
    rmSync(join(this.path, 'ballast'), { force: true })
  }

  /** As after an error of the device: ext4 stops writing at once, also to files that are open. */
  breakDown(): void {
    run('mount', ['-o', 'remount,abort', this.path])
  }

  remove(): void {
    spawnSync('umount', ['-l', this.path])
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Why there is no such disk here; undefined when there is. */
export function whyNoDisk(kind: DiskKind): string | undefined {
  let disk: SmallDisk | undefined
  try {
    disk = SmallDisk.make(kind, 8)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    disk?.remove()
  }
}

function writesAll(fd: number, size: number): boolean {
  try {
    return writeSync(fd, new Uint8Array(size)) === size
  } catch {
    return false
  }
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program}: ${error?.message ?? stderr.trim()}`)
}
