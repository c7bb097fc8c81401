import { describe, expect, it } from 'vitest'
import { collectGarbage } from '../../src/lib/garbage.js'
import { residentMemory } from '../../src/memory/resident.js'
import { openTrim } from '../../src/memory/trim.js'

const MIB = 2 ** 20
const BUFFERS = 4000
const KEPT_OF = 100

const trim = openTrim()
const isGlibc = process.platform === 'linux' && 'glibcVersionRuntime' in header()

function header(): object {
  return (process.report.getReport() as unknown as { header: object }).header
}

it.runIf(isGlibc)('is there where glibc is', () => {
  expect(trim).toBeDefined()
})

describe.runIf(trim)('giving back', () => {
  it('returns pages between chunks that are in use, which the allocator keeps', async () => {
    const kept = leaveHoles()
    collectGarbage()
    // The memory of dead buffers is freed in the background.
    await new Promise((resolve) => setTimeout(resolve, 500))
    const before = residentMemory().total_bytes
    trim!()
    const given = before - residentMemory().total_bytes
    expect(given).toBeGreaterThan(20 * MIB)
    expect(kept.every((buffer) => buffer[0] === 1)).toBe(true)
  })
})

/** Many buffers, of which one in so many stays. */
function leaveHoles(): Buffer[] {
  const all = Array.from({ length: BUFFERS }, (_, i) =>
    Buffer.allocUnsafeSlow(20_000 + (i % 7) * 3000).fill(1),
  )
  return all.filter((_, i) => i % KEPT_OF === 0)
}
