/**
 * Owns merging blocks: their traces in the order of ids, the parts of a trace together and each span once, as row groups for
 * an encoding's writer. In memory are one row group of each input and one of the output, however large the blocks are.
 */
import { BufferCollector } from '../../lib/buffer-collector.js'
import type { ColumnSource } from '../../otlp/columns.js'
import { GroupCollector } from './group-rows.js'
import { JoinedDictionary } from './joined-dictionary.js'
import { MergedGroup } from './merged-group.js'
import { SourceCursor, type SourceGroup } from './source-cursor.js'
import { SpanDedup } from './span-dedup.js'

/** Spans after which a row group is closed, by whole traces: as blockpack does, so that it takes each as it is. */
export const MERGED_GROUP_SPANS = 32_768
/**
 * Decoded columns that an input's row group keeps from one row group of the output to the next, which most often needs the
 * same ones. Blocks with more columns than this holds are decoded again.
 */
export const KEPT_BYTES_PER_INPUT = 24 * 2 ** 20

/** Dead columns that may pile up: each row group of the output leaves as much as it had. */
const GARBAGE_BYTES = 16 * 2 ** 20

export interface MergeOptions {
  groupSpans?: number // default MERGED_GROUP_SPANS
  kept_bytes?: number // default KEPT_BYTES_PER_INPUT
  /** Opens the source of this number anew; without it, sources keep what they remember. */
  reopen?: (source: number) => Promise<ColumnSource>
}

/** What a merge did so far. */
export interface MergeCounts {
  spans: number
  traces: number
  /** Traces that stood in more than one block. */
  combinedTraces: number
  /** Copies of spans that were left out. */
  duplicateSpans: number
}

export class Merge {
  readonly counts: MergeCounts = { spans: 0, traces: 0, combinedTraces: 0, duplicateSpans: 0 }
  readonly #sources: readonly ColumnSource[]
  readonly #groupSpans: number
  readonly #kept_bytes: number
  readonly #reopen: MergeOptions['reopen']

  /** Of copies of a span the first source's is kept. */
  constructor(sources: readonly ColumnSource[], options: MergeOptions = {}) {
    this.#sources = sources
    this.#groupSpans = options.groupSpans ?? MERGED_GROUP_SPANS
    this.#kept_bytes = options.kept_bytes ?? KEPT_BYTES_PER_INPUT
    this.#reopen = options.reopen
  }

  /** The row groups of the output, each valid until the next is asked for. */
  async *groups(): AsyncGenerator<MergedGroup> {
    const dedup = new SpanDedup()
    const collector = new BufferCollector(GARBAGE_BYTES)
    let dictionary = new JoinedDictionary()
    const reopen = this.#reopen
    const cursors = this.#sources.map(
      (source, i) => new SourceCursor(source, reopen && (() => reopen(i))),
    )
    for (const cursor of cursors) await cursor.open()
    let open = cursors.filter(({ group }) => group)
    while (open.length > 0) {
      const rows = new GroupCollector(dedup)
      while (open.length > 0 && rows.spans < this.#groupSpans) {
        const least = leastOf(open)
        rows.add(least)
        for (const cursor of least) {
          if (cursor.isAtGroupEnd) await cursor.advance()
          else cursor.step()
          if (!cursor.group) open = open.filter((one) => one !== cursor)
        }
      }
      this.#count(rows)
      yield await MergedGroup.of(rows.rows(), dictionary)
      if (dictionary.isFull) dictionary = new JoinedDictionary()
      for (const { group } of open) await (group as SourceGroup).trim(this.#kept_bytes)
      collector.look()
    }
  }

  #count({ spans, traces, combinedTraces, duplicateSpans }: GroupCollector): void {
    this.counts.spans += spans
    this.counts.traces += traces
    this.counts.combinedTraces += combinedTraces
    this.counts.duplicateSpans += duplicateSpans
  }
}

/** The cursors that stand at the least trace id, in their order. */
function leastOf(cursors: readonly SourceCursor[]): SourceCursor[] {
  let least = [cursors[0]!]
  for (let i = 1; i < cursors.length; i++) {
    const order = cursors[i]!.compare(least[0]!)
    if (order < 0) least = [cursors[i]!]
    else if (order === 0) least.push(cursors[i]!)
  }
  return least
}
