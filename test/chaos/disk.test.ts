/** Disks that are full, unwritable, broken or damaged: nothing acknowledged is lost, nothing crashes, and what is wrong is said. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { IS_FULL, isFlushed, round, SHORT_LIVES, tell } from '../support/faults.js'
import { eventually, sleep, TestServer } from '../support/server.js'
import { SmallDisk, whyNoDisk, type DiskKind } from '../support/small-disk.js'

const FULL_MS = IS_FULL ? 20_000 : 5000
const DISK_MIB = 160
const GROUP = 'disk'
const FLAGS = ['--actors.chaos=true', ...SHORT_LIVES]

const title = (text: string, kind: DiskKind) => {
  const why = whyNoDisk(kind)
  return { isThere: why === undefined, text: text + (why ? ` (skipped: ${why})` : '') }
}

let server: TestServer | undefined
let disk: SmallDisk | undefined
afterEach(async () => {
  await server?.remove()
  disk?.remove()
  server = disk = undefined
})

interface Actors {
  components: { component: string; replicas: { restarts: number; state: string }[] }[]
}

async function restartsOf(of: TestServer, component: string): Promise<number> {
  const { components } = (await of.get('/api/actors')) as Actors
  return components.find((found) => found.component === component)!.replicas[0]!.restarts
}

const tmpfs = title('a full disk', 'tmpfs')
describe.skipIf(!tmpfs.isThere)(tmpfs.text, () => {
  it('under the write-ahead log: commits, cuts and builds wait, no actor dies, and all goes on when there is room', async () => {
    const small = (disk = SmallDisk.make('tmpfs', DISK_MIB))
    const wal = join(small.path, 'live-store')
    const running = (server = await TestServer.start({
      flags: [...FLAGS, `--live_store.wal.path=${wal}`, '--actors.ack_timeout=2s'],
    }))
    const { pid } = running
    await round({
      server: running,
      group: GROUP,
      fault: 'full under the WAL',
      seed: 201,
      load_ms: 3000 + FULL_MS,
      happens: async () => {
        await sleep(2000)
        small.fill()
        await sleep(FULL_MS)
        const free = small.free_bytes
        small.empty()
        return `full for ${FULL_MS / 1000} s with ${free} bytes free; same process, ${await restartsOf(running, 'livestore')} restarts`
      },
    })
    expect(running.pid).toBe(pid)
    expect(await restartsOf(running, 'livestore')).toBe(0)
    expect(running.log).toMatch(/disk is full: wal commits wait for room/)
  })

  it('when the livestore dies on it: the replacement waits for room instead of dying too', async () => {
    const small = (disk = SmallDisk.make('tmpfs', DISK_MIB))
    const running = (server = await TestServer.start({
      flags: [
        ...FLAGS,
        `--live_store.wal.path=${join(small.path, 'live-store')}`,
        '--actors.ack_timeout=2s',
      ],
    }))
    await round({
      server: running,
      group: GROUP,
      fault: 'full, and the livestore dies',
      seed: 202,
      load_ms: 3000 + FULL_MS,
      happens: async () => {
        await sleep(2000)
        small.fill()
        await sleep(500)
        expect(await running.post('/api/actors/livestore-0/crash?how=throw')).toBe(200)
        await sleep(FULL_MS)
        small.empty()
        await eventually('the livestore runs', 30_000, async () => {
          const { components } = (await running.get('/api/actors')) as Actors
          return components.every(({ replicas }) => replicas.every(({ state }) => state === 'running')) // prettier-ignore
        })
        return `full for ${FULL_MS / 1000} s; ${await restartsOf(running, 'livestore')} restart of the livestore`
      },
    })
    expect(await restartsOf(running, 'livestore')).toBe(1)
    expect(running.log).toMatch(/disk is full: wal waits for room/)
  })

  it('under the backend: flushes are tried again, and all is flushed when there is room', async () => {
    const small = (disk = SmallDisk.make('tmpfs', 16))
    const running = (server = await TestServer.start({
      flags: [...FLAGS, `--storage.trace.local.path=${join(small.path, 'blocks')}`],
    }))
    await round({
      server: running,
      group: GROUP,
      fault: 'full under the local backend',
      seed: 203,
      load_ms: 2000 + FULL_MS,
      rate: 500,
      happens: async () => {
        small.fill()
        await sleep(FULL_MS)
        const failed = await running.metric('tempo_live_store_local_failed_flushes_total')
        expect(failed).toBeGreaterThan(0)
        small.empty()
        return `${failed} flushes failed and were tried again`
      },
      settles: () => eventually('all is flushed', 60_000, () => isFlushed(running)),
    })
  })

  it('at a start is told in one sentence', async () => {
    const small = (disk = SmallDisk.make('tmpfs', 8))
    small.fill()
    server = await TestServer.at({ flags: [`--live_store.wal.path=${small.path}/live-store`] })
    server.launch()
    const exit = await server.ended(30_000)
    expect(exit, server.log).toEqual({ code: 1, signal: null })
    expect(server.log).toMatch(/cannot start.*live_store\.wal\.path .*cannot be used: .*(disk is full|No space|ENOSPC)/) // prettier-ignore
    expect(server.log).not.toMatch(/^\s+at /m)
    tellStart('full at the start', server.log)
  })
})

const ext4 = title('a disk that breaks', 'ext4')
describe.skipIf(!ext4.isThere)(ext4.text, () => {
  it('and turns read-only under load: nothing is acknowledged any more, and what was is there when it is mounted again', async () => {
    const small = (disk = SmallDisk.make('ext4', DISK_MIB))
    const wal = join(small.path, 'live-store')
    const running = (server = await TestServer.start({
      flags: [
        ...FLAGS,
        `--live_store.wal.path=${wal}`,
        // What a broken disk had not written is gone with it.
        '--actors.wal_sync=flushed',
        '--actors.ack_timeout=2s',
      ],
    }))
    await round({
      server: running,
      group: GROUP,
      fault: 'read-only remount (ext4, wal_sync: flushed)',
      seed: 204,
      load_ms: 8000,
      rate: 500,
      mayEnd: true,
      happens: async () => {
        await sleep(3000)
        small.breakDown()
        const exit = await running.ended(15_000)
        await running.kill()
        expect(running.log).toMatch(/read-only|EROFS|WAL_FAILED|write to .* failed/)
        small.unmount()
        small.mount()
        await running.up()
        return exit ? `the process ended by itself (${exit.code ?? exit.signal})` : 'the process lived on, refusing; restarted by hand' // prettier-ignore
      },
    })
  })
})

const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
const canBeNobody = spawnSync(asNobody[0]!, [...asNobody.slice(1), 'true']).status === 0
describe.skipIf(!canBeNobody)(
  'an unwritable folder' + (canBeNobody ? '' : ' (skipped: only root can become another user)'),
  () => {
    it.each([
      ['live_store.wal.path', /live_store\.wal\.path .*cannot be used: permission denied/],
      ['storage.trace.local.path', /backend folder cannot be used.*(permission denied|EACCES)/],
    ])('at %s is told in one sentence', async (key, words) => {
      const folder = mkdtempSync(join(tmpdir(), 'unwritable-'))
      chmodSync(folder, 0o755)
      mkdirSync(join(folder, 'work'), { mode: 0o777 })
      chmodSync(join(folder, 'work'), 0o777)
      mkdirSync(join(folder, 'mine'), { mode: 0o755 })
      try {
        server = await TestServer.at({
          folder: join(folder, 'work'),
          under: asNobody,
          flags: [`--${key}=${join(folder, 'mine', 'data')}`],
        })
        server.launch()
        const exit = await server.ended(30_000)
        expect(exit, server.log).toEqual({ code: 1, signal: null })
        expect(server.log).toMatch(words)
        expect(server.log).not.toMatch(/^\s+at /m)
        tellStart(`unwritable folder: ${key}`, server.log)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    })
  },
)

function tellStart(fault: string, log: string): void {
  const found = /error="?(.*?)"?$/m.exec(log.slice(log.indexOf('cannot start')))?.[1] ?? ''
  const words = found.replace(/\/tmp\/\S+?(?=[):\s])/g, '<folder>').slice(0, 160)
  tell({ group: GROUP, fault, tries: 1, acknowledged: 0, lost: 0, doubled: 0, crashes: 0, found: `does not start: ${words}` }) // prettier-ignore
}
