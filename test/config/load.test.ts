import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigError, loadConfig, type LoadedConfig, type LoadOptions } from '../../src/config.js'

let cwd: string
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'config-'))
})
afterEach(() => {
  rmSync(cwd, { recursive: true, force: true })
})

/** Loads one file "t.yaml" with this content. */
function load(content: string, options: LoadOptions = {}): LoadedConfig {
  writeFileSync(join(cwd, 't.yaml'), content)
  return loadConfig({ cwd, files: ['t.yaml'], env: {}, ...options })
}

/** The problems of a configuration that is refused. */
function problems(content: string, options: LoadOptions = {}): readonly string[] {
  try {
    load(content, options)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('it was accepted')
}

describe('the built-in defaults', () => {
  it('keep data below the working directory and listen on this machine only', () => {
    const { config, files, warnings } = loadConfig({ cwd })
    expect(config.live_store.wal_path).toBe(join(cwd, 'tempo-data/live-store'))
    expect(config.storage.local_path).toBe(join(cwd, 'tempo-data/blocks'))
    expect(config.server).toMatchObject({
      http_listen_address: '127.0.0.1',
      http_listen_port: 3200,
    })
    expect(config.distributor.receivers.otlp).toEqual({
      grpc: { endpoint: '127.0.0.1:4317' },
      http: { endpoint: '127.0.0.1:4318' },
    })
    expect(files).toEqual([])
    expect(warnings).toEqual([])
  })

  it("are Tempo's, but for the newest spans being searchable", () => {
    const { config } = loadConfig({ cwd })
    expect(config.query_frontend).toMatchObject({
      default_result_limit: 20,
      max_result_limit: 262_144,
      max_search_duration_ms: 168 * 3_600_000,
      query_end_cutoff_ms: 0,
    })
    expect(config.live_store).toMatchObject({
      max_trace_idle_ms: 5_000,
      max_block_bytes: 32 * 2 ** 20,
      complete_block_timeout_ms: 1_200_000,
    })
    expect(config.distributor.max_recv_msg_size_bytes).toBe(16 * 2 ** 20)
    expect(config.actors.bus).toEqual({
      partitions: 1,
      ring_bytes: 4 * 2 ** 20,
      ingress_bytes: 4 * 2 ** 20,
    })
  })

  it('cannot be changed by who is given them', () => {
    const { config } = loadConfig({ cwd })
    expect(() => (config.actors.bus.partitions = 3)).toThrow(TypeError)
    expect(Object.isFrozen(config.storage.s3)).toBe(true)
  })

  it('hold for an empty file, and for keys without a value', () => {
    const byDefault = loadConfig({ cwd }).config
    expect(load('').config).toEqual(byDefault)
    expect(load('# nothing\n').config).toEqual(byDefault)
    expect(load('server:\nlive_store:\n  max_trace_idle:\n').config).toEqual(byDefault)
  })
})

describe('values', () => {
  it("are read in Tempo's forms", () => {
    const { config } = load(`
live_store:
  wal: {path: data/wal}
  max_trace_idle: 1h30m
  max_block_bytes: 20971520
  flush_check_period: 250ms
actors: {head_bytes: 64MiB, wal_sync: flushed}
storage: {trace: {backend: s3, s3: {bucket: b, access_key: 0123, secret_key: "007", hedge_requests_at: 500ms, hedge_requests_up_to: 3}}}
`)
    expect(config.live_store).toMatchObject({
      wal_path: join(cwd, 'data/wal'),
      max_trace_idle_ms: 5_400_000,
      max_block_bytes: 20_971_520,
      flush_check_period_ms: 250,
    })
    expect(config.actors).toMatchObject({ head_bytes: 64 * 2 ** 20, wal_sync: 'flushed' })
    expect(config.storage.s3).toMatchObject({ access_key: '0123', secret_key: '007' })
    expect(config.storage.s3).toMatchObject({ hedge_requests_at_ms: 500, hedge_requests_up_to: 3 })
  })

  it('are read as Go reads YAML: digits in groups, and yes and on for true', () => {
    const { config } = load(
      'live_store: {max_block_bytes: 1_000_000}\nquerier: {max_concurrent_queries: 1_0}\nauth_enabled: yes',
    )
    expect(config.live_store.max_block_bytes).toBe(1_000_000)
    expect(config.querier.max_concurrent_queries).toBe(10)
    expect(config.multitenancy_enabled).toBe(true)
  })

  it('come through anchors and merge keys, where what is written here wins', () => {
    const { config } = load(`
live_store: {max_trace_idle: 7s, max_block_duration: 8s}
memberlist: &restarts {intensity: 7, period: 30s}
actors: {supervisor: {<<: *restarts, period: 20s}}
`)
    expect(config.live_store.max_trace_idle_ms).toBe(7_000)
    expect(config.actors.supervisor).toMatchObject({ intensity: 7, period_ms: 20_000 })
  })

  const refused: [content: string, text: string][] = [
    [
      'live_store: {max_trace_idle: 5}',
      '1:30: live_store.max_trace_idle needs a unit: write 5s or 5ms',
    ],
    ['live_store: {max_trace_idle: soon}', 'must be a duration such as 30s or 1h30m, not "soon"'],
    [
      'live_store: {max_block_duration: 1ms}',
      'live_store.max_block_duration must be at least 1s, not 1ms',
    ],
    ['live_store: {max_block_bytes: 1KiB}', 'must be at least 64KiB, not "1KiB"'],
    ['live_store: {max_block_bytes: big}', 'must be a size such as 50MiB or 1000000, not "big"'],
    [
      'actors: {bus: {ring_bytes: 3MiB}}',
      'must be a power of two such as 4MiB or 8MiB, not "3MiB"',
    ],
    ['actors: {bus: {partitions: 2.5}}', 'must be a whole number from 1 to 64, not 2.5'],
    ['actors: {bus: {partitions: "2"}}', 'must be a whole number from 1 to 64, not "2"'],
    ['actors: {chaos: maybe}', 'actors.chaos must be true or false, not "maybe"'],
    ['actors: {wal_sync: never}', 'actors.wal_sync must be committed or flushed, not "never"'],
    ['target: querier', 'is a part of Tempo that tempo-actors does not run alone: use target: all'],
    ['storage: {trace: {backend: gcs}}', 'gcs is not supported: use s3'],
    ['storage: {trace: {block: {version: vParquet3}}}', 'vParquet3 is not written: use vParquet4'],
    ['server: 5', '1:9: server must be a section of keys (http_listen_address'],
    ['server: {http_listen_port: [1]}', 'server.http_listen_port must be one value, not a list'],
    [
      'server: {http_listen_port: {a: 1}}',
      'server.http_listen_port must be one value, not a section',
    ],
    [
      'distributor: {receivers: {otlp: {protocols: {grpc: {endpoint: "4317"}}}}}',
      'must be host:port, such as 0.0.0.0:4317, not "4317"',
    ],
  ]
  it.each(refused)('are refused in words: %s', (content, text) => {
    const found = problems(content)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(/^t\.yaml:1:\d+: /)
    expect(found[0]).toContain(text)
  })

  it('are all told at once, each with its line', () => {
    const found = problems(
      'server:\n  http_listen_port: x\n  log_level: loud\nactors:\n  chaos: 1\n',
    )
    expect(found.map((text) => text.split(' ')[0])).toEqual([
      't.yaml:2:21:',
      't.yaml:3:14:',
      't.yaml:5:10:',
    ])
  })
})

describe('keys', () => {
  const unknown: [content: string, text: string][] = [
    ['sevrer: {}', 't.yaml:1:1: unknown key sevrer: did you mean server?'],
    [
      'server:\n  http_listen_prot: 1',
      't.yaml:2:3: unknown key server.http_listen_prot: did you mean http_listen_port?',
    ],
    ['live_store: {max_trace_iddle: 1s}', 'did you mean max_trace_idle?'],
    ['http_listen_port: 1', 'unknown key http_listen_port: it belongs in server.http_listen_port'],
    ['somethingelse: 1', 't.yaml:1:1: unknown key somethingelse'],
    ['__proto__: {a: 1}', 't.yaml:1:1: unknown key __proto__'],
    ['constructor: {a: 1}', 't.yaml:1:1: unknown key constructor'],
    ['server: {toString: 1}', 'unknown key server.toString'],
  ]
  it.each(unknown)(
    'that are misspelt fail with the place and the nearest one: %s',
    (content, text) => {
      const found = problems(content)
      expect(found).toHaveLength(1)
      expect(found[0]).toContain(text)
      expect(({} as { a?: number }).a).toBeUndefined()
    },
  )

  it('of Tempo that we do not read warn once each, whatever is below, and the rest is read', () => {
    const { config, warnings } = load(`
server: {http_listen_port: 3300, grpc_listen_port: 9096}
memberlist: {join_members: [a, b], whatever: {x: 1}}
storage: {trace: {pool: {max_workers: 5}, wal: {path: /x}}}
overrides: {defaults: {metrics_generator: {processors: [span-metrics]}}}
`)
    expect(config.server.http_listen_port).toBe(3300)
    expect(warnings).toEqual([
      't.yaml:2:34: server.grpc_listen_port is a key of Tempo that tempo-actors does not read: there is no gRPC besides OTLP yet',
      't.yaml:3:1: memberlist is a key of Tempo that tempo-actors does not read: one process needs no ring',
      't.yaml:4:19: storage.trace.pool is a key of Tempo that tempo-actors does not read; it is ignored',
      't.yaml:4:43: storage.trace.wal is a key of Tempo that tempo-actors does not read: the write-ahead log is in live_store.wal.path',
      't.yaml:5:24: overrides.defaults.metrics_generator is a key of Tempo that tempo-actors does not read; it is ignored',
    ])
  })

  it('given twice are no valid YAML, as is a broken file', () => {
    expect(problems('target: all\ntarget: all')[0]).toMatch(/^t\.yaml:2:1: not valid YAML: /)
    expect(problems('server: {')[0]).toMatch(/^t\.yaml:1:\d+: not valid YAML: /)
    expect(problems('- a')[0]).toBe('t.yaml:1:1: must be a section of keys')
  })

  it('that multiply through anchors are refused instead of filling the memory', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for (let i = 1; i < 12; i++) {
      lines.push(`a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]`)
    }
    expect(problems(lines.join('\n'))[0]).toContain('too large')
  })
})

