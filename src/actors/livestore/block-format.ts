/** Owns how a tenant's blocks are written: as its limits say at the time, else as `storage.trace.block` does. */
import type { Config } from '../../config.js'
import type { LimitsSource } from '../../limits/view.js'
import type { DedicatedColumn } from '../../storage/block/encoding.js'
import { columnsOf } from '../../storage/vparquet/write/dedicated.js'

export interface BlockFormat {
  readonly version: string
  /** Undefined: as the encoding has it. */
  readonly dedicatedColumns: readonly DedicatedColumn[] | undefined
}

export function blockFormatOf(
  tenant: string,
  limits: Pick<LimitsSource, 'of'>,
  storage: Pick<Config['storage'], 'block_version' | 'dedicated_columns'>,
): BlockFormat {
  const own = limits.of(tenant)
  const columns = own.dedicated_columns ?? storage.dedicated_columns
  return {
    version: own.block_version || storage.block_version,
    dedicatedColumns: columns && columnsOf(columns),
  }
}
