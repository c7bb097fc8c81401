/**
 * Every error that a user can meet at a start, by its full text. Each ends the program with 1, and none is a stack trace.
 * In the texts FOLDER is the data's folder and PORT a port.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkBackend } from '../../src/cli/backend-check.js'
import { lookAtS3 } from '../../src/cli/backend-look.js'
import { claimFolder } from '../../src/cli/folder-lock.js'
import { nodeProblem } from '../../src/cli/node-version.js'
import { withWalFolder } from '../../src/cli/preflight.js'
import { serve } from '../../src/cli/serve.js'
import { createLog, errorText, silentLog } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { readAppliedOffsets } from '../../src/storage/wal/applied.js'
import { WalFailed } from '../../src/storage/wal/errors.js'
import { HEADER_KEY } from '../../src/storage/wal/keys.js'
import { LmdbEnv } from '../../src/storage/wal/lmdb.js'
import { LivestoreState } from '../../src/storage/wal/state.js'
import { Wal } from '../../src/storage/wal/wal.js'

const OTLP = 'distributor.receivers.otlp.protocols'
const FREE_PORTS = [
  '--server.http-listen-address=127.0.0.1',
  '--server.http-listen-port=0',
  `--${OTLP}.grpc.endpoint=127.0.0.1:0`,
  `--${OTLP}.http.endpoint=127.0.0.1:0`,
]
const isRoot = process.getuid?.() === 0

let folder: string
let servers: Server[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'startup-'))
  servers = []
})
afterEach(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve))
  rmSync(folder, { recursive: true, force: true })
})

/** What a start says besides its banner, one entry a line, and its exit code. */
async function start(...args: string[]): Promise<{ code: number; said: string[] }> {
  const data = [
    `--live-store.wal.path=${folder}/wal`,
    `--storage.trace.local.path=${folder}/blocks`,
  ]
  return startBare(...FREE_PORTS, ...data, ...args)
}

async function startBare(...args: string[]): Promise<{ code: number; said: string[] }> {
  let output = ''
  const take = (text: string) => void (output += text)
  const code = await serve(args, { out: take, err: take })
  const lines = output.split('\n').filter((line) => line !== '' && !line.includes(' level=info '))
  return { code, said: lines.map(plain) }
}

/** The words of a line: of the log's, its message and its error. */
function plain(line: string): string {
  const log =
    /^ts=\S+ level=\w+ msg=("(?:[^"\\]|\\.)*"|\S+)(?: error=("(?:[^"\\]|\\.)*"|\S+))?/.exec(line)
  const words = log
    ? [log[1], log[2]].flatMap((text) => (text === undefined ? [] : [unquoted(text)]))
    : [line]
  return words.join(': ').replaceAll(folder, 'FOLDER')
}

function unquoted(text: string): string {
  return text.startsWith('"') ? (JSON.parse(text) as string) : text
}

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

function listening(server: Server): Promise<number> {
  servers.push(server)
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  )
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listening(server)
  await new Promise((resolve) => server.close(resolve))
  servers.pop()
  return port
}

const wal = { sync: 'committed' as const, clock: systemClock, log: silentLog }

describe('the command line', () => {
  it.each([
    ['--confg=a', 'unknown flag --confg: did you mean --config?'],
    ['--nothing.like.it', 'unknown flag --nothing.like.it: see --help'],
    ['single.yaml', 'unexpected argument "single.yaml": flags begin with --, see --help'],
    ['--server.log-level', '--server.log-level needs a value: --server.log-level=VALUE'],
    ['--config=', '--config needs a file: --config=FILE'],
    ['--config.verify=maybe', '--config.verify must be true or false, not "maybe"'],
    [
      '--live-store.max-block-duration=5',
      '--live-store.max-block-duration: live_store.max_block_duration needs a unit: write 5s or 5ms',
    ],
  ])('%s', async (argument, text) => {
    expect(await start(argument)).toEqual({ code: 1, said: [`tempo-actors: ${text}`] })
  })
})

