import { describe, expect, it } from 'vitest'
import { configCommand } from '../../src/cli/config.js'
import { migrateConfig } from '../../src/config/migrate.js'
import { ConfigError, loadConfig } from '../../src/config.js'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The shape of a store of Tempo 2: ingesters, compactors, flat overrides, the WAL under storage. */
const TEMPO_2 = `# our traces
auth_enabled: true
target: scalable-single-binary
distributor:
  receivers: {otlp: {protocols: {grpc: {endpoint: "0.0.0.0:4317"}}}}
ingester:
  trace_idle_period: 10s # shorter than it was
  max_block_bytes: 1_000_000
  lifecycler: {ring: {replication_factor: 1}}
ingester_client: {}
compactor:
  compaction: {block_retention: 48h, compaction_window: 1h, v2_in_buffer_bytes: 1}
  ring: {kvstore: {store: memberlist}}
storage:
  trace:
    backend: local
    block: {version: vParquet3, v2_encoding: zstd}
    wal: {path: /var/tempo/wal, v2_encoding: snappy}
    local: {path: "\${BLOCKS:-/var/tempo/blocks}"}
overrides:
  max_bytes_per_trace: 6000000
  metrics_generator_processors: [span-metrics, local-blocks]
  metrics_generator_processor_span_metrics_dimensions: [a]
`

function problemsOf(content: string): readonly string[] {
  const cwd = mkdtempSync(join(tmpdir(), 'tempo2-'))
  try {
    writeFileSync(join(cwd, 'old.yaml'), content)
    loadConfig({ cwd, files: ['old.yaml'], expandEnv: true, env: {} })
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  } finally {
    rmSync(cwd, { recursive: true, force: true })
  }
  return []
}

describe('a configuration of Tempo 2', () => {
  it('is told key by key where each went, with its line, and how to have them moved', () => {
    expect(problemsOf(TEMPO_2)).toEqual([
      'old.yaml:7:3: ingester.trace_idle_period is a key of Tempo 2: it is live_store.max_trace_idle now',
      'old.yaml:8:3: ingester.max_block_bytes is a key of Tempo 2: it is live_store.max_block_bytes now',
      'old.yaml:9:3: ingester.lifecycler is a key of Tempo 2: the live store of one process needs no ring',
      'old.yaml:10:1: ingester_client is a key of Tempo 2: there are no ingesters any more',
      'old.yaml:12:16: compactor.compaction.block_retention is a key of Tempo 2: it is backend_worker.compaction.block_retention now',
      'old.yaml:12:38: compactor.compaction.compaction_window is a key of Tempo 2: it is backend_scheduler.provider.compaction.compaction.compaction_window now',
      'old.yaml:12:61: compactor.compaction.v2_in_buffer_bytes is a key of Tempo 2: it belonged to the block format v2, which is gone',
      'old.yaml:13:3: compactor.ring is a key of Tempo 2: one process needs no ring',
      'old.yaml:17:33: storage.trace.block.v2_encoding is a key of Tempo 2: it belonged to the block format v2, which is gone',
      'old.yaml:21:3: overrides.max_bytes_per_trace is a key of Tempo 2: it is overrides.defaults.global.max_bytes_per_trace now',
      'old.yaml:22:3: overrides.metrics_generator_processors is a key of Tempo 2: it is overrides.defaults.metrics_generator.processors now',
      'old.yaml:23:3: overrides.metrics_generator_processor_span_metrics_dimensions is a key of Tempo 2: it is overrides.defaults.metrics_generator.processor.span_metrics.dimensions now',
      'the configuration is one of Tempo 2: "tempo-actors config migrate FILE" prints it with its keys moved',
      'old.yaml:3:9: target scalable-single-binary is gone since Tempo 3: use target: all',
      'old.yaml:17:22: storage.trace.block.version vParquet3 is not written: use vParquet4, vParquet5 or blockpack1',
    ])
  })

  it('is migrated to one that starts, with its comments, and every change is told', () => {
    const { text, notes, problems } = migrateConfig('old.yaml', TEMPO_2)
    expect(problems).toEqual([])
    expect(problemsOf(text)).toEqual([])
    expect(text).toBe(`# our traces
multitenancy_enabled: true
distributor:
  receivers: {otlp: {protocols: {grpc: {endpoint: "0.0.0.0:4317"}}}}
storage:
  trace:
    backend: local
    wal: {path: /var/tempo/wal}
    local: {path: "\${BLOCKS:-/var/tempo/blocks}"}
overrides:
  defaults:
    global:
      max_bytes_per_trace: 6000000
    metrics_generator:
      processors: [span-metrics]
      processor:
        span_metrics:
          dimensions: [a]
live_store:
  max_trace_idle: 10s # shorter than it was
  max_block_bytes: 1_000_000
  wal:
    path: /var/tempo/live-store
backend_worker:
  compaction:
    block_retention: 48h
backend_scheduler:
  provider:
    compaction:
      compaction:
        compaction_window: 1h
server:
  http_listen_address: 0.0.0.0
`)
    expect(notes).toEqual([
      'old.yaml:2:1: auth_enabled moved: it is multitenancy_enabled now',
      'old.yaml:7:3: ingester.trace_idle_period moved: it is live_store.max_trace_idle now',
      'old.yaml:8:3: ingester.max_block_bytes moved: it is live_store.max_block_bytes now',
      'old.yaml:9:3: removed ingester.lifecycler: the live store of one process needs no ring',
      'old.yaml:10:1: removed ingester_client: there are no ingesters any more',
      'old.yaml:12:16: compactor.compaction.block_retention moved: it is backend_worker.compaction.block_retention now',
      'old.yaml:12:38: compactor.compaction.compaction_window moved: it is backend_scheduler.provider.compaction.compaction.compaction_window now',
      'old.yaml:12:61: removed compactor.compaction.v2_in_buffer_bytes: it belonged to the block format v2, which is gone',
      'old.yaml:13:3: removed compactor.ring: one process needs no ring',
      'old.yaml:17:33: removed storage.trace.block.v2_encoding: it belonged to the block format v2, which is gone',
      'old.yaml:18:33: removed storage.trace.wal.v2_encoding: it belonged to the block format v2, which is gone',
      'old.yaml:21:3: overrides.max_bytes_per_trace moved: it is overrides.defaults.global.max_bytes_per_trace now',
      'old.yaml:22:3: overrides.metrics_generator_processors moved: it is overrides.defaults.metrics_generator.processors now',
      'old.yaml:23:3: overrides.metrics_generator_processor_span_metrics_dimensions moved: it is overrides.defaults.metrics_generator.processor.span_metrics.dimensions now',
      'old.yaml: removed target: scalable-single-binary does not run alone here; the default is all',
      'old.yaml: removed storage.trace.block.version: new blocks are blockpack1; tempo-actors does not write vParquet3',
      'old.yaml: removed local-blocks from overrides.defaults.metrics_generator.processors: the live store has them',
      'old.yaml: live_store.wal.path is beside storage.trace.wal.path: the write-ahead log of tempo-actors is another one',
      "old.yaml: server.http_listen_address is 0.0.0.0, Tempo's default: tempo-actors alone would listen on 127.0.0.1",
      ...[
        '8:5: storage.trace.wal is a key of Tempo that tempo-actors does not read: the write-ahead log is in live_store.wal.path',
        '14:5: overrides.defaults.metrics_generator is a key of Tempo that tempo-actors does not read; it is ignored',
      ].map((warning) => `old.yaml (migrated):${warning}`),
    ])
  })

  it('keeps what is set at the new place already', () => {
    const { text, notes } = migrateConfig(
      'a',
      'ingester: {max_block_bytes: 1}\nlive_store: {max_block_bytes: 2000000}\nserver: {http_listen_address: ""}\n',
    )
    expect(text).toBe('live_store: {max_block_bytes: 2000000}\nserver: {http_listen_address: ""}\n')
    expect(notes).toEqual([
      'a:1:12: removed ingester.max_block_bytes: live_store.max_block_bytes is set as well, and holds',
    ])
  })

  it('that cannot be wholly migrated is printed all the same, and what is left is told', () => {
    const { problems } = migrateConfig('a', 'storage: {trace: {backend: gcs}}\nserverr: 1\n')
    expect(problems).toEqual([
      'a (migrated):2:1: unknown key serverr: did you mean server?',
      'a (migrated):1:28: storage.trace.backend gcs is not supported: use s3 with its S3-compatible endpoint, or local',
    ])
  })

  it('is no longer one after the migration: a second one changes nothing', () => {
    const once = migrateConfig('a', TEMPO_2).text
    const twice = migrateConfig('a', once)
    expect(twice.text).toBe(once)
    expect(twice.notes.filter((note) => / moved|removed/.test(note))).toEqual([])
  })
})

