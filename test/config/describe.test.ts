import { expect, it } from 'vitest'
import { describeConfig, describeSources, loadConfig, parseCommandLine } from '../../src/config.js'

const load = (...args: string[]) => loadConfig({ cwd: '/here', ...parseCommandLine(args) })

it('says what listens where, where data lives and how memory is divided', () => {
  const loaded = load()
  expect([...describeSources(loaded), ...describeConfig(loaded.config)]).toEqual([
    'config    built-in defaults (no --config was given)',
    'listen    OTLP gRPC   127.0.0.1:4317',
    'listen    OTLP HTTP   127.0.0.1:4318',
    'listen    Tempo API   127.0.0.1:3200',
    'data      WAL and local blocks in /here/tempo-data/live-store; an acknowledged span survives kill -9',
    'data      blockpack1 blocks in /here/tempo-data/blocks',
    'memory    shared 132 MiB: live heads 100 MiB; rings of 2 partitions: 16 MiB (ingress), 16 MiB (traces)',
  ])
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
