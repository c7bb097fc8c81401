/**
 * Owns the proof of the simulator: seeds are clean, a seed is the same run each time, and planted bugs are found.
 *
 * By default a slice that ends in time: `SIMULATION=full` looks for every planted bug to the end, and
 * `npm run simulate -- --seeds 1..100000` is the full run of clean seeds.
 */
import { execFile } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PLANTED_BUGS } from './planted-bugs.js'

const START = fileURLToPath(new URL('./simulate.js', import.meta.url))
const IS_FULL = process.env.SIMULATION === 'full'
const SEEDS = '1..10000'
/** What clean seeds, and all planted bugs together, may take of the slice: two minutes with the start of every run. */
const CLEAN_BOX_S = IS_FULL ? 600 : 30
const BUGS_BOX_S = IS_FULL ? Infinity : 60
/** On a machine that is starved, until ten are found. */
const BUG_BOX_MIN_S = 30
/** A time box in which nothing was run proves nothing. */
const CLEAN_MIN = 10
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

function seedsIn(text: string): number {
  return Number(/^seeds=(\d+)/m.exec(text)?.[1] ?? 0)
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

describe('the simulator', () => {
  it(`finds nothing in clean seeds, for ${CLEAN_BOX_S} s`, async () => {
    const { code, text } = await simulate('--seeds', SEEDS, '--time-box', String(CLEAN_BOX_S))
    say(`clean: ${text.trim()}`)
    expect(text).not.toContain('FAILED')
    expect(code).toBe(0)
    expect(seedsIn(text)).toBeGreaterThanOrEqual(CLEAN_MIN)
  })

  it('runs a seed in the same way alone, again, and with its schedule told', async () => {
    const runs = await Promise.all([
      simulate('--seed', '31'),
      simulate('--seed', '31'),
      simulate('--seed', '31', '--trace'),
    ])
    const digests = runs.map(({ text }) => /digest=(-?\d+)/.exec(text)?.[1])
    expect(digests[0]).toBeDefined()
    expect(new Set(digests).size).toBe(1)
  })

  it('prints the line that replays a seed that failed, and the line replays it', async () => {
    const bug = ['--bug', 'ack-before-commit']
    const { text } = await simulate('--seeds', SEEDS, '--jobs', '1', ...bug)
    const seed = /replay: npm run simulate -- --seed (\d+) --trace/.exec(text)?.[1]
    expect(seed).toBeDefined()
    const failure = /FAILED seed=\d+ (.*?) \|/.exec(text)?.[1]
    const again = await simulate('--seed', seed!, '--trace', ...bug)
    expect(again.code).toBe(1)
    expect(again.text).toContain(failure)
  })
})

describe('planted bugs', () => {
  const found = new Map<string, string>()

  it(`are found: at least ${PLANTED_MIN}${IS_FULL ? ', and all' : ''}`, async () => {
    const began = performance.now()
    const left_s = () => {
      const left = BUGS_BOX_S - (performance.now() - began) / 1000
      return found.size < PLANTED_MIN ? Math.max(BUG_BOX_MIN_S, left) : left
    }
    const bugs = Object.keys(PLANTED_BUGS)
    const search = async () => {
      for (let bug = bugs.shift(); bug !== undefined && left_s() > 0; bug = bugs.shift()) {
        const args = ['--seeds', SEEDS, '--jobs', '1', '--bug', bug]
        const { code, text } = await simulate(...args, '--time-box', String(left_s()))
        const line = text.split('\n').find((one) => one.startsWith('FAILED'))
        say(`${bug}: ${line ?? `not found in ${seedsIn(text)} seeds`}`)
        // A run that ended for another reason than a violation has not found it.
        if (code !== 0 && line !== undefined) found.set(bug, line)
      }
    }
    await Promise.all(Array.from({ length: availableParallelism() }, search))
    say(`planted bugs: ${found.size} of ${Object.keys(PLANTED_BUGS).length} found`)
    expect(found.size).toBeGreaterThanOrEqual(PLANTED_MIN)
  })

  it.runIf(IS_FULL).each(Object.entries(PLANTED_BUGS))('%s', (bug, { text: what }) => {
    expect(found.get(bug), what).toBeDefined()
  })
})
