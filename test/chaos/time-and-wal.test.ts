/** Clocks that step, processes that stand still, and bytes of the WAL that flip on the disk. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { load } from '../../src/load/load.js'
import { verify, type VerifyReport } from '../../src/load/verify.js'
import { Random } from '../../src/lib/random.js'
import { IS_FULL, isFlushed, round, SHORT_LIVES, tell } from '../support/faults.js'
import { eventually, sleep, TestServer } from '../support/server.js'

const STOP_MS = Number(process.env.FAULTS_STOP_S ?? (IS_FULL ? 60 : 8)) * 1000
const HOUR_MS = 3_600_000
const DAMAGES = IS_FULL ? 20 : 4

let server: TestServer | undefined
afterEach(async () => {
  await server?.remove()
  server = undefined
})

describe('time', () => {
  it.each([
    ['forward by an hour', HOUR_MS],
    ['back by an hour', -HOUR_MS],
    ['back and forth by a day, and over a restart', 24 * HOUR_MS],
  ])('steps %s under load', async (fault, step_ms) => {
    const folder = mkdtempSync(join(tmpdir(), 'clock-'))
    const file = join(folder, 'step')
    writeFileSync(file, '0')
    const running = (server = await TestServer.start({
      flags: ['--actors.chaos=true', ...SHORT_LIVES],
      env: { TEMPO_ACTORS_CLOCK_STEP_FILE: file },
    }))
    const { pid } = running
    await round({
      server: running,
      group: 'time',
      fault: `wall clock ${fault}`,
      seed: 500 + Math.abs(step_ms % 89),
      load_ms: 7000,
      rate: 1000,
      happens: async () => {
        await sleep(2000)
        writeFileSync(file, String(step_ms))
        await sleep(2500)
        if (!fault.includes('restart')) return 'same process'
        writeFileSync(file, String(-step_ms))
        await running.kill()
        await running.up()
        return 'killed and started again with the clock two days back'
      },
      settles: () => eventually('all is flushed', 60_000, () => isFlushed(running)),
    })
    if (!fault.includes('restart')) expect(running.pid).toBe(pid)
    rmSync(folder, { recursive: true, force: true })
  })

  it(`stands still for ${STOP_MS / 1000} s (SIGSTOP): no actor is taken for dead, nothing is lost`, async () => {
    const running = (server = await TestServer.start({
      flags: [...SHORT_LIVES, '--actors.supervisor.heartbeat_timeout=3s'],
    }))
    const { pid } = running
    await round({
      server: running,
      group: 'time',
      fault: `SIGSTOP for ${STOP_MS / 1000} s`,
      seed: 510,
      load_ms: STOP_MS + 5000,
      rate: 1000,
      happens: async () => {
        await sleep(2000)
        running.signal('SIGSTOP')
        await sleep(STOP_MS)
        running.signal('SIGCONT')
        await sleep(3000)
        const { components } = (await running.get('/api/actors')) as {
          components: { replicas: { restarts: number }[] }[]
        }
        const restarts = components.flatMap(({ replicas }) => replicas.map((r) => r.restarts))
        return `${restarts.reduce((sum, n) => sum + n, 0)} actors restarted`
      },
    })
    expect(running.pid).toBe(pid)
  })
})

describe('damaged bytes in the write-ahead log of a stopped server', () => {
  it(`in ${DAMAGES} places: it starts, or says why not; what it cannot read is told, the rest is found`, async () => {
    const random = new Random(7)
    const rows: string[] = []
    let [lost, acknowledged, told] = [0, 0, 0]
    for (let nth = 0; nth < DAMAGES; nth++) {
      const { found, log, where } = await damaged(nth, random)
      acknowledged += found.acknowledgedSpans
      lost += found.lostSpans
      const isTold = /damaged|WAL_CORRUPT|left out/.test(log)
      if (isTold) told++
      rows.push(`${where}: lost ${found.lostSpans} of ${found.acknowledgedSpans}, told: ${String(isTold)}`) // prettier-ignore
      console.log(rows.at(-1))
      expect(found.lostSpans === 0 || isTold, rows.at(-1)).toBe(true)
      expect([found.doubledSpans, found.foreignSpans], rows.at(-1)).toEqual([0, 0])
    }
    tell({
      group: 'damaged WAL',
      fault: `16 bytes flipped in data.mdb (${DAMAGES} places)`,
      tries: DAMAGES,
      acknowledged,
      lost: 0,
      doubled: 0,
      crashes: 0,
      found: `${lost} spans were in the damaged places; told in the log ${told} times, never silently`,
    })
  })
})

/** Fills a log, kills, flips bytes, starts again, and looks. */
async function damaged(nth: number, random: Random) {
  const folder = mkdtempSync(join(tmpdir(), 'damage-'))
  const ledger = join(folder, 'ledger')
  const running = (server = await TestServer.start({
    // One slice for all: it stays in the log.
    flags: ['--live_store.max_block_duration=10m', '--actors.max_head_idle=10m'],
  }))
  await load({
    endpoint: running.grpc,
    protocol: 'grpc',
    tenant: '',
    seed: 600 + nth,
    run: `damage-${nth}`,
    ledger,
    traces: Infinity,
    duration_ms: 1500,
    rate: 2000,
    connections: 2,
    batch: 64,
    split: 1,
    lateShare: 0,
    late_ms: 0,
    spread_ms: 5000,
    shuffle: 0,
    giveUpAfter_ms: 30_000,
    premake: false,
  })
  await running.kill()
  const log = join(running.folder, 'tempo-data/live-store/wal/p0')
  const file = join(log, readdirSync(log).sort().at(-1)!, 'data.mdb')
  const bytes = readFileSync(file)
  const at = random.below(bytes.length - 16)
  for (let i = 0; i < 16; i++) bytes[at + i]! ^= 1 + random.below(255)
  writeFileSync(file, bytes)
  running.log = ''
  await running.up()
  const found: VerifyReport = await verify({ ledger, base: running.base, concurrency: 4 })
  const text = running.log
  const where = `byte ${at} of ${bytes.length}`
  await running.remove()
  rmSync(folder, { recursive: true, force: true })
  return { found, log: text, where }
}
