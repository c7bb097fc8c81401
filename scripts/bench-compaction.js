/**
 * Measures a compaction: writes blocks of the load generator's spans to a temporary folder, then merges them in a process of its own
 * and prints its CPU time and the most memory that it had.
 *
 *     npm run build && node scripts/bench-compaction.js [blocks] [spans a block]
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { performance } from 'node:perf_hooks'
import { clearInterval, setInterval } from 'node:timers'
import { fileURLToPath } from 'node:url'
import { silentLog } from '../dist/lib/log.js'
import { systemClock } from '../dist/lib/time.js'
import { LocalBackend } from '../dist/storage/backend/local.js'

const ME = fileURLToPath(import.meta.url)
const MIB = 2 ** 20
const TENANT = 'bench'

/** Blocks of about `spans` spans each. */
async function writeBlocks(folder, blocks, spans) {
  const { Shop } = await import('../dist/load/shop.js')
  const { HeadArena } = await import('../dist/storage/head/arena.js')
  const { HeadWriter } = await import('../dist/storage/head/writer.js')
  const { openHead } = await import('../dist/storage/head/source.js')
  const { blockpack } = await import('../dist/storage/block/blockpack.js')
  const { serializeMeta } = await import('../dist/storage/block/meta.js')
  const { Scratch } = await import('../dist/storage/compaction/scratch.js')
  const backend = new LocalBackend(join(folder, 'backend'), { clock: systemClock, log: silentLog })
  const metas = []
  // A trace in two requests may be in two blocks.
  const shop = new Shop({
    seed: 1,
    run: 'bench',
    batch: 4096,
    split: 2,
    lateShare: 0,
    late_ms: 0,
    spread_ms: 60_000,
  })
  for (let n = 0; n < blocks; n++) {
    const blockId = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
    const arena = HeadArena.create({
      bytes: Math.min(2047 * MIB, spans * 1024 + 64 * MIB),
      readers: 2,
    })
    const writer = HeadWriter.create(arena, { blockId, tenant: TENANT, partition: 0 })
    let written = 0
    while (written < spans) {
      const payload = shop.next()
      if (payload) writer.append(payload.bytes)
      else shop.addTrace(BigInt(Date.now()) * 1_000_000n)
      written += payload?.spans ?? 0
    }
    writer.publish(1)
    const head = openHead(arena, writer.headerChunk, { order: 'traceId' })
    const scratch = await new Scratch(join(folder, 'scratch')).begin(TENANT, blockId)
    const groups = (async function* () {
      for (let i = 0; i < head.groupCount; i++) yield await head.group(i)
    })()
    const meta = await blockpack.write({
      blockId,
      tenant: TENANT,
      compactionLevel: 0,
      groups,
      sink: scratch,
    })
    for (const { name, path } of scratch.files())
      await backend.putFile(`${TENANT}/${blockId}/${name}`, path)
    await backend.put(`${TENANT}/${blockId}/meta.json`, serializeMeta(meta))
    metas.push(meta)
    await head.close()
  }
  writeFileSync(join(folder, 'metas.json'), JSON.stringify(metas))
}

async function merge(folder) {
  const { compact } = await import('../dist/storage/compaction/compact.js')
  const backend = new LocalBackend(join(folder, 'backend'), {
    clock: systemClock,
    log: silentLog,
    sync: true,
  })
  const inputs = JSON.parse(readFileSync(join(folder, 'metas.json'), 'utf8'))
  let peak = 0
  let atRest = process.memoryUsage().rss
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20)
  const started = performance.now()
  const cpu = process.cpuUsage()
  const { meta, counts } = await compact({ inputs, scratch: join(folder, 'out') }, backend)
  const used = process.cpuUsage(cpu)
  clearInterval(timer)
  const cpu_s = (used.user + used.system) / 1e6
  const spans = inputs.reduce((sum, one) => sum + one.totalSpans, 0)
  process.stdout.write(
    JSON.stringify({
      blocks: inputs.length,
      spans,
      traces: counts.traces,
      combinedTraces: counts.combinedTraces,
      input_bytes: inputs.reduce((sum, one) => sum + one.size, 0),
      output_bytes: meta.size,
      wall_s: Math.round((performance.now() - started) / 10) / 100,
      cpu_s: Math.round(cpu_s * 100) / 100,
      spans_per_cpu_second: Math.round(spans / cpu_s),
      rss_at_rest_mib: Math.round(atRest / MIB),
      rss_peak_mib: Math.round(Math.max(peak, process.resourceUsage().maxRSS * 1024) / MIB),
    }) + '\n',
  )
}

const [what, ...rest] = process.argv.slice(2)
if (what === '--write') await writeBlocks(rest[0], Number(rest[1]), Number(rest[2]))
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
    run('--write', folder, what ?? '4', rest[0] ?? '200000')
    run('--merge', folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
