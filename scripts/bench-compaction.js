/**
 * Measures the memory of a compaction: writes blocks of the load generator's spans to a temporary folder, then merges them in a process of its own
 * and prints its CPU time and the most memory that it had.
 *
 *     npm run build && node scripts/bench-compaction.js [blocks] [spans a block] [blockpack | vParquet4 | vParquet5]
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { clearInterval, setInterval } from 'node:timers'
import { fileURLToPath } from 'node:url'
import { silentLog } from '../dist/lib/log.js'
import { systemClock } from '../dist/lib/time.js'
import { LocalBackend } from '../dist/storage/backend/local.js'

const ME = fileURLToPath(import.meta.url)
const MIB = 2 ** 20

const backendIn = (folder, sync) =>
  new LocalBackend(join(folder, 'backend'), { clock: systemClock, log: silentLog, sync })

/** Blocks of about `spans` spans each. */
async function writeBlocks(folder, blocks, spans, version) {
  const { writeShopBlocks } = await import('../dist/bench/block-data.js')
  const { encodingNamed } = await import('../dist/storage/block/registry.js')
  const now_ns = BigInt(Date.now()) * 1_000_000n
  const backend = backendIn(folder, false)
  const scratch = join(folder, 'scratch')
  const encoding = encodingNamed(version)
  const metas = await writeShopBlocks(encoding, blocks, spans, backend, scratch, now_ns)
  writeFileSync(join(folder, 'metas.json'), JSON.stringify(metas))
}

async function merge(folder) {
  const { measureCompaction } = await import('../dist/bench/compaction.js')
  const inputs = JSON.parse(readFileSync(join(folder, 'metas.json'), 'utf8'))
  let peak = 0
  const atRest = process.memoryUsage().rss
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20)
  const figures = await measureCompaction(inputs, backendIn(folder, true), join(folder, 'out'))
  clearInterval(timer)
  process.stdout.write(
    JSON.stringify({
      ...figures,
      rss_at_rest_mib: Math.round(atRest / MIB),
      rss_peak_mib: Math.round(Math.max(peak, process.resourceUsage().maxRSS * 1024) / MIB),
    }) + '\n',
  )
}

const [what, ...rest] = process.argv.slice(2)
if (what === '--write') await writeBlocks(rest[0], Number(rest[1]), Number(rest[2]), rest[3])
else if (what === '--merge') await merge(rest[0])
else {
  const folder = mkdtempSync(join(tmpdir(), 'bench-compaction-'))
  const run = (...args) => {
    const { status } = spawnSync(process.execPath, ['--max-semi-space-size=4', ME, ...args], {
      stdio: 'inherit',
    })
    if (status !== 0) process.exit(status ?? 1)
  }
  try {
    run('--write', folder, what ?? '4', rest[0] ?? '200000', rest[1] ?? 'blockpack1')
    run('--merge', folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
