/**
 * Owns the proof that what was acknowledged survives a power cut at any point of a recorded run under `actors.wal_sync: flushed`. After
 * each operation that can take something away, and after each commit, the disks that a cut may leave are made, and what the program's own
 * code reads from them is compared with what was acknowledged: it must be in its WAL segment, or all blocks of the segment must be whole,
 * on the livestore's disk or in the backend.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { silentLog } from '../../src/lib/log.js'
import { Random } from '../../src/lib/random.js'
import { systemClock } from '../../src/lib/time.js'
import { parseMeta } from '../../src/storage/block/meta.js'
import { replaySegment } from '../../src/storage/wal/replay.js'
import { Segment } from '../../src/storage/wal/segment.js'
import { DiskModel, type Image, type Loss } from './disk-model.js'
import type { DiskOp } from './strace.js'

export interface PowerLossOptions {
  /** Below the recording's root. */
  readonly walPath: string
  readonly backendPath: string
  readonly seed: number
  /** Random disks at each point, beside the one that keeps only what was synced. */
  readonly samples: number
}

export interface PowerLossReport {
  /** Points at which the power was cut. */
  cuts: number
  disks: number
  commits: number
  segments: number
  /** Segments that were recovered from blocks, because they were dropped. */
  fromBlocks: number
  violations: string[]
}

/** What a segment has acknowledged. */
interface Promised {
  readonly path: string
  appliedOffset: number
  records: number
  blocks: ReadonlyMap<string, string>
}

type Readable = Omit<Promised, 'path'>

const VIOLATIONS_MAX = 5
const TAKES_AWAY: ReadonlySet<DiskOp['call']> = new Set(['rename', 'unlink', 'rmdir', 'truncate'])

export async function cutPowerEverywhere(
  ops: readonly DiskOp[],
  options: PowerLossOptions,
): Promise<PowerLossReport> {
  return new PowerLoss(options).run(ops)
}

