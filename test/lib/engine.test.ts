/** Owns the proof that the engine takes the flags it is tuned with: one that it does not know would be told on stderr only. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { ENGINE_FLAGS } from '../../src/lib/engine.js'

describe('the flags of the engine', () => {
  it('are known to this version of node, each by its name', async () => {
    const script = `
      const { setFlagsFromString } = require('node:v8')
      for (const flag of ${JSON.stringify(ENGINE_FLAGS)}) setFlagsFromString(flag)
    `
    const node = promisify(execFile)
    const cwd = fileURLToPath(new URL('.', import.meta.url))
    expect((await node(process.execPath, ['-e', script], { cwd })).stderr).toBe('')
    const unknown = await node(process.execPath, [
      '-e',
      "require('node:v8').setFlagsFromString('--no-such-flag-at-all')",
    ])
    expect(unknown.stderr).not.toBe('')
  })
})
