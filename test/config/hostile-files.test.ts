/** Files that nobody writes to configure anything: each is refused in words and in a moment. */
import { describe, expect, it } from 'vitest'
import { expandEnv } from '../../src/config/env.js'
import { ConfigError } from '../../src/config/error.js'
import { parseTree, settingAt } from '../../src/config/tree.js'

/** What takes time in the square of its size takes minutes here. */
const SOON_MS = 8000

function refusal(text: string): readonly string[] {
  try {
    parseTree('f.yaml', text)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('a file', () => {
  it('of 20,000 aliases is read in one walk', { timeout: SOON_MS }, () => {
    const aliases = (count: number) => `a: &a 1\nb: [${Array(count).fill('*a').join(',')}]`
    const tree = settingAt(parseTree('f.yaml', aliases(20_000)), ['b'])
    expect(tree?.kind === 'list' && tree.items.length).toBe(20_000)
  })

  it('whose aliases mean the last anchor before them, and not one behind', () => {
    const tree = parseTree('f.yaml', 'a: &x 1\nb: *x\nc: &x 2\nd: *x')
    const valueOf = (key: string) => (settingAt(tree, [key]) as { value: unknown }).value
    expect([valueOf('b'), valueOf('d')]).toEqual([1, 2])
    expect(refusal('b: *x\na: &x 1')[0]).toMatch(/f\.yaml:1:4: .*alias/i)
  })

  it('that nests deeper than the parser can go says so, and nothing of call stacks', () => {
    for (const text of ['['.repeat(10_000), '- '.repeat(5000), `a: ${'{b: '.repeat(5000)}`]) {
      const [first] = refusal(text)
      expect(first).toMatch(/f\.yaml:\d+:\d+: .*(nests deeper than 64 levels|at most .* 64 levels)/)
    }
  })

  it('with an alias to itself', () => {
    expect(refusal('server: &a [*a]')[0]).toMatch(/at most 100000 nodes and 64 levels/)
    expect(refusal('server: &a\n  <<: *a')[0]).toMatch(/at most 100000 nodes and 64 levels/)
  })

  it('that is wrong in each of its lines tells of the first twenty', () => {
    expect(refusal('a: b: c\n'.repeat(2000))).toHaveLength(20)
  })

  it('of open references to the environment takes no time', { timeout: SOON_MS }, () => {
    const open = '${'.repeat(200_000)
    expect(expandEnv('f.yaml', `${open}\na: \${B:-1} \${`, {}).content).toBe(`${open}\na: 1 \${`)
  })
})
