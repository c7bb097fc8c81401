/**
 * Owns `npm run bench`: the whole store as a process under a load from another, at a rate and at full speed, until the last
 * block is flushed and read back; then its blocks alone. Prints tables; --json prints the figures. Absolute times are this
 * machine's, so that `--beside tempo` measures a real Tempo in the same run.
 */
import { parseArgs } from 'node:util'
import { measureBlocks, type BlocksResult } from './blocks.js'
import { blocksTable } from './blocks-table.js'
import { findTempo } from './peers.js'
import { measureOwn, measureTempo, type LoadFlags, type TempoFigures } from './scenario.js'
import { scenarioTable, type ScenarioResult } from './table.js'
import { tempoVersion } from './tempo.js'

const { values: options } = parseArgs({
  options: {
    traces: { type: 'string', default: '50000' },
    rate: { type: 'string', default: '20000' },
    connections: { type: 'string', default: '4' },
    only: { type: 'string', default: '' },
    beside: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    flag: { type: 'string', multiple: true, default: [] },
    'node-flag': { type: 'string', multiple: true, default: [] },
  },
})

if (!['', 'tempo'].includes(options.beside)) {
  throw new RangeError(`--beside ${options.beside}: only tempo can be measured beside`)
}
if (!['', 'rate', 'full', 'blocks'].includes(options.only)) {
  throw new RangeError(`--only ${options.only}: there are rate, full and blocks`)
}
const tempo = options.beside === 'tempo' ? tempoBeside() : undefined
const scenarios = [
  { name: `at ${options.rate} spans/s`, key: 'rate', args: ['--rate', options.rate] },
  { name: 'at full speed', key: 'full', args: [] },
].filter((scenario) => options.only === '' || scenario.key === options.only)

const results: ScenarioResult[] = []
for (const { name, args } of scenarios) {
  const flags: LoadFlags = { traces: options.traces, connections: options.connections, args }
  say(`${name}: ${options.traces} traces over ${options.connections} connections ...`)
  const own = await measureOwn(flags, options.flag, options['node-flag'])
  const beside = tempo && (await besideIt(name, flags, tempo))
  results.push({ name, ...own, ...(beside && { tempo: beside }) })
}
const blocks: BlocksResult | undefined =
  options.only === '' || options.only === 'blocks'
    ? await measureBlocks(Number(options.traces), tempo, say)
    : undefined
process.stdout.write(
  options.json
    ? JSON.stringify([...results, ...(blocks ? [blocks] : [])], null, 2) + '\n'
    : scenarioTable(results) + (blocks ? blocksTable(blocks) : '') + '\n',
)

function tempoBeside(): { path: string; version: string } | undefined {
  const found = findTempo(process.env)
  if ('path' in found) return { path: found.path, version: tempoVersion(found.path) }
  say(found.whyMissing)
  return undefined
}

/** Our own figures are not lost when Tempo fails; the exit code tells. */
async function besideIt(
  name: string,
  flags: LoadFlags,
  { path, version }: { path: string; version: string },
): Promise<TempoFigures | undefined> {
  say(`${name}: the same to Tempo ...`)
  try {
    return await measureTempo(flags, path, version)
  } catch (error) {
    say(`  Tempo could not be measured: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
    return undefined
  }
}

function say(text: string): void {
  process.stderr.write(text + '\n')
}
