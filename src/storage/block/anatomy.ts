/** Owns what a block consists of, told without decoding it: its sections, its row groups, and the columns of each. */
import type { AttributeKey, Level } from '../../otlp/columns.js'

/** A stretch of the data object. */
export interface SectionAnatomy {
  readonly name: string
  readonly offset: number
  readonly stored_bytes: number
  /** Uncompressed; undefined where that is not told. */
  readonly raw_bytes: number | undefined
}

export interface ColumnAnatomy {
  /** As messages name it. */
  readonly name: string
  /** The table whose rows have the values. */
  readonly level: Level
  /** The attribute whose values these are; undefined for anything else. */
  readonly attribute: AttributeKey | undefined
  /** Values, or rows where nulls are not counted apart. */
  readonly values: number
  /** Rows without a value, where that is told. */
  readonly nulls: number | undefined
  readonly stored_bytes: number
  readonly raw_bytes: number | undefined
  /** How it is encoded and compressed. */
  readonly codec: string
  /** Distinct values, where that is told. */
  readonly distinct: number | undefined
  /** Least and greatest value; a long text is cut off. */
  readonly min: ColumnValue | undefined
  readonly max: ColumnValue | undefined
  /** The values are nanoseconds since the epoch. */
  readonly isTime: boolean
}

export type ColumnValue = bigint | number | string

export interface GroupAnatomy {
  readonly index: number
  readonly offset: number
  readonly stored_bytes: number
  readonly spans: number | undefined
  readonly traces: number
  readonly minStart_ns: bigint | undefined
  readonly maxEnd_ns: bigint | undefined
  /** In the order of the file. */
  readonly columns: readonly ColumnAnatomy[]
}

export interface BlockAnatomy {
  /** What wrote it, where it says so. */
  readonly createdBy: string | undefined
  readonly sections: readonly SectionAnatomy[]
  readonly groupCount: number
  /** One at a time: a block may have thousands, each with hundreds of columns. */
  group(index: number): Promise<GroupAnatomy>
}

/** Values are shown so far. */
export const SHOWN_CHARACTERS = 40

/** Bytes as text when they are one, else in hex. */
export function shownBytes(bytes: Uint8Array): string {
  const part = bytes.subarray(0, 2 * SHOWN_CHARACTERS)
  const text = Buffer.from(part).toString()
  const isText = !/[\p{Cc}\ufffd]/u.test(text)
  const shown = isText ? text : Buffer.from(part.subarray(0, SHOWN_CHARACTERS / 2)).toString('hex')
  const isWhole = part.length === bytes.length && shown.length <= SHOWN_CHARACTERS
  return isWhole ? shown : `${shown.slice(0, SHOWN_CHARACTERS)}…`
}
