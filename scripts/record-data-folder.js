/**
 * Records a data folder of the program as it is built in dist/, for test/fixtures/data-folders/: later versions have to
 * find every span in it. Run it once for a version whose formats differ from the one before, and commit what it writes:
 *
 *     npm run build && node scripts/record-data-folder.js v1
 *
 * The folder is what a kill -9 leaves behind at its most complicated. Two tenants, and for each of them spans that are
 *   flushed    in blocks in the backend, with their local copies
 *   complete   in blocks on local disk that the backend has not got, in the flush queue, tried in vain before
 *   closed     in a closed WAL segment whose blocks were not built
 *   live       in the segment that takes the appends
 */
import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs' // prettier-ignore
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { URL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { buildInfo } from '../dist/lib/build-info.js'
import { createLog } from '../dist/lib/log.js'
import { systemClock } from '../dist/lib/time.js'
import { Wal } from '../dist/storage/wal/wal.js'

const TENANTS = ['shop', 'team-b']
const PARTITIONS = 2
const TRACES = 6
const SPANS = 5
const MAIN = new URL('../dist/main.js', import.meta.url).pathname
/** Made anew by whoever opens the folder. */
const LEFT_OUT = /(^|\/)(lock\.mdb|in-use\.sock|probe\.tmp)$/

const [name] = process.argv.slice(2)
if (!name) throw new Error('usage: node scripts/record-data-folder.js <name, such as v1>')
const folder = mkdtempSync(join(tmpdir(), 'record-'))
const walPath = join(folder, 'live-store')
const backend = join(folder, 'blocks')
const ports = [await freePort(), await freePort()]
const sent = []

let server = await start('300ms')
await send('flushed')
await until('all is flushed', () => countOf(backend, 'meta.json') >= countOf(join(walPath, 'blocks'), 'meta.json') && countOf(backend, 'meta.json') >= TENANTS.length) // prettier-ignore
// A file where the tenant's folder was: no upload can succeed.
for (const tenant of TENANTS) {
  renameSync(join(backend, tenant), join(folder, `aside ${tenant}`))
  writeFileSync(join(backend, tenant), '')
}
const flushed = countOf(join(walPath, 'blocks'), 'meta.json')
await send('complete')
await until('blocks are complete', () => countOf(join(walPath, 'blocks'), 'meta.json') >= flushed + TENANTS.length) // prettier-ignore
await sleep(2000)
await kill(server)

server = await start('60s')
await send('closed')
await kill(server)
await rotate()
await moveRecords()
for (const tenant of TENANTS) {
  rmSync(join(backend, tenant))
  renameSync(join(folder, `aside ${tenant}`), join(backend, tenant))
}
write()
rmSync(folder, { recursive: true, force: true })

async function start(maxHeadIdle) {
  const args = [
    MAIN,
    '--multitenancy_enabled=true',
    '--server.http_listen_address=127.0.0.1',
    `--server.http_listen_port=${ports[0]}`,
    '--distributor.receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
    `--distributor.receivers.otlp.protocols.http.endpoint=127.0.0.1:${ports[1]}`,
    `--live_store.wal.path=${walPath}`,
    `--storage.trace.local.path=${backend}`,
    `--actors.max_head_idle=${maxHeadIdle}`,
    `--actors.bus.partitions=${PARTITIONS}`,
    '--live_store.max_block_duration=1h',
  ]
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  process.once('exit', () => child.kill('SIGKILL'))
  await until('the server is ready', async () => {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`)
    const reply = await globalThis.fetch(`http://127.0.0.1:${ports[0]}/ready`).catch(() => undefined) // prettier-ignore
    return reply?.status === 200
  })
  return child
}

async function kill(child) {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

/** A few traces for each tenant; an answer of 200 means that they are in the WAL. */
async function send(stage) {
  for (const tenant of TENANTS) {
    const traces = Array.from({ length: TRACES }, (_, t) => traceOf(tenant, stage, t))
    const reply = await globalThis.fetch(`http://127.0.0.1:${ports[1]}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-scope-orgid': tenant },
      body: JSON.stringify({ resourceSpans: traces.map((trace) => trace.resourceSpans) }),
    })
    if (reply.status !== 200) throw new Error(`${reply.status}: ${await reply.text()}`)
    for (const { traceId, spanIds } of traces) sent.push({ tenant, stage, traceId, spanIds })
  }
}

function traceOf(tenant, stage, number) {
  const id = (what, bytes) => createHash('sha256').update(`${tenant}/${stage}/${number}/${what}`).digest('hex').slice(0, 2 * bytes) // prettier-ignore
  const traceId = id('trace', 16)
  const spanIds = Array.from({ length: SPANS }, (_, s) => id(`span ${s}`, 8)).sort()
  const start = 1_767_225_600_000_000_000n + BigInt(number) * 1_000_000_000n
  const spans = spanIds.map((spanId, s) => ({
    traceId,
    spanId,
    ...(s > 0 && { parentSpanId: spanIds[0] }),
    name: `${stage} ${s}`,
    kind: 1 + (s % 5),
    startTimeUnixNano: String(start + BigInt(s) * 1_000_000n),
    endTimeUnixNano: String(start + BigInt(s) * 1_000_000n + 250_000n),
    attributes: [
      { key: 'stage', value: { stringValue: stage } },
      { key: 'number', value: { intValue: String(s) } },
      { key: 'share', value: { doubleValue: s / 4 } },
      { key: 'is.last', value: { boolValue: s === SPANS - 1 } },
      { key: 'list', value: { arrayValue: { values: [{ stringValue: 'a' }, { intValue: '1' }] } } },
    ],
    events: [{ timeUnixNano: String(start + 100_000n), name: 'event', attributes: [] }],
    links: [{ traceId: id('link', 16), spanId: id('link', 8), attributes: [] }],
    status: { code: s % 3, message: s % 3 === 2 ? 'failed' : '' },
  }))
  const service = [{ key: 'service.name', value: { stringValue: `${tenant} ${number}` } }]
  const resourceSpans = { resource: { attributes: service }, scopeSpans: [{ scope: { name: 'record', version: '1' }, spans }] } // prettier-ignore
  return { traceId, spanIds, resourceSpans }
}

/** As at a cut whose process died right after it. */
async function rotate() {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const wal = await openWal(partition)
    await wal.rotate()
    await wal.close()
  }
}

/** The records of a further run of the program become those of the current segments, with nobody there to build the closed ones. */
async function moveRecords() {
  const other = mkdtempSync(join(tmpdir(), 'record-'))
  const kept = join(other, 'live-store')
  renameSync(walPath, kept)
  const last = await start('60s')
  await send('live')
  await kill(last)
  const records = []
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const wal = await openWal(partition)
    for await (const batch of wal.replay(wal.current.seq)) records.push(...batch.map((record) => ({ partition, ...record, bytes: record.bytes.slice() }))) // prettier-ignore
    await wal.close()
  }
  rmSync(walPath, { recursive: true })
  renameSync(kept, walPath)
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const wal = await openWal(partition)
    for (const record of records.filter((record) => record.partition === partition)) {
      const at = wal.appliedOffset
      const end = at + record.endOffset - record.startOffset
      const blockId = wal.blockOf(record.tenant) ?? randomUUID()
      await wal.append([{ ...record, blockId, startOffset: at, endOffset: end }], end)
    }
    await wal.close()
  }
  rmSync(other, { recursive: true, force: true })
}

function openWal(partition) {
  const log = createLog({ level: 'error', format: 'logfmt' })
  return Wal.open({ path: walPath, partition, sync: 'committed', clock: systemClock, log })
}

function write() {
  const files = {}
  for (const root of ['live-store', 'blocks']) {
    for (const path of readdirSync(join(folder, root), { recursive: true, encoding: 'utf8' })) {
      const file = join(folder, root, path)
      if (!statSync(file).isFile() || LEFT_OUT.test(path)) continue
      files[`${root}/${path}`] = readFileSync(file).toString('base64')
    }
  }
  const { version, nodeVersion } = buildInfo()
  const recording = { program: version, node: nodeVersion, partitions: PARTITIONS, sent, files }
  const to = new URL(`../test/fixtures/data-folders/${name}.json.gz`, import.meta.url)
  mkdirSync(new URL('.', to), { recursive: true })
  const bytes = gzipSync(JSON.stringify(recording), { level: 9 })
  writeFileSync(to, bytes)
  process.stdout.write(
    `${to.pathname}: ${Object.keys(files).length} files, ${bytes.length} bytes\n`,
  )
}

function countOf(path, file) {
  if (!existsSync(path)) return 0
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((found) => found.endsWith(`/${file}`)).length // prettier-ignore
}

async function until(what, holds) {
  for (let tries = 0; tries < 600; tries++) {
    if (await holds()) return
    await sleep(100)
  }
  throw new Error(`not within a minute: ${what}`)
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}
