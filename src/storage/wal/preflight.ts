/**
 * Owns looking at a folder before LMDB opens it: lmdb 3.5.6 takes the whole process down (SIGSEGV in its cleanup) when an open fails,
 * so everything that can make it fail is tried or read here first, and told as an error.
 *
 *   META PAGE   18 flags u16 (8 = meta) | 24 magic u32 | 28 version u32; the rest is in tree-check.ts
 */
import { closeSync, fstatSync, openSync, readSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { makeFoldersSync } from '../../lib/durable-folders.js'
import { errorText } from '../../lib/log.js'
import { WalCorrupt, WalDiskFull, WalFailed } from './errors.js'
import {
  META_BYTES,
  currentBootId,
  findTreeDamage,
  readMetaFields,
  type Meta,
} from './tree-check.js'

const MAGIC = 0xbeefc0de
const DATA_VERSION = 2
const META_FLAG = 8
const MIN_PAGE_BYTES = 256
const MAX_PAGE_BYTES = 65_536

/** More than an open creates: a lock file of 8 KiB and two pages. */
const PROBE_BYTES = 64 * 1024
/** As many files as an open holds: data, meta, lock, and one to spare. */
const PROBE_FILES = 4
const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])

/** Throws `WalDiskFull` without room, `WalFailed` when the folder cannot be written to, `WalCorrupt` when its file is no LMDB file of ours. */
export function preflight(path: string): void {
  try {
    makeFoldersSync(path)
    probe(path)
    mustBeFile(join(path, 'lock.mdb'))
    mustBeFile(join(path, 'data.mdb'))
  } catch (error) {
    if (error instanceof WalFailed) throw error
    const isFull = NO_ROOM.has((error as NodeJS.ErrnoException).code ?? '')
    throw new (isFull ? WalDiskFull : WalFailed)(path, errorText(error))
  }
  checkMetaPages(path)
}

/** Writes and deletes what an open would need: space, permission, file handles. */
function probe(path: string): void {
  const fds: number[] = []
  const file = join(path, 'probe.tmp')
  try {
    for (let i = 0; i < PROBE_FILES; i++) fds.push(openSync(file, 'w'))
    const written = writeSync(fds[0]!, new Uint8Array(PROBE_BYTES))
    if (written < PROBE_BYTES)
      throw new WalDiskFull(path, `only ${written} of ${PROBE_BYTES} bytes could be written`)
  } finally {
    for (const fd of fds) closeSync(fd)
    if (fds.length > 0) unlinkSync(file)
  }
}

function mustBeFile(file: string): void {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (!stat) return
  if (!stat.isFile()) throw new Error(`${file} is no file`)
  closeSync(openSync(file, 'r+'))
}

function checkMetaPages(path: string): void {
  const file = join(path, 'data.mdb')
  if (!statSync(file, { throwIfNoEntry: false })) return
  const fd = openSync(file, 'r')
  try {
    const { size } = fstatSync(fd)
    // LMDB takes an empty file for a new one; it writes both meta pages at once.
    if (size === 0) return
    const first = readMeta(fd, 0)
    const page_bytes = first?.page_bytes ?? 0
    const second = first && readMeta(fd, page_bytes)
    if (!first || !second || size < 2 * page_bytes) {
      throw new WalCorrupt(path, `data.mdb (${size} bytes) does not begin with two LMDB meta pages`)
    }
    const latest = first.transaction >= second.transaction ? first : second
    const damage = findTreeDamage(fd, size, latest)
    if (!damage) return
    const isOfThisBoot = latest.bootId === currentBootId()
    const why = isOfThisBoot
      ? 'its bytes were changed on the disk'
      : 'the machine stopped before it wrote what was committed'
    throw new WalCorrupt(path, `${why}: ${damage}`)
  } finally {
    closeSync(fd)
  }
}

function readMeta(fd: number, at: number): Meta | undefined {
  const bytes = new Uint8Array(META_BYTES)
  if (readSync(fd, bytes, 0, META_BYTES, at) < META_BYTES) return undefined
  const view = new DataView(bytes.buffer)
  const meta = readMetaFields(view)
  const isMeta =
    (view.getUint16(18, true) & META_FLAG) !== 0 &&
    view.getUint32(24, true) === MAGIC &&
    (view.getUint32(28, true) & 0xffff) === DATA_VERSION &&
    meta.page_bytes >= MIN_PAGE_BYTES &&
    meta.page_bytes <= MAX_PAGE_BYTES
  return isMeta ? meta : undefined
}