describe('tempo-actors config', () => {
  async function run(...args: string[]) {
    let [out, err] = ['', '']
    const code = await configCommand(args, {
      out: (text) => void (out += text),
      err: (text) => void (err += text),
    })
    return { code, out, err }
  }

  it('migrate prints YAML to stdout, notes to stderr, and says with its code whether it would start', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tempo2-'))
    try {
      const file = join(folder, 'old.yaml')
      writeFileSync(file, 'ingester: {max_block_bytes: 1_000_000}\n')
      const { code, out, err } = await run('migrate', file)
      expect(code).toBe(0)
      expect(out).toContain('live_store:\n  max_block_bytes: 1_000_000\n')
      expect(err).toContain(
        `note: ${file}:1:12: ingester.max_block_bytes moved: it is live_store.max_block_bytes now\n`,
      )
      writeFileSync(file, 'storage: {trace: {backend: gcs}}\n')
      expect(await run('migrate', file)).toMatchObject({ code: 1 })
      writeFileSync(file, 'a: [\n')
      const broken = await run('migrate', file)
      expect(broken).toMatchObject({ code: 1, out: '' })
      expect(broken.err).toMatch(/^tempo-actors: .*old\.yaml:2:1: not valid YAML: /)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('says what it can do when it is misused', async () => {
    expect(await run('migrate', '/none.yaml')).toEqual({
      code: 1,
      out: '',
      err: 'tempo-actors: /none.yaml cannot be read: it does not exist\n',
    })
    const { code, err } = await run('migrat')
    expect(code).toBe(1)
    expect(err).toMatch(/^tempo-actors: config migrat is not understood\nUsage:/)
    expect((await run('--help')).out).toContain('config migrate FILE')
  })

  it('full prints every key', async () => {
    const { code, out } = await run('full')
    expect(code).toBe(0)
    expect(out).toContain('\n  http_listen_port: 3200\n')
  })
})