describe('a configuration file', () => {
  it('that is not there', async () => {
    expect(await start(`--config=${folder}/none.yaml`)).toEqual({
      code: 1,
      said: [
        'tempo-actors: the configuration file FOLDER/none.yaml does not exist (FOLDER/none.yaml)',
      ],
    })
    const bare = await start('--config=no-such-name.yaml')
    expect(bare.said.join().replace(process.cwd(), 'HERE')).toBe(
      'tempo-actors: the configuration file no-such-name.yaml does not exist (HERE/no-such-name.yaml), and no configuration of the package has that name',
    )
  })

  it('that is a folder', async () => {
    expect((await start(`--config=${folder}`)).said).toEqual([
      'tempo-actors: the configuration file FOLDER cannot be read: it is a folder',
    ])
  })

  it.skipIf(isRoot)('that may not be read', async () => {
    const path = file('a.yaml', '')
    const { chmodSync } = await import('node:fs')
    chmodSync(path, 0)
    expect((await start(`--config=${path}`)).said).toEqual([
      'tempo-actors: the configuration file FOLDER/a.yaml cannot be read: permission denied',
    ])
  })

  const contents: [what: string, content: string, ...texts: string[]][] = [
    [
      'that is no YAML',
      'server: [\n',
      '2:1: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
    [
      'that has a key twice',
      'target: all\ntarget: all',
      '2:1: not valid YAML: Map keys must be unique',
    ],
    ['that is a list', '- a', '1:1: must be a section of keys'],
    [
      'with a misspelt key',
      'server:\n  http_listen_prt: 1',
      '2:3: unknown key server.http_listen_prt: did you mean http_listen_port?',
    ],
    [
      'with a key in the wrong place',
      'http_listen_port: 1',
      '1:1: unknown key http_listen_port: it belongs in server.http_listen_port',
    ],
    ['with an unknown key', 'colour: red', '1:1: unknown key colour'],
    [
      'with a value where a section belongs',
      'server: 5',
      '1:9: server must be a section of keys (http_listen_address, http_listen_port, log_level)',
    ],
    [
      'with a section where a value belongs',
      'server: {log_level: {a: 1}}',
      '1:21: server.log_level must be one value, not a section',
    ],
    [
      'with values of the wrong kind, all told at once',
      'server:\n  http_listen_port: often\n  log_level: loud\nlive_store:\n  max_trace_idle: 5\n  max_block_bytes: big\nactors:\n  chaos: perhaps',
      '2:21: server.http_listen_port must be a whole number from 0 to 65535, not "often"',
      '3:14: server.log_level must be debug or info or warn or error, not "loud"',
      '5:19: live_store.max_trace_idle needs a unit: write 5s or 5ms',
      '6:20: live_store.max_block_bytes must be a size such as 50MiB or 1000000, not "big"',
      '8:10: actors.chaos must be true or false, not "perhaps"',
    ],
    [
      'with values out of range',
      'live_store: {max_block_duration: 1ms, max_block_bytes: 1KiB}\nactors: {bus: {partitions: 0, ring_bytes: 3MiB}}',
      '1:34: live_store.max_block_duration must be at least 1s, not 1ms',
      '1:56: live_store.max_block_bytes must be at least 64KiB, not "1KiB"',
      '2:28: actors.bus.partitions must be a whole number from 1 to 64, not 0',
      '2:43: actors.bus.ring_bytes must be a power of two such as 4MiB or 8MiB, not "3MiB"',
    ],
    [
      'with what Tempo has and we have not',
      'target: querier\nstorage: {trace: {backend: gcs, block: {version: vParquet3}}}',
      '1:9: target querier is a part of Tempo that tempo-actors does not run alone: use target: all',
      '2:28: storage.trace.backend gcs is not supported: use s3 with its S3-compatible endpoint, or local',
      '2:50: storage.trace.block.version vParquet3 is not written: use vParquet4, vParquet5 or blockpack1',
    ],
    [
      'of Tempo 2',
      'ingester:\n  max_block_bytes: 1000000\ncompactor:',
      '2:3: ingester.max_block_bytes is a key of Tempo 2: it is live_store.max_block_bytes now',
      '3:1: compactor is a key of Tempo 2: it became backend_scheduler and backend_worker',
      'tempo-actors: the configuration is one of Tempo 2: "tempo-actors config migrate FILE" prints it with its keys moved',
    ],
    [
      'with a reference that is not expanded',
      'storage: {trace: {s3: {bucket: "${BUCKET:-a}"}}}',
      '1:32: storage.trace.s3.bucket is ${BUCKET:-a}: start with --config.expand-env to have it replaced',
    ],
    [
      'for S3 without a bucket',
      'storage: {trace: {backend: s3, s3: {access_key: a}}}',
      '1:36: storage.trace.s3.bucket is needed for backend: s3',
      '1:36: storage.trace.s3.secret_key is needed with access_key',
    ],
    [
      'with too little memory',
      'memory: {limit: 130MiB}',
      expect.stringMatching(
        /^1:17: memory\.limit is 130 MiB \(as set\), too little by \d+ MiB: .* need at least \d+ MiB$/,
      ) as string,
    ],
  ]
  it.each(contents)('%s', async (_, content, ...texts) => {
    const path = file('a.yaml', content)
    const expected = texts.map((text) => {
      if (typeof text !== 'string') return expect.stringContaining('memory.limit') as string
      return text.startsWith('tempo-actors: ') ? text : `tempo-actors: FOLDER/a.yaml:${text}`
    })
    expect(await startBare(`--config=${path}`)).toEqual({ code: 1, said: expected })
  })

  it('with a reference that is not understood', async () => {
    const path = file('a.yaml', 'server: {log_level: "${LEVEL^^}"}')
    expect((await start(`--config=${path}`, '--config.expand-env')).said).toEqual([
      'tempo-actors: FOLDER/a.yaml:1:22: ${LEVEL^^} is not understood: write ${NAME} or ${NAME:-default}',
    ])
  })

  it('that is far too large', async () => {
    const path = file('a.yaml', '#'.repeat(2 ** 20 + 1))
    expect((await start(`--config=${path}`)).said).toEqual([
      'tempo-actors: the configuration file FOLDER/a.yaml has more than 1048576 bytes, which are the most that are read',
    ])
  })

  it('with the data of the WAL within that of the backend', async () => {
    expect((await start(`--live-store.wal.path=${folder}/blocks/wal`)).said).toEqual([
      'tempo-actors: --live-store.wal.path: live_store.wal.path (FOLDER/blocks/wal) must not be in storage.trace.local.path (FOLDER/blocks)',
    ])
  })

  it('with one port for two', async () => {
    expect(
      (await start('--server.http-listen-port=4317', `--${OTLP}.grpc.endpoint=:4317`)).said,
    ).toEqual([
      `tempo-actors: --${OTLP}.grpc.endpoint: ${OTLP}.grpc.endpoint has the port of server.http_listen_port: :4317`,
    ])
  })

  it('without a receiver that we have', async () => {
    const path = file('a.yaml', 'distributor: {receivers: {zipkin: }}')
    expect(await startBare(`--config=${path}`)).toEqual({
      code: 1,
      said: [
        'tempo-actors: FOLDER/a.yaml:1:26: distributor.receivers has no otlp.protocols.grpc or http: nothing would be received',
      ],
    })
  })
})

describe('the file of per_tenant_override_config', () => {
  const flag = () => `--overrides.per-tenant-override-config=${folder}/tenants.yaml`

  it('that is not there', async () => {
    expect(await start(flag())).toEqual({
      code: 1,
      said: [
        'tempo-actors: FOLDER/tenants.yaml (overrides.per_tenant_override_config) cannot be read: it does not exist',
      ],
    })
  })

  it('with a misspelt limit', async () => {
    file('tenants.yaml', 'overrides:\n  acme:\n    ingestion: {rate_limit_byts: 1}\n')
    expect(await start(flag())).toEqual({
      code: 1,
      said: [
        'tempo-actors: FOLDER/tenants.yaml:3:17: unknown key overrides.acme.ingestion.rate_limit_byts: did you mean rate_limit_bytes?',
      ],
    })
  })
})

describe('an address', () => {
  it.each([
    ['server.http_listen_port', (port: number) => String(port)],
    [`${OTLP}.grpc.endpoint`, (port: number) => `127.0.0.1:${port}`],
    [`${OTLP}.http.endpoint`, (port: number) => `127.0.0.1:${port}`],
  ])('that is taken: %s', async (key, value) => {
    const port = await listening(createServer())
    const { code, said } = await start(`--${key}=${value(port)}`)
    expect(code).toBe(1)
    expect(said.map((text) => text.replaceAll(String(port), 'PORT'))).toEqual([
      `cannot start: cannot listen on 127.0.0.1:PORT (${key}): port PORT is taken by another process; stop that one or set ${key} to another port`,
    ])
  })

  it('that this machine does not have', async () => {
    const key = `${OTLP}.grpc.endpoint`
    expect(await start(`--${key}=203.0.113.1:4317`)).toEqual({
      code: 1,
      said: [
        `cannot start: cannot listen on 203.0.113.1:4317 (${key}): this machine has no such address; 0.0.0.0 listens on all it has`,
      ],
    })
  })

  it('whose name nobody knows', async () => {
    const key = `${OTLP}.http.endpoint`
    expect(await start(`--${key}=no-such-host.invalid:4318`)).toEqual({
      code: 1,
      said: [
        `cannot start: cannot listen on no-such-host.invalid:4318 (${key}): the host name cannot be resolved; 0.0.0.0 listens on every address`,
      ],
    })
  })
})

describe('a folder', () => {
  it.each([
    [
      'live-store.wal.path',
      'cannot start: live_store.wal.path (FOLDER/file/data) cannot be used: a file is in the way of a folder',
    ],
    [
      'storage.trace.local.path',
      'cannot start: the backend folder cannot be used: a file is in the way of a folder (FOLDER/file/data)',
    ],
  ])('with a file in its way: %s', async (key, text) => {
    file('file', '')
    expect(await start(`--${key}=${folder}/file/data`)).toEqual({ code: 1, said: [text] })
  })

  // As on a filesystem in which nothing can be made. Node's recursive mkdir never returns from there.
  it.skipIf(process.platform !== 'linux').each([
    [
      'live-store.wal.path',
      'cannot start: live_store.wal.path (/proc/none/data) cannot be used: the folder above it is missing, and cannot be made',
    ],
    [
      'storage.trace.local.path',
      'cannot start: the backend folder cannot be used: the folder above it is missing, and cannot be made (/proc/none/data)',
    ],
  ])('that cannot be made: %s', async (key, text) => {
    expect(await start(`--${key}=/proc/none/data`)).toEqual({ code: 1, said: [text] })
  })

  it.skipIf(isRoot).each([
    [
      'live-store.wal.path',
      'cannot start: live_store.wal.path (FOLDER/closed/data) cannot be used: permission denied',
    ],
    [
      'storage.trace.local.path',
      'cannot start: the backend folder cannot be used: permission denied (FOLDER/closed/data)',
    ],
  ])('that may not be written: %s', async (key, text) => {
    mkdirSync(join(folder, 'closed'), { mode: 0o500 })
    expect(await start(`--${key}=${folder}/closed/data`)).toEqual({ code: 1, said: [text] })
  })

  it.each([
    ['EACCES: permission denied', 'permission denied'],
    ['EROFS: read-only file system', 'the filesystem is read-only'],
    ['ENOSPC: no space left on device', 'the disk is full'],
    ['EDQUOT: disk quota exceeded', "the user's share of the disk is full"],
    ['EIO: i/o error', 'the disk cannot be read or written (I/O error)'],
    ['EMFILE: too many open files', 'too many files are open: raise the limit (ulimit -n)'],
    ['only 10 of 65536 bytes could be written', 'only 10 of 65536 bytes could be written'],
  ])('in which the log cannot be opened: %s', async (reason, words) => {
    const open = () => Promise.reject(new WalFailed('/data/wal/p0', `${reason}, open '/data/x'`))
    const error = await withWalFolder('/data', open).catch(errorText)
    const why = words === reason ? `${reason}, open '/data/x'` : words
    expect(error).toBe(`live_store.wal.path (/data) cannot be used: ${why}`)
  })

  it('that another process uses', async () => {
    const release = await claimFolder(join(folder, 'wal'), silentLog)
    expect(await start()).toEqual({
      code: 1,
      said: [
        'cannot start: live_store.wal.path (FOLDER/wal) cannot be used: another tempo-actors is using it; stop that one, or give this one a folder of its own',
      ],
    })
    await release()
  })
})

describe('a write-ahead log', () => {
  const path = () => join(folder, 'wal')
  const newer = async (env: string, key: Uint8Array, value: object | number) => {
    const lmdb = LmdbEnv.open({ ...wal, path: join(path(), env), fsync: false })
    await lmdb.commit([{ key, value: Buffer.from(JSON.stringify(value)) }])
    await lmdb.close()
  }

  it('of more partitions than are configured, with records in them', async () => {
    const third = await Wal.open({ ...wal, path: path(), partition: 2 })
    const blockId = '00000000-0000-4000-8000-000000000001'
    const record = { tenant: 'acme', blockId, startOffset: 0, endOffset: 32, timestamp_ms: 1 }
    await third.append([{ ...record, bytes: new Uint8Array(8) }], 32)
    await third.close()
    expect(await start()).toEqual({
      code: 1,
      said: [
        'cannot start: actors.bus.partitions is 1, but partition 2 in live_store.wal.path (FOLDER/wal) holds 1 WAL records and 0 blocks that are not in the backend yet: start with 3 partitions and send nothing until all is flushed, then stop and start with 1',
      ],
    })
  })

  it('of a newer version', async () => {
    await readAppliedOffsets(path(), 2, wal)
    const header = { format: 9, partition: 0, seq: 1, baseOffset: 0, createdAt_ms: 0 }
    await newer('wal/p0/0000000001', HEADER_KEY, header)
    expect(await start()).toEqual({
      code: 1,
      said: [
        'cannot start: live_store.wal.path (FOLDER/wal) cannot be used: FOLDER/wal/wal/p0/0000000001 has format version 9, this program reads versions up to 1: a newer tempo-actors wrote it, start that one again; to go back to this one, send the newer one nothing until tempo_actors_live_store_live_spans and tempo_actors_live_store_flush_queue_length are 0, then give this one a new, empty folder',
      ],
    })
  })

  it('with a state of a newer version', async () => {
    const state = await LivestoreState.open({ ...wal, path: path(), partition: 1 })
    await state.close()
    await newer('state/p1', Uint8Array.of(1), 9)
    expect(await start()).toEqual({
      code: 1,
      said: [
        'cannot start: live_store.wal.path (FOLDER/wal) cannot be used: FOLDER/wal/state/p1 has format version 9, this program reads versions up to 1: a newer tempo-actors wrote it, start that one again; to go back to this one, send the newer one nothing until tempo_actors_live_store_live_spans and tempo_actors_live_store_flush_queue_length are 0, then give this one a new, empty folder',
      ],
    })
  })

  it('with a damaged state', async () => {
    mkdirSync(join(path(), 'state/p0'), { recursive: true })
    writeFileSync(join(path(), 'state/p0/data.mdb'), 'this is not LMDB')
    expect(await start()).toEqual({
      code: 1,
      said: [
        'cannot start: live_store.wal.path (FOLDER/wal) cannot be used: FOLDER/wal/state/p0 is damaged: data.mdb (16 bytes) does not begin with two LMDB meta pages; move FOLDER/wal/state/p0 away and start again: the blocks it listed are found on disk, and flushed again',
      ],
    })
  })

  it('with a damaged segment starts without it, and says so', async () => {
    await readAppliedOffsets(path(), 1, wal)
    writeFileSync(join(path(), 'wal/p0/0000000001/data.mdb'), 'this is not LMDB')
    let output = ''
    const log = createLog({ write: (line) => void (output += line) })
    await readAppliedOffsets(path(), 1, { ...wal, log })
    expect(output.replaceAll(folder, 'FOLDER').replace(/damaged-\d+/, 'damaged-TIME')).toMatch(
      /level=error msg="wal segment is damaged: set aside, its records are not searchable" path=FOLDER\/wal\/wal\/p0\/0000000001\.damaged-TIME reason="FOLDER\/wal\/wal\/p0\/0000000001 is damaged: data\.mdb \(16 bytes\) does not begin with two LMDB meta pages"\n/,
    )
  })
})

describe('a bucket', () => {
  /** What is said about a store that answers everything with this error. */
  async function look(answer: { status: number; code: string } | undefined, insecure = true) {
    const port = answer
      ? await listening(
          createHttpServer((_, reply) => {
            reply.writeHead(answer.status, { 'content-type': 'application/xml' })
            reply.end(`<Error><Code>${answer.code}</Code><Message>no</Message></Error>`)
          }),
        )
      : await freePort()
    let output = ''
    const log = createLog({ write: (line) => void (output += line) })
    const keys = { bucket: 'spans', prefix: '', region: '', access_key: 'a', secret_key: 'b' }
    const s3 = { ...keys, endpoint: `127.0.0.1:${port}`, insecure, forcepathstyle: true }
    const storage = { backend: 's3', s3, local_path: '', blocklist_poll_ms: 1, block_version: '' }
    const error = await checkBackend(
      storage as Parameters<typeof checkBackend>[0],
      log,
      lookAtS3,
    ).then(
      () => undefined,
      (failed: unknown) => errorText(failed),
    )
    return (error ?? plain(output.trimEnd())).replaceAll(String(port), 'PORT')
  }
  const at = 'the bucket cannot be used: http://127.0.0.1:PORT: '

  it.each([
    [
      404,
      'NoSuchBucket',
      'the bucket "spans" does not exist: create it, or correct storage.trace.s3.bucket',
    ],
    [400, 'InvalidBucketName', '"spans" is not a bucket name (storage.trace.s3.bucket)'],
    [
      403,
      'InvalidAccessKeyId',
      'the access key is not known there: check storage.trace.s3.access_key and secret_key',
    ],
    [
      403,
      'SignatureDoesNotMatch',
      'the secret key does not fit the access key: check storage.trace.s3.access_key and secret_key',
    ],
    [
      403,
      'AccessDenied',
      'access to the bucket "spans" is denied: the key needs the rights to list, get, put and delete',
    ],
    [
      400,
      'AuthorizationHeaderMalformed',
      'the bucket is in another region: set storage.trace.s3.region',
    ],
  ])('that refuses us for good ends the start: %i %s', async (status, code, text) => {
    expect(await look({ status, code })).toBe(at + text)
  })

  it('that is asked for TLS and speaks none ends nothing, but the key is named', async () => {
    expect(await look({ status: 200, code: '' }, false)).toBe(
      'the backend does not answer: spans are taken, and kept on local disk until it does: the bucket cannot be used: https://127.0.0.1:PORT: the server does not speak TLS there: set storage.trace.s3.insecure: true for plain HTTP',
    )
  })

  it.each([
    [undefined, 'the connection was refused: is the server running there?'],
    [{ status: 503, code: 'SlowDown' }, 'HTTP 503 SlowDown: no'],
  ])('that does not answer, or not now, is waited for', async (answer, text) => {
    expect(await look(answer)).toBe(
      `the backend does not answer: spans are taken, and kept on local disk until it does: ${at}${text}`,
    )
  })
})

describe('Node.js', () => {
  it('that is too old', () => {
    expect(nodeProblem('18.20.4')).toBe(
      'Node.js 20.19 or newer is needed, this is 18.20.4: install a newer one (https://nodejs.org)',
    )
    expect(nodeProblem('20.18.9')).toBeDefined()
    for (const version of ['20.19.0', '22.1.0', '24.0.0-nightly'])
      expect(nodeProblem(version)).toBeUndefined()
  })
})
