/** The claim on a data folder, by processes that start at once after a kill -9 of its owner. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, expect, it } from 'vitest'

const CLAIMER = new URL('./folder-lock/claimer.js', import.meta.url).pathname
const ROUNDS = 15
const PROCESSES = 3

class Claimer {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>

  constructor() {
    this.#child = spawn(process.execPath, [CLAIMER])
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  async says(): Promise<string> {
    return String((await this.#lines.next()).value)
  }

  claim(folder: string): void {
    this.#child.stdin.write(`${folder}\n`)
  }

  async kill(): Promise<void> {
    const isGone = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await isGone
  }
}

const living = new Set<Claimer>()
const folder = mkdtempSync(join(tmpdir(), 'folder-lock-'))
afterEach(async () => {
  await Promise.all([...living].map((claimer) => claimer.kill()))
  rmSync(folder, { recursive: true, force: true })
})

it(`has one owner, of ${PROCESSES} that start at once on what a killed one left, ${ROUNDS} times`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    while (living.size < PROCESSES) living.add(new Claimer())
    const claimers = [...living]
    // Those of earlier rounds are there already; the new one says that it is.
    if (round === 0) for (const one of claimers) expect(await one.says()).toBe('ready')
    else expect(await claimers.at(-1)!.says()).toBe('ready')
    for (const one of claimers) one.claim(folder)
    const said = await Promise.all(claimers.map((one) => one.says()))
    expect(said.filter((word) => word === 'owner'), `round ${round}: ${said.join(', ')}`).toHaveLength(1) // prettier-ignore
    for (const word of said) expect(word).toMatch(/^owner$|another tempo-actors is using it/)
    const owner = claimers[said.indexOf('owner')]!
    living.delete(owner)
    await owner.kill()
    // The name of the dead one is there for the next round.
    expect(readdirSync(folder)).toHaveLength(1)
  }
}, 120_000)
