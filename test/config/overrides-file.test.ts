import { describe, expect, it } from 'vitest'
import { parseOverrides } from '../../src/config/overrides-file.js'

const parse = (content: string) => parseOverrides(content, { name: 'o.yaml', env: {} })

describe('a file of limits by tenant', () => {
  it('holds what is written for a tenant and nothing else', () => {
    const { tenants, warnings } = parse(
      `overrides:
  acme:
    ingestion: { rate_limit_bytes: 15MB, max_traces_per_user: 3, retry_info_enabled: false }
    global:
      max_bytes_per_trace: 0
  "*":
    read: { max_bytes_per_tag_values_query: 5, max_search_duration: 48h }
  nothing:
  empty: {}
`,
    )
    expect(Object.fromEntries(tenants)).toEqual({
      acme: {
        rate_limit_bytes: 15_000_000,
        max_traces_per_user: 3,
        retry_info_enabled: false,
        max_bytes_per_trace: 0,
      },
      '*': { max_bytes_per_tag_values_query: 5, max_search_duration_ms: 172_800_000 },
      empty: {},
    })
    expect(warnings).toEqual([])
  })

  it("holds how a tenant's blocks are written, with Tempo's names and rules", () => {
    const columns = (count: number, type: string) =>
      Array.from({ length: count }, (_, i) => `{ scope: span, name: a${i}, type: ${type} }`).join()
    const { tenants, warnings } = parse(`overrides:
  acme:
    storage:
      block_version: vParquet5
      parquet_dedicated_columns:
        - { scope: resource, name: host.name, type: string }
        - { scope: span, name: size, type: int, options: [array, blob] }
  none: { storage: { parquet_dedicated_columns: [] } }
  many: { storage: { parquet_dedicated_columns: [${columns(6, 'int')}] } }
`)
    expect(tenants.get('acme')).toEqual({
      block_version: 'vParquet5',
      dedicated_columns: [
        { scope: 'resource', name: 'host.name', type: 'string' },
        { scope: 'span', name: 'size', type: 'int', options: ['array', 'blob'] },
      ],
    })
    expect(tenants.get('none')).toEqual({ dedicated_columns: [] })
    expect(warnings).toEqual([
      expect.stringMatching(/^o\.yaml:9:.*overrides\.many\.storage\.parquet_dedicated_columns has 6 columns of type int and scope span, there are 5/), // prettier-ignore
    ])
  })

  it.each([
    ['{ scope: trace, name: a, type: string }', 'column 1: scope must be resource or span or event, not "trace"'],
    ['{ name: a, type: string }', 'column 1: scope must be resource or span or event'],
    ['{ scope: span, type: string }', 'column 1: name must be that of an attribute'],
    ['{ scope: span, name: a, type: bool }', 'column 1: type must be string or int, not "bool"'],
    ['{ scope: span, name: a, type: int, option: [] }', 'column 1: unknown key option'],
    ['{ scope: span, name: a, type: int, options: [list] }', 'options must be a list of array and blob, not ["list"]'],
    ['{ scope: span, name: a, type: int }, { scope: span, name: a, type: string }', 'has span attribute a twice'],
    ['a', 'column 1: must have scope, name and type'],
  ])('names the fault of the column %s', (column, fault) => {
    const text = `overrides:\n  acme:\n    storage:\n      parquet_dedicated_columns: [${column}]\n`
    expect(() => parse(text)).toThrow('overrides.acme.storage.parquet_dedicated_columns')
    expect(() => parse(text)).toThrow(fault)
    expect(() => parse(text)).toThrow('o.yaml:4:34')
  }) // prettier-ignore

  it.each([
    ['', []],
    ['overrides:\n', []],
    ['overrides: {}', []],
  ])('may say nothing (%j)', (content, none) => expect([...parse(content).tenants]).toEqual(none))

  it.each([
    [
      'overrides:\n  a:\n    ingestion:\n      rate_limit_byte: 1\n',
      /^o\.yaml:4:7: unknown key overrides\.a\.ingestion\.rate_limit_byte: did you mean rate_limit_bytes\?$/,
    ],
    [
      'overrides:\n  a:\n    global:\n      max_bytes_per_trace: -1\n',
      /^o\.yaml:4:28: overrides\.a\.global\.max_bytes_per_trace must be a size/,
    ],
    ['overrides:\n  a: 5\n', /^o\.yaml:2:6: overrides\.a must be a section of limits$/],
    ['overrides: 5\n', /^o\.yaml:1:12: overrides must be a section of tenants$/],
    ['a:\n  ingestion: {}\n', /^o\.yaml:1:1: unknown key a: the tenants stand under overrides$/],
  ])('tells what is wrong, where, and with what to do: %j', (content, words) => {
    expect(() => parse(content)).toThrow(words)
  })

  it('is refused whole: one bad tenant takes none of the others along', () => {
    const content =
      'overrides:\n  a: {global: {max_bytes_per_trace: 1}}\n  b: {x: 1}\n  c: {y: 1}\n'
    try {
      parse(content)
      expect.unreachable()
    } catch (error) {
      expect((error as { problems: string[] }).problems).toHaveLength(2)
    }
  })

  it('warns of what is Tempo’s and is not read', () => {
    const { warnings } = parse('overrides:\n  a:\n    metrics_generator: {processors: []}\n')
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^o\.yaml:3:5: overrides\.a\.metrics_generator is a key of Tempo/)
  })
})