describe('receivers', () => {
  const receivers = (yaml: string) =>
    load(`distributor:\n  receivers:${yaml}`).config.distributor.receivers.otlp

  it('that are not mentioned are both there, and only the mentioned ones otherwise', () => {
    expect(Object.keys(receivers(' {}'))).toEqual(['grpc', 'http'])
    expect(receivers(' {otlp: {protocols: {grpc: }}}')).toEqual({
      grpc: { endpoint: '127.0.0.1:4317' },
    })
    expect(receivers(' {otlp: {protocols: {http: {endpoint: "0.0.0.0:1"}}}}')).toEqual({
      http: { endpoint: '0.0.0.0:1' },
    })
  })

  it('that we do not have are no reason to receive nothing in silence', () => {
    const found = problems('distributor: {receivers: {zipkin: }}')
    expect(found[0]).toContain('has no otlp.protocols.grpc or http: nothing would be received')
  })
})

describe('contradictions', () => {
  const refused: [content: string, text: string][] = [
    ['storage: {trace: {backend: s3}}', 'storage.trace.s3.bucket is needed for backend: s3'],
    [
      'storage: {trace: {backend: s3, s3: {bucket: b, access_key: a}}}',
      'storage.trace.s3.secret_key is needed with access_key',
    ],
    [
      'live_store: {wal: {path: ./tempo-data/blocks/wal}}',
      'must not be in storage.trace.local.path',
    ],
    [
      'storage: {trace: {local: {path: ./tempo-data/live-store}}}',
      'must not be in storage.trace.local.path',
    ],
    ['server: {http_listen_port: 4317}', 'has the port of server.http_listen_port: 127.0.0.1:4317'],
    [
      'server: {http_listen_port: 4318, http_listen_address: ""}',
      'has the port of server.http_listen_port',
    ],
    ['actors: {supervisor: {backoff_min: 1m}}', 'must not be longer than backoff_max'],
  ]
  it.each(refused)('are refused: %s', (content, text) => {
    expect(problems(content).join()).toContain(text)
  })

  it('are none when two listeners share a port on different addresses', () => {
    expect(load('server: {http_listen_port: 4317, http_listen_address: 127.0.0.2}')).toBeDefined()
  })

  it('that only hurt are warned of', () => {
    const { warnings } = load('live_store: {complete_block_timeout: 1m}\nactors: {chaos: true}')
    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toMatch(/^t\.yaml:1:38: live_store\.complete_block_timeout is shorter/)
  })
})

