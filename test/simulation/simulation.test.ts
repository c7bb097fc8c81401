/** Owns the proof of the simulator: seeds are clean, a seed is the same run each time, and planted bugs are found. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PLANTED_BUGS } from './planted-bugs.js'

const START = fileURLToPath(new URL('./simulate.js', import.meta.url))
/** What the slice of every day takes; the full run is `npm run simulate -- --seeds 1..100000`. */
const SLICE = process.env.SIMULATION_SEEDS ?? '1..500'
const BUG_SEEDS = '1..10000'
const PLANTED_MIN = 10

interface Ended {
  readonly code: number
  readonly text: string
}

function simulate(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [START, ...args], { maxBuffer: 2 ** 28 }, (error, stdout) => {
      resolve({ code: error ? 1 : 0, text: stdout })
    })
  })
}

describe('the simulator', () => {
  it(`finds nothing in seeds ${SLICE}`, async () => {
    const { code, text } = await simulate('--seeds', SLICE)
    expect(text).not.toContain('FAILED')
    expect(code).toBe(0)
  })

  it('runs a seed in the same way alone, again, and with its schedule told', async () => {
    const runs = [
      await simulate('--seed', '31'),
      await simulate('--seed', '31'),
      await simulate('--seed', '31', '--trace'),
    ]
    const digests = runs.map(({ text }) => /digest=(-?\d+)/.exec(text)?.[1])
    expect(digests[0]).toBeDefined()
    expect(new Set(digests).size).toBe(1)
  })

  it('prints the line that replays a seed that failed, and the line replays it', async () => {
    const bug = ['--bug', 'ack-before-commit']
    const { text } = await simulate('--seeds', BUG_SEEDS, '--jobs', '1', ...bug)
    const seed = /replay: npm run simulate -- --seed (\d+) --trace/.exec(text)?.[1]
    expect(seed).toBeDefined()
    const failure = /FAILED seed=\d+ (.*?) \|/.exec(text)?.[1]
    const again = await simulate('--seed', seed!, '--trace', ...bug)
    expect(again.code).toBe(1)
    expect(again.text).toContain(failure)
  })
})

describe('a planted bug is found', () => {
  it('of which there are at least ten', () => {
    expect(Object.keys(PLANTED_BUGS).length).toBeGreaterThanOrEqual(PLANTED_MIN)
  })

  it.each(Object.entries(PLANTED_BUGS))('%s', async (bug, { text: what }) => {
    const { code, text } = await simulate('--seeds', BUG_SEEDS, '--bug', bug)
    const line = text.split('\n').find((one) => one.startsWith('FAILED'))
    process.stderr.write(`${bug} (${what}): ${line ?? 'not found'}\n`)
    expect(line).toBeDefined()
    expect(code).toBe(1)
  })
})
