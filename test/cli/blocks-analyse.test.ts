import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DedicatedColumn } from '../../src/storage/block/encoding.js'
import { blockId } from '../storage/compaction/blocks.js'
import { attributePairs } from '../support/otlp-objects.js'
import { shopTraces } from '../support/shop-traces.js'
import { BlocksFolder, TIMEOUT_MS, runBlocks } from './blocks-folder.js'

let folder: BlocksFolder
beforeEach(async () => {
  folder = await BlocksFolder.make()
})
afterEach(() => folder.remove())

interface Attribute {
  key: string
  type: string
  rows: number
  presence: number
  distinct: number
  value_bytes: number
  stored_bytes: number
  hasColumn: boolean
}
interface Analysed {
  spans: number
  size_bytes: number
  scopes: { scope: string; rows: number; attributes: Attribute[] }[]
  dedicatedColumns: DedicatedColumn[]
}

const named = ({ scopes }: Analysed, scope: string, key: string, type = 'string') =>
  scopes.find((one) => one.scope === scope)!.attributes.find((one) => one.key === key && one.type === type) // prettier-ignore

/** Occurrences, different values and bytes of a span's attribute, counted from what was sent. */
function sentOf(sent: ReturnType<typeof shopTraces>, key: string) {
  const values = sent
    .flatMap(({ scopes }) => scopes.flatMap(({ spans }) => spans))
    .flatMap(({ attributes }) => attributePairs(attributes))
    .flatMap(([name, value]) => (name === key && typeof value === 'string' ? [value] : []))
  return {
    rows: values.length,
    distinct: new Set(values).size,
    value_bytes: values.reduce((sum, value) => sum + Buffer.byteLength(value), 0),
  }
}

describe('blocks analyse', { timeout: TIMEOUT_MS }, () => {
  test('counts what the attributes of a blockpack take', async () => {
    const sent = shopTraces({ traces: 200 })
    const made = await folder.add(blockId(1), sent)
    const found = await folder.json<Analysed>('analyse', 'shop', blockId(1))
    expect([found.spans, found.size_bytes]).toEqual([made.totalSpans, made.size])
    const keys = found.scopes.find(({ scope }) => scope === 'span')!.attributes
    const strings = keys.filter(({ type }) => type === 'string')
    expect(strings.length).toBeGreaterThan(2)
    for (const { key, rows, distinct, value_bytes, hasColumn, stored_bytes, presence } of strings) {
      expect([key, { rows, distinct, value_bytes }]).toEqual([key, sentOf(sent, key)])
      expect(presence).toBeCloseTo(rows / made.totalSpans!)
      expect(hasColumn && stored_bytes > 0 && stored_bytes < made.size).toBe(true)
    }
    const pid = named(found, 'resource', 'process.pid', 'int')!
    expect([pid.presence, pid.distinct]).toEqual([1, 3])
  })

  test('finds the same in parquet, where most attributes share columns', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 200 }))
    const before = await folder.json<Analysed>('analyse', 'shop', blockId(1))
    const out = `${folder.path}/parquet`
    const to = await folder.run('convert', 'shop', blockId(1), '--to', 'vParquet5', '--out', out, '--dedicated', 'span.http.route') // prettier-ignore
    expect([to.code, to.err]).toEqual([0, ''])
    const { out: json } = await runBlocks(['analyse', 'shop', '--path', out, '--json'])
    const after = JSON.parse(json) as Analysed
    const facts = ({ scopes }: Analysed) =>
      scopes
        .filter(({ scope }) => scope === 'span')
        .flatMap(({ attributes }) => attributes)
        .map(({ key, type, rows, distinct, value_bytes }) => ({
          key,
          type,
          rows,
          distinct,
          value_bytes,
        })) // prettier-ignore
        .sort((a, b) => (`${a.key} ${a.type}` < `${b.key} ${b.type}` ? -1 : 1))
    expect(facts(after)).toEqual(facts(before))
    const shared = after.scopes.flatMap(({ attributes }) => attributes).filter((one) => !one.hasColumn) // prettier-ignore
    expect(named(after, 'span', 'http.route')!.hasColumn).toBe(true)
    expect(shared.map(({ key }) => key)).toContain('telemetry.sdk.language')
    const whole = after.scopes.flatMap(({ attributes }) => attributes).reduce((sum, one) => sum + one.stored_bytes, 0) // prettier-ignore
    expect(whole).toBeLessThan(after.size_bytes)
  })

  test('recommends columns for what is weighty, as many as the version has', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 200 }))
    const advice = async (to: string) =>
      (await folder.json<Analysed>('analyse', 'shop', '--to', to)).dedicatedColumns
    const five = await advice('vParquet5')
    const names = five.map(({ s = 'span', n, t = 'string' }) => `${s}.${n} ${t}`)
    expect(names).toContain('resource.service.instance.id string')
    expect(names).toContain('resource.process.pid int')
    expect(names.join()).not.toContain('service.name ')
    const four = await advice('vParquet4')
    expect(four.filter(({ t }) => t === 'int')).toEqual([])
    expect(four.map(({ n }) => n)).not.toContain('k8s.pod.name') // every block of vParquet4 has a column for it
    const { out } = await folder.run('analyse', 'shop', '--limit', '2')
    expect(out).toMatch(/^ATTRIBUTE +TYPE +ROWS +PRESENT +DISTINCT +VALUES +STORED +OF BLOCK +COLUMN$/m) // prettier-ignore
    expect(out).toMatch(/^ {2}- \{ scope: resource, name: "service.instance.id", type: string \}$/m)
    expect(out).toMatch(/^and for blocks convert: --dedicated '/m)
    expect(out).toMatch(/^\d+ more: --limit 0 shows them$/m)
  })

  test('takes the newest blocks of a tenant, and says so', async () => {
    for (let i = 0; i < 3; i++) await folder.add(blockId(i), shopTraces({ seed: i, traces: 3 }))
    const { out, err } = await folder.run('analyse', 'shop', '--max-blocks', '2')
    expect(out).toMatch(/^2 blocks, /)
    expect(err).toBe('the newest 2 of 3 blocks; --max-blocks 0 takes all\n')
  })
})