describe('files', () => {
  const write = (name: string, content: string) => writeFileSync(join(cwd, name), content)

  it('are merged left to right, and null takes a key away', () => {
    write(
      'a.yaml',
      'server: {http_listen_port: 1, log_level: warn}\nactors: {bus: {partitions: 4}}',
    )
    write('b.yaml', 'server: {http_listen_port: 2, log_level: null}\nactors: {bus: null}')
    const { config } = loadConfig({ cwd, files: ['a.yaml', 'b.yaml'] })
    expect(config.server).toMatchObject({ http_listen_port: 2, log_level: 'info' })
    expect(config.actors.bus.partitions).toBe(1)
    const back = loadConfig({ cwd, files: ['b.yaml', 'a.yaml'] }).config
    expect(back.server).toMatchObject({ http_listen_port: 1, log_level: 'warn' })
  })

  it('switch a receiver off with null', () => {
    write('a.yaml', 'distributor: {receivers: {otlp: {protocols: {grpc: {}, http: {}}}}}')
    write('b.yaml', 'distributor: {receivers: {otlp: {protocols: {http: null}}}}')
    const { config } = loadConfig({ cwd, files: ['a.yaml', 'b.yaml'] })
    expect(Object.keys(config.distributor.receivers.otlp)).toEqual(['grpc'])
  })

  it('name the file of the wrong value when several are merged', () => {
    write('a.yaml', 'server:\n  http_listen_port: 1')
    write('b.yaml', 'server:\n  log_level: loud')
    expect(() => loadConfig({ cwd, files: ['a.yaml', 'b.yaml'] })).toThrow(/^b\.yaml:2:14: /)
  })

  it('with a bare name that is not here are those of the package, and the result says so', () => {
    const packaged = loadConfig({ cwd, files: ['single.yaml'] })
    expect(packaged.files).toMatchObject([{ name: 'single.yaml', isPackaged: true }])
    expect(packaged.warnings).toEqual([])
    write('single.yaml', 'server: {http_listen_port: 99}')
    const own = loadConfig({ cwd, files: ['single.yaml'] })
    expect(own.files[0]?.isPackaged).toBe(false)
    expect(own.config.server.http_listen_port).toBe(99)
  })

  it('that are not there are said with their full path; a path is never a packaged name', () => {
    expect(() => loadConfig({ cwd, files: ['none.yaml'] })).toThrow(
      `the configuration file none.yaml does not exist (${join(cwd, 'none.yaml')}), and no configuration of the package has that name`,
    )
    expect(() => loadConfig({ cwd, files: ['./x/single.yaml'] })).toThrow('does not exist')
    mkdirSync(join(cwd, 'folder'))
    expect(() => loadConfig({ cwd, files: ['folder'] })).toThrow('cannot be read: it is a folder')
  })

  it('of the package are valid, and single.yaml says what the defaults are', () => {
    const byDefault = loadConfig({ cwd }).config
    expect(loadConfig({ cwd, files: ['single.yaml'] }).config).toEqual(byDefault)
    const minio = loadConfig({ cwd, files: ['single-minio.yaml'], expandEnv: true, env: {} })
    expect(minio.config.storage).toMatchObject({
      backend: 's3',
      s3: { bucket: 'tempo', endpoint: '127.0.0.1:9000', insecure: true, prefix: '' },
    })
    expect(minio.warnings).toEqual([])
  })

  it('with references to the environment are refused when those are not expanded', () => {
    expect(problems('storage: {trace: {local: {path: "${DATA:-x}"}}}')).toEqual([
      't.yaml:1:33: storage.trace.local.path is ${DATA:-x}: start with --config.expand-env to have it replaced',
    ])
  })
})

