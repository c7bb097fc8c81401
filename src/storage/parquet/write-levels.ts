/**
 * Owns repetition and definition levels: how rows nest, as one byte a value, and their bytes page by page. Columns that hang
 * from the same place in the schema share one `Levels`, so that their levels are made and encoded once.
 */
import { ByteWriter } from '../block/codec/bytes.js'
import { bitWidth, writeHybrid } from './write-bits.js'

/** Values of a page, about: whole rows are added until it is reached. */
export const PAGE_VALUES = 16_384

/** Where pages begin, as rows and as values; one more than pages. */
export interface Cuts {
  readonly rows: Uint32Array
  readonly values: Uint32Array
}

export interface PageLevels {
  readonly repetition: Uint8Array
  readonly definition: Uint8Array
  /** Values with nulls, and those that are there. */
  readonly values: number
  readonly present: number
  readonly rows: number
}

const NONE = new Uint8Array(0)
const scratch = new ByteWriter()

/** Repetition levels with their cuts; the bytes depend on the width that a column needs. */
class Repetition {
  readonly #pages = new Map<number, Uint8Array[]>()
  constructor(
    readonly levels: Uint8Array,
    readonly cuts: Cuts,
  ) {}

  page(page: number, max: number): Uint8Array {
    if (max === 0) return NONE
    const width = bitWidth(max)
    let pages = this.#pages.get(width)
    if (!pages) this.#pages.set(width, (pages = []))
    return (pages[page] ??= encodeLevels(this.levels, this.cuts, page, width))
  }
}

export class Levels {
  readonly #pages: PageLevels[] = []
  readonly #repetition: Repetition
  readonly #absent: (Levels | undefined)[] = []

  private constructor(
    repetition: Repetition,
    readonly maxRepetition: number,
    readonly definition: Uint8Array,
    readonly maxDefinition: number,
  ) {
    this.#repetition = repetition
  }

  get repetition(): Uint8Array {
    return this.#repetition.levels
  }
  /** Values with nulls. */
  get length(): number {
    return this.definition.length
  }
  get cuts(): Cuts {
    return this.#repetition.cuts
  }
  get pageCount(): number {
    return this.cuts.rows.length - 1
  }

  /** The levels of a column with one value a row. */
  static ofRows(rows: number): Levels {
    const repetition = new Uint8Array(rows)
    return new Levels(new Repetition(repetition, cutPages(repetition)), 0, new Uint8Array(rows), 0)
  }

  /** The levels of a list: `counts` has the length of the list at each place that is there. */
  list(counts: Uint32Array): Levels {
    const { repetition, definition, maxDefinition } = this
    let length = definition.length - counts.length
    for (const count of counts) length += count > 1 ? count : 1
    const repetitions = new Uint8Array(length)
    const definitions = new Uint8Array(length)
    let at = 0
    for (let i = 0, next = 0; i < definition.length; i++) {
      repetitions[at] = repetition[i]!
      if (definition[i]! < maxDefinition) {
        definitions[at++] = definition[i]!
        continue
      }
      const count = counts[next++]!
      if (count === 0) {
        definitions[at++] = maxDefinition
        continue
      }
      definitions[at++] = maxDefinition + 1
      for (let n = 1; n < count; n++) {
        repetitions[at] = this.maxRepetition + 1
        definitions[at++] = maxDefinition + 1
      }
    }
    const cuts = cutPages(repetitions)
    return new Levels(new Repetition(repetitions, cuts), this.maxRepetition + 1, definitions, maxDefinition + 1) // prettier-ignore
  }

  /** The levels of a list in a list of values: its pages begin where this one's do, so that both can be read side by side. */
  alignedList(counts: Uint32Array): Levels {
    const made = this.list(counts)
    const cuts = cutAt(made.repetition, this.cuts.rows)
    return new Levels(new Repetition(made.repetition, cuts), made.maxRepetition, made.definition, made.maxDefinition) // prettier-ignore
  }

  /**
   * The levels of an optional value, or of a list with one value at most: there where `kinds`, which has one entry for each
   * place that is there, is `wanted`.
   */
  optional(kinds: Uint8Array, wanted: number, isList: boolean): Levels {
    const { definition, maxDefinition } = this
    const definitions = new Uint8Array(definition.length)
    for (let i = 0, next = 0; i < definition.length; i++) {
      const level = definition[i]!
      definitions[i] = level === maxDefinition && kinds[next++] === wanted ? level + 1 : level
    }
    const maxRepetition = this.maxRepetition + (isList ? 1 : 0)
    return new Levels(this.#repetition, maxRepetition, definitions, maxDefinition + 1)
  }

  /** The same where no place has a value; one for all such columns. */
  absent(isList: boolean): Levels {
    const maxRepetition = this.maxRepetition + (isList ? 1 : 0)
    return (this.#absent[Number(isList)] ??= new Levels(this.#repetition, maxRepetition, this.definition, this.maxDefinition + 1)) // prettier-ignore
  }

  page(page: number): PageLevels {
    return (this.#pages[page] ??= this.#encode(page))
  }

  #encode(page: number): PageLevels {
    const { cuts, definition, maxDefinition } = this
    const from = cuts.values[page]!
    const to = cuts.values[page + 1]!
    let present = 0
    for (let i = from; i < to; i++) if (definition[i] === maxDefinition) present++
    return {
      repetition: this.#repetition.page(page, this.maxRepetition),
      definition:
        maxDefinition === 0 ? NONE : encodeLevels(definition, cuts, page, bitWidth(maxDefinition)),
      values: to - from,
      present,
      rows: cuts.rows[page + 1]! - cuts.rows[page]!,
    }
  }
}

function encodeLevels(levels: Uint8Array, cuts: Cuts, page: number, width: number): Uint8Array {
  scratch.clear()
  writeHybrid(scratch, levels, cuts.values[page]!, cuts.values[page + 1]!, width)
  return scratch.view().slice()
}

/** Pages begin with a row, which is where a repetition level is 0. */
function cutPages(repetition: Uint8Array): Cuts {
  const rows = [0]
  const values = [0]
  let row = 0
  let begin = 0
  for (let i = 1; i < repetition.length; i++) {
    if (repetition[i] !== 0) continue
    row++
    if (i - begin < PAGE_VALUES) continue
    rows.push(row)
    values.push(i)
    begin = i
  }
  rows.push(repetition.length === 0 ? 0 : row + 1)
  values.push(repetition.length)
  return { rows: Uint32Array.from(rows), values: Uint32Array.from(values) }
}

function cutAt(repetition: Uint8Array, rows: Uint32Array): Cuts {
  const values = new Uint32Array(rows.length)
  let row = -1
  let page = 0
  for (let i = 0; i < repetition.length; i++) {
    if (repetition[i] !== 0) continue
    row++
    if (row === rows[page]) values[page++] = i
  }
  values[rows.length - 1] = repetition.length
  return { rows, values }
}
