import { describe, expect, it } from 'vitest'
import { blockFormatOf } from '../../../src/actors/livestore/block-format.js'
import { LimitsPage } from '../../../src/limits/page.js'
import { encodeTenants, LimitsView } from '../../../src/limits/view.js'
import { noLimits } from '../../limits/no-limits.js'

const COLUMN = { scope: 'span', name: 'a', type: 'string' } as const
const STORAGE = { block_version: 'vParquet4', dedicated_columns: undefined }

describe("how a tenant's blocks are written", () => {
  it('is as storage.trace.block says, where the tenant says nothing', () => {
    expect(blockFormatOf('t', noLimits(), STORAGE)).toEqual({ version: 'vParquet4', dedicatedColumns: undefined }) // prettier-ignore
    const storage = { ...STORAGE, dedicated_columns: [{ ...COLUMN, scope: 'resource' as const }] }
    expect(blockFormatOf('t', noLimits(), storage).dedicatedColumns).toEqual([{ s: 'resource', n: 'a' }]) // prettier-ignore
  })

  it('is as the tenant says at the time, also that there are no columns', () => {
    const page = new LimitsPage(LimitsPage.create())
    const limits = new LimitsView(noLimits().defaults, page)
    const of = (tenant: string) => blockFormatOf(tenant, limits, { ...STORAGE, dedicated_columns: [COLUMN] }) // prettier-ignore
    const own = { block_version: 'vParquet5', dedicated_columns: [{ ...COLUMN, type: 'int' as const, options: ['blob' as const] }] } // prettier-ignore
    page.publish(encodeTenants(new Map([['t', own]])))
    expect(of('t')).toEqual({ version: 'vParquet5', dedicatedColumns: [{ n: 'a', t: 'int', o: ['blob'] }] }) // prettier-ignore
    expect(of('other')).toEqual({ version: 'vParquet4', dedicatedColumns: [{ n: 'a' }] })
    page.publish(encodeTenants(new Map([['t', { dedicated_columns: [] }]])))
    expect(of('t')).toEqual({ version: 'vParquet4', dedicatedColumns: [] })
  })
})
