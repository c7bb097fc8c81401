/**
 * Owns the suspicion of records in a replay of the write-ahead log: a marker says what was being applied, durably, before it is.
 *
 * A start that nothing happened to writes the marker once and takes it away at its end. A start that finds one had a predecessor that did
 * not get through, and looks closer: first batch by batch, then, in the batch that was being applied at the next death, record by record.
 * The third death finds one record alone: it becomes a dead letter and is left out, in this replay and in every later one of its segment.
 *
 *     death 1: `all`     death 2: `batch`, from and to     death 3: `record`     then: put aside
 */
import { identityOf, TRIES_MAX, type Death, PROCESS_DEATH } from '../../bus/poison.js'
import { countSpans } from '../../otlp/count-spans.js'
import type { WalRecord } from '../../storage/wal/segment.js'
import type { LivestoreState } from '../../storage/wal/state.js'
import type { Quarantine } from './quarantine.js'

/** What was being applied: the records that begin in [from, to). Offsets are never used twice in a partition. */
interface Mark {
  readonly scope: 'all' | 'batch' | 'record'
  readonly from: number
  readonly to: number
  /** Found at a start, each of them ended in a death. */
  readonly tries: number
  readonly death: Death | undefined
}

const MARK = 'replay'
const SKIP = 'skip/'

export interface ReplayGuardOptions {
  readonly partition: number
  readonly state: LivestoreState
  readonly quarantine: Quarantine
  /** Segments that are still there. */
  readonly segments: readonly { readonly seq: number }[]
  /** How the predecessor died, if there was one in this process. */
  readonly death: Death | undefined
  /** So many deaths are explained by a record that was put aside just now. */
  readonly forgive?: (deaths: number) => Promise<void>
}

export class ReplayGuard {
  readonly #options: ReplayGuardOptions
  readonly #found: Mark | undefined
  /** Offsets of records that are left out. */
  readonly #skipped = new Set<number>()
  #mark: Mark | undefined
  #isBatchMarked = false

  private constructor(options: ReplayGuardOptions) {
    this.#options = options
    this.#found = this.#mark = options.state.note(MARK) as Mark | undefined
  }

  static async open(options: ReplayGuardOptions): Promise<ReplayGuard> {
    const guard = new ReplayGuard(options)
    const there = new Set(options.segments.map(({ seq }) => seq))
    for (const [name, segment] of options.state.notes(SKIP)) {
      if (there.has(segment as number)) guard.#skipped.add(Number(name.slice(SKIP.length)))
      else await options.state.setNote(name, undefined)
    }
    return guard
  }

  /** Before the records of a batch are applied. */
  async begin(records: readonly WalRecord[]): Promise<void> {
    const from = records[0]!.startOffset
    const to = records.at(-1)!.endOffset
    this.#isBatchMarked = false
    if (!this.#found) {
      if (!this.#mark) await this.#set({ scope: 'all', from: 0, to: 0, tries: 1, death: undefined })
    } else if (!this.#isInDoubt(from, to)) {
      this.#isBatchMarked = true
      await this.#set({ scope: 'batch', from, to, tries: 2, death: this.#death })
    }
  }

  /** Before a record is applied: false when it must not be. */
  async admit(record: WalRecord, segment: number): Promise<boolean> {
    const { startOffset, endOffset } = record
    if (this.#skipped.has(startOffset)) return false
    if (!this.#found || this.#isBatchMarked) return true
    const { scope, from, tries } = this.#found
    const isTheOne = scope === 'record' && from === startOffset
    if (isTheOne && tries >= TRIES_MAX) {
      await this.#putAside(record, segment)
      return false
    }
    const next = isTheOne ? tries + 1 : TRIES_MAX
    await this.#set({
      scope: 'record',
      from: startOffset,
      to: endOffset,
      tries: next,
      death: this.#death,
    })
    return true
  }

  /** A wait begins that no record is to blame for. */
  async pause(): Promise<Mark | undefined> {
    const mark = this.#mark
    if (mark) await this.#set(this.#found)
    return mark
  }

  async resume(mark: Mark | undefined): Promise<void> {
    if (mark) await this.#set(mark)
  }

  /** The replay is through. */
  async end(): Promise<void> {
    if (this.#mark) await this.#set(undefined)
  }

  get #death(): Death | undefined {
    return this.#options.death
  }

  /** True for the batch that was being applied at the last death, and for what overlaps it. */
  #isInDoubt(from: number, to: number): boolean {
    const found = this.#found!
    return found.scope !== 'all' && from < found.to && found.from < to
  }

  async #putAside(record: WalRecord, segment: number): Promise<void> {
    const { partition, state, quarantine } = this.#options
    const { tenant, startOffset: offset, timestamp_ms, bytes } = record
    const poison = {
      identity: identityOf('traces', Buffer.from(tenant, 'utf8'), bytes),
      ...{ offset, tenant, timestamp_ms, bytes },
      count: countSpans(bytes),
      tries: this.#found!.tries,
      death: this.#death ?? this.#found!.death ?? PROCESS_DEATH,
    }
    await quarantine.quarantine('traces', partition, poison, { wasAcknowledged: true })
    await state.setNote(`${SKIP}${offset}`, segment)
    this.#skipped.add(offset)
    await this.#options.forgive?.(poison.tries)
  }

  async #set(mark: Mark | undefined): Promise<void> {
    this.#mark = mark
    await this.#options.state.setNote(MARK, mark)
  }
}
