/** Owns that the simulator's edits of the sources still fit them: who changes a line that a planted bug is made of hears of it here. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { applyEdits, PLANTED_BUGS, TUNINGS, type Edit } from './simulation/planted-bugs.js'

function edited(edits: readonly Edit[], file: string): string {
  const text = readFileSync(new URL(`../src/${file}`, import.meta.url), 'utf8')
  return applyEdits([...TUNINGS, ...edits], file, text)
}

describe('an edit of the sources fits in one place', () => {
  it.each(TUNINGS)('$from', ({ file, to }) => {
    expect(edited([], file)).toContain(to)
  })

  it.each(Object.entries(PLANTED_BUGS))('%s', (_, { edits }) => {
    for (const { file } of edits) expect(edited(edits, file)).not.toBe(edited([], file))
  })

  it('or is refused', () => {
    const edit = { file: 'a.ts', from: 'x', to: 'y' }
    expect(() => applyEdits([edit], 'a.ts', 'no place')).toThrow('0 places in src/a.ts')
    expect(() => applyEdits([edit], 'a.ts', 'x and x')).toThrow('2 places in src/a.ts')
    expect(applyEdits([edit], 'b.ts', 'x and x')).toBe('x and x')
  })
})