class PowerLoss {
  readonly #model = new DiskModel()
  readonly #promised = new Map<string, Promised>()
  /** By the bytes of a segment: most disks differ elsewhere. */
  readonly #read = new Map<string, Readable | undefined>()
  readonly #random: Random
  readonly #folder = mkdtempSync(join(tmpdir(), 'power-loss-'))
  readonly #report: PowerLossReport = {
    cuts: 0,
    disks: 0,
    commits: 0,
    segments: 0,
    fromBlocks: 0,
    violations: [],
  }

  constructor(private readonly options: PowerLossOptions) {
    this.#random = new Random(options.seed)
  }

  async run(ops: readonly DiskOp[]): Promise<PowerLossReport> {
    const report = this.#report
    let checkedAt = -1
    for (const op of ops) {
      this.#model.apply(op)
      const isCommit = op.call === 'mark' && op.path === 'wal.commit.after'
      if (isCommit) await this.#promise(op.detail)
      const isDue = isCommit || (TAKES_AWAY.has(op.call) && this.#model.changes !== checkedAt)
      if (!isDue || report.violations.length >= VIOLATIONS_MAX) continue
      checkedAt = this.#model.changes
      await this.#cut(describe(op))
    }
    report.segments = this.#promised.size
    rmSync(this.#folder, { recursive: true, force: true })
    return report
  }

  /** The program says that a commit is durable: what stands in the segment now may be acknowledged. */
  async #promise(detail: string): Promise<void> {
    const [path = '', applied = ''] = detail.split(' ')
    this.#report.commits++
    const found = await this.#readSegment(this.#model.image('most'), path)
    if (!found || found.appliedOffset < Number(applied)) {
      throw new Error(`the recording is not whole: ${path} has not got offset ${applied}`)
    }
    this.#promised.set(path, { path, ...found, appliedOffset: Number(applied) })
  }

  async #cut(after: string): Promise<void> {
    this.#report.cuts++
    await this.#check('least', after)
    for (let i = 0; i < this.options.samples; i++) await this.#check('any', after)
  }

  async #check(loss: Loss, after: string): Promise<void> {
    const image = this.#model.image(loss, this.#random)
    this.#report.disks++
    for (const promised of this.#promised.values()) {
      const lost = await this.#isLost(image, promised)
      if (lost) this.#report.violations.push(`power cut after ${after} (${loss}): ${lost}`)
    }
  }

  async #isLost(image: Image, promised: Promised): Promise<string | undefined> {
    const { path, appliedOffset, records, blocks } = promised
    const found = image.has(path) ? await this.#readSegment(image, path) : undefined
    if (found && found.appliedOffset >= appliedOffset && found.records >= records) return undefined
    for (const [tenant, blockId] of blocks) {
      const missing = this.#missingOf(image, path, `${tenant}/${blockId}`)
      if (missing === undefined) continue
      const segment = found ? `${found.records} of ${records} records` : 'gone'
      return `segment ${path} is ${segment}, and its block ${tenant}/${blockId} is not whole: ${missing}`
    }
    this.#report.fromBlocks++
    return undefined
  }

  /** Why a block is not whole, neither on the livestore's disk nor in the backend. */
  #missingOf(image: Image, segmentPath: string, block: string): string | undefined {
    const partition = segmentPath.split('/').at(-2)!
    const local = `${this.options.walPath}/blocks/${partition}/${block}`
    const backend = `${this.options.backendPath}/${block}`
    const reasons = [local, backend].map((folder) => this.#whyNotWhole(image, folder))
    return reasons.includes(undefined) ? undefined : reasons.join('; ')
  }

  #whyNotWhole(image: Image, folder: string): string | undefined {
    if (!image.has(folder)) return `no ${folder}`
    const metaBytes = image.get(`${folder}/meta.json`)
    if (!metaBytes) return `no meta.json in ${folder}`
    try {
      const meta = parseMeta(metaBytes, folder.split('/').at(-1)!)
      let size = 0
      for (const [path, bytes] of image) {
        if (!bytes || dirname(path) !== folder || path.endsWith('/meta.json')) continue
        const isSame = Buffer.compare(bytes, this.#model.read(path) ?? bytes) === 0
        if (!isSame) return `${path} is not what was written`
        size += bytes.length
      }
      return size >= meta.size ? undefined : `${size} of ${meta.size} bytes in ${folder}`
    } catch (error) {
      return String(error)
    }
  }

  async #readSegment(image: Image, path: string): Promise<Readable | undefined> {
    const bytes = image.get(`${path}/data.mdb`) ?? new Uint8Array(0)
    const key = `${path} ${createHash('sha1').update(bytes).digest('hex')}`
    if (!this.#read.has(key)) this.#read.set(key, await this.#recoverSegment(image, path))
    return this.#read.get(key)
  }

  /** With the program's own code, on a disk of its own. */
  async #recoverSegment(image: Image, path: string): Promise<Readable | undefined> {
    const folder = mkdtempSync(join(this.#folder, 'disk-'))
    try {
      for (const [name, bytes] of image) {
        if (!bytes || !name.startsWith(`${path}/`) || name.endsWith('lock.mdb')) continue
        mkdirSync(dirname(join(folder, name)), { recursive: true })
        writeFileSync(join(folder, name), bytes)
      }
      mkdirSync(join(folder, path), { recursive: true })
      const partition = Number(path.split('/').at(-2)!.slice(1))
      const segment = await Segment.open(join(folder, path), {
        partition,
        sync: 'committed',
        clock: systemClock,
        log: silentLog,
      }).catch(() => undefined)
      if (!segment) return undefined
      let records = 0
      for await (const some of replaySegment(segment, 0, silentLog)) records += some.length
      const { appliedOffset, blocks } = segment.info()
      await segment.close()
      return { appliedOffset, records, blocks }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

function describe(op: DiskOp): string {
  const words = 'to' in op ? `${op.path} -> ${op.to}` : op.path
  return `${op.call} ${words} (operation ${op.ended})`
}
