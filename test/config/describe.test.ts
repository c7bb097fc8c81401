import { expect, it } from 'vitest'
import { describeConfig, describeSources, loadConfig, parseCommandLine } from '../../src/config.js'

const load = (...args: string[]) =>
  loadConfig({
    cwd: '/here',
    memory: { bytes: 2 ** 33, of: 'machine' },
    env: {},
    ...parseCommandLine(args),
  })

it('says what listens where, where data lives and how memory is divided', () => {
  const loaded = load()
  const lines = [...describeSources(loaded), ...describeConfig(loaded.config)]
  expect(lines).toEqual([
    'config    built-in defaults (no --config was given)',
    'listen    OTLP gRPC   127.0.0.1:4317',
    'listen    OTLP HTTP   127.0.0.1:4318',
    'listen    Tempo API   127.0.0.1:3200',
    'data      WAL and local blocks in /here/tempo-data/live-store; an acknowledged span survives kill -9',
    'data      blockpack1 blocks in /here/tempo-data/blocks',
    "memory    limit 512 MiB (the default where the machine's 8 GiB allow it); requests are refused above 451 MiB",
    'memory    185 MiB  Node, its code, and every thread at rest',
    'memory     40 MiB  live heads',
    'memory     14 MiB  hash tables of the live heads',
    'memory     10 MiB  ids of spans whose heads were cut lately',
    'memory      8 MiB  rings of 1 partition: 4 MiB (ingress), 4 MiB (traces) each',
    'memory      8 MiB  catalogs, acks, metrics',
    'memory     18 MiB  requests in flight',
    'memory     64 MiB  1 block builder, 16384 spans at a time',
    'memory     48 MiB  open blocks and jobs of queries',
    'memory    117 MiB  heaps, buffers, and what the allocator keeps',
  ])
})

it('divides memory so that the table adds up to its first line', () => {
  const lines = describeConfig(load('--memory.limit=700MiB').config)
  const sizes = lines.flatMap((line) => /^memory +([\d.]+) MiB /.exec(line)?.[1] ?? [])
  expect(sizes.reduce((total, size) => total + Number(size), 0)).toBe(700)
})

it('refuses what does not fit, at the key that is to blame', () => {
  expect(() => load('--memory.limit=600MiB', '--actors.head-bytes=500MiB')).toThrow(
    /^--actors\.head-bytes: actors\.head_bytes is 500 MiB and does not fit memory\.limit 600 MiB \(as set\): with it the process needs \d+ MiB, \d+ MiB more; /,
  )
})

it('says that a packaged configuration is used, and never a secret', () => {
  const loaded = load(
    '--config=single.yaml',
    '--storage.trace.backend=s3',
    '--storage.trace.s3.bucket=spans',
    '--storage.trace.s3.endpoint=minio:9000',
    '--storage.trace.s3.prefix=one',
    '--storage.trace.s3.access-key=AKEY',
    '--storage.trace.s3.secret-key=hunter2',
    '--actors.wal-sync=flushed',
  )
  const text = [...describeSources(loaded), ...describeConfig(loaded.config)].join('\n')
  expect(text).toContain('single.yaml: the packaged configuration of that name (')
  expect(text).toContain('in the bucket spans at minio:9000, prefix one')
  expect(text).toContain('survives power loss')
  expect(text).not.toMatch(/hunter2|AKEY/)
})
