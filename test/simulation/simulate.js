#!/usr/bin/env node
/** Owns the start of the simulator: the loader must be there before the first module, and know the planted bug. */
import { spawn } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath, URL } from 'node:url'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const args = process.argv.slice(2)
const at = args.indexOf('--bug')
const bug = at < 0 ? '' : (args[at + 1] ?? '')

const child = spawn(
  process.execPath,
  ['--import', new URL('./register.js', import.meta.url).href, here('./main.ts'), ...args],
  { stdio: 'inherit', env: { ...process.env, SIMULATION_BUG: bug } },
)
child.on('exit', (code) => (process.exitCode = code ?? 1))
