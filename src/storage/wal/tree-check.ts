/**
 * Owns reading an LMDB file's trees page by page without LMDB. Commits that are not flushed survive the death of the process, but when
 * the machine loses power the disk may hold a tree that points at pages which were never written; LMDB would follow it into a crash of
 * the process. So would one byte that a disk returns wrong. So a file is walked here first: its pages, not the data in them, which has
 * checksums of its own.
 *
 *   META      48 page size u32 | 88 root of free tree u64 | 136 root of main tree u64 | 144 last page u64 | 152 transaction u64 | 160 boot id u64
 *   PAGE      0 page number u64 | 8 transaction u64 | 18 flags u16 (1 branch, 2 leaf, 4 overflow) | 20 lower u16, or pages u32 | 22 upper u16 | 24 node offsets u16..; lower, upper and offsets count from 24
 *   NODE      0 low u16 | 2 high u16 | 4 flags u16 | 6 key size u16 | 8 key, data        branch: page number in low, high, flags
 *                                                                                  leaf: data size in low, high; flag 1: data is a page number u64
 */
import { readFileSync, readSync } from 'node:fs'

const BRANCH = 1
const LEAF = 2
const OVERFLOW = 4
const BIG_DATA = 1
const PAGE_HEADER_BYTES = 24
const NODE_HEADER_BYTES = 8
const NO_ROOT = 0xffff_ffff_ffff_ffffn
const MAX_DEPTH = 32
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id'

export interface Meta {
  page_bytes: number
  roots: bigint[]
  transaction: bigint
  bootId: bigint
}

export const META_BYTES = 168

export function readMetaFields(view: DataView): Meta {
  return {
    page_bytes: view.getUint32(48, true),
    roots: [view.getBigUint64(88, true), view.getBigUint64(136, true)],
    transaction: view.getBigUint64(152, true),
    bootId: view.getBigUint64(160, true),
  }
}

/** As LMDB takes it from Linux: the first group of the boot's UUID. Undefined where there is none. */
export function currentBootId(): bigint | undefined {
  try {
    return BigInt(`0x${readFileSync(BOOT_ID_FILE, 'utf8').split('-')[0]!}`)
  } catch {
    return undefined
  }
}

/** What is wrong with the trees of this meta page, or undefined. */
export function findTreeDamage(fd: number, size_bytes: number, meta: Meta): string | undefined {
  const walk = new TreeWalk(fd, size_bytes, meta)
  for (const root of meta.roots) {
    const damage = root === NO_ROOT ? undefined : walk.check(root, 0)
    if (damage) return damage
  }
  return undefined
}

class TreeWalk {
  readonly #pageCount: number
  #visited = 0

  constructor(
    readonly fd: number,
    size_bytes: number,
    readonly meta: Meta,
  ) {
    this.#pageCount = Math.floor(size_bytes / meta.page_bytes)
  }

  check(page: bigint, depth: number): string | undefined {
    if (depth > MAX_DEPTH || ++this.#visited > this.#pageCount) return 'the tree has a circle'
    if (page >= BigInt(this.#pageCount)) return `page ${page} lies behind the end of the file`
    const view = this.#read(page, this.meta.page_bytes)
    const flags = view.getUint16(18, true)
    const isBranch = (flags & BRANCH) !== 0
    if (!this.#isOurs(view, page) || (!isBranch && (flags & LEAF) === 0)) {
      return `page ${page} was not written`
    }
    const lower = PAGE_HEADER_BYTES + view.getUint16(20, true)
    const upper = PAGE_HEADER_BYTES + view.getUint16(22, true)
    if (lower > upper || upper > this.meta.page_bytes) {
      return `page ${page} has its free space at ${lower}..${upper}`
    }
    for (let at = PAGE_HEADER_BYTES; at < lower; at += 2) {
      const node = PAGE_HEADER_BYTES + view.getUint16(at, true)
      if (node < upper || node + NODE_HEADER_BYTES > this.meta.page_bytes) {
        return `page ${page} has a node at ${node}`
      }
      const damage = isBranch
        ? this.check(childPage(view, node), depth + 1)
        : this.#checkLeafNode(view, node, page)
      if (damage) return damage
    }
    return undefined
  }

  #checkLeafNode(view: DataView, node: number, page: bigint): string | undefined {
    const data = node + NODE_HEADER_BYTES + view.getUint16(node + 6, true)
    const size = view.getUint16(node, true) + view.getUint16(node + 2, true) * 2 ** 16
    const isBig = (view.getUint16(node + 4, true) & BIG_DATA) !== 0
    if (data + (isBig ? 8 : size) > this.meta.page_bytes) {
      return `page ${page} has a node that ends at ${data + size}`
    }
    if (!isBig) return undefined
    const first = view.getBigUint64(data, true)
    const run = Math.ceil((PAGE_HEADER_BYTES + size) / this.meta.page_bytes)
    if (first + BigInt(run) > BigInt(this.#pageCount)) {
      return `pages ${first} and on lie behind the end of the file`
    }
    const header = this.#read(first, PAGE_HEADER_BYTES)
    const isOverflow = (header.getUint16(18, true) & OVERFLOW) !== 0
    if (!isOverflow || !this.#isOurs(header, first) || header.getUint32(20, true) < run) {
      return `page ${first} was not written`
    }
    return undefined
  }

  #isOurs(view: DataView, page: bigint): boolean {
    return view.getBigUint64(0, true) === page
  }

  #read(page: bigint, length: number): DataView {
    const bytes = new Uint8Array(length)
    readSync(this.fd, bytes, 0, length, Number(page) * this.meta.page_bytes)
    return new DataView(bytes.buffer)
  }
}

function childPage(view: DataView, node: number): bigint {
  const low = view.getUint16(node, true) + view.getUint16(node + 2, true) * 2 ** 16
  return BigInt(low) + (BigInt(view.getUint16(node + 4, true)) << 32n)
}
