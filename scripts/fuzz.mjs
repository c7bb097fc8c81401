// npm run fuzz -- [--requests N] [--in-process N] [--seed N]
// Mutated requests through a server of its own, and through everything that reads OTLP in this process; prints what it found.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '100000' },
    'in-process': { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
})
const numbers = {
  requests: values.requests,
  seed: values.seed,
  'in-process': values['in-process'] ?? values.requests,
}
for (const [name, value] of Object.entries(numbers)) {
  if (!/^\d+$/.test(value)) {
    console.error(`--${name} is '${value}', expected a whole number`)
    process.exit(2)
  }
}
const env = {
  ...process.env,
  FUZZ_REQUESTS: numbers.requests,
  FUZZ_IN_PROCESS: numbers['in-process'],
  FUZZ_SEED: numbers.seed,
}
const suites = [
  ['--project', 'unit', 'test/otlp/fuzz.test.ts'],
  ['--project', 'hostile', 'test/hostile/fuzz.test.ts'],
]
let isClean = true
for (const suite of suites) {
  const { status } = spawnSync('npx', ['vitest', 'run', ...suite], { env, stdio: 'inherit' })
  isClean &&= status === 0
}
process.exit(isClean ? 0 : 1)