describe("Tempo's single-binary example", () => {
  it('of that shape starts unchanged', () => {
    const { config, warnings } = load(`
stream_over_http_enabled: true
server: {http_listen_port: 3200, log_level: info}
distributor:
  receivers: {otlp: {protocols: {grpc: {endpoint: "tempo:4317"}, http: {endpoint: "tempo:4318"}}}}
metrics_generator: {registry: {external_labels: {source: tempo}}, storage: {path: /var/tempo/generator/wal}}
query_frontend: {mcp_server: {enabled: true}}
storage: {trace: {backend: local, wal: {path: /var/tempo/wal}, local: {path: /var/tempo/blocks}}}
overrides: {defaults: {metrics_generator: {processors: [span-metrics]}}}
usage_report: {reporting_enabled: false}
`)
    expect(config.distributor.receivers.otlp.grpc?.endpoint).toBe('tempo:4317')
    expect(config.storage.local_path).toBe('/var/tempo/blocks')
    const read = 'tempo-actors does not read'
    expect(warnings).toEqual([
      `t.yaml:2:1: stream_over_http_enabled is a key of Tempo that ${read}: search is not streamed yet`,
      `t.yaml:6:1: metrics_generator is a key of Tempo that ${read}: no metrics are generated from spans yet`,
      `t.yaml:7:18: query_frontend.mcp_server is a key of Tempo that ${read}; it is ignored`,
      `t.yaml:8:35: storage.trace.wal is a key of Tempo that ${read}: the write-ahead log is in live_store.wal.path`,
      `t.yaml:9:24: overrides.defaults.metrics_generator is a key of Tempo that ${read}; it is ignored`,
      `t.yaml:10:1: usage_report is a key of Tempo that ${read}: nothing is ever reported`,
      't.yaml:5:51: distributor.receivers.otlp.protocols.grpc.endpoint is tempo:4317, while server.http_listen_address is 127.0.0.1 by default: set that to 0.0.0.0 for Grafana on another machine or in another container',
    ])
  })
})
