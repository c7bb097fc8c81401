import { describe, expect, it } from 'vitest'
import { helpText, loadConfig, parseCommandLine } from '../../src/config.js'

describe('parseCommandLine', () => {
  it("takes Tempo's spelling and the usual one", () => {
    for (const args of [
      ['-config.file=a.yaml'],
      ['-config.file', 'a.yaml'],
      ['--config=a.yaml'],
      ['--config', 'a.yaml'],
    ]) {
      expect(parseCommandLine(args)).toMatchObject({ action: 'run', files: ['a.yaml'] })
    }
    const line = parseCommandLine(['--config', 'a', '--config=b', '-config.expand-env'])
    expect(line).toMatchObject({ files: ['a', 'b'], expandEnv: true })
    expect(parseCommandLine(['--config.expand-env=false']).expandEnv).toBe(false)
  })

  it('knows what to do instead of running', () => {
    expect(parseCommandLine([]).action).toBe('run')
    expect(parseCommandLine(['--config.verify']).action).toBe('verify')
    expect(parseCommandLine(['-version', '-config.verify=true']).action).toBe('version')
    expect(parseCommandLine(['-h', '--version']).action).toBe('help')
  })

  it('makes a flag of every setting, and they win over the files', () => {
    const { settings } = parseCommandLine([
      '-server.http-listen-port=9',
      '--storage.trace.local.path',
      '/blocks',
      '--actors.wal_sync=flushed',
      '--log.level=debug',
      '--multitenancy.enabled',
      '--server.http-listen-address=',
      '--actors.chaos=false',
    ])
    const { config } = loadConfig({ files: ['single.yaml'], settings })
    expect(config.server).toEqual({
      http_listen_address: '',
      http_listen_port: 9,
      log_level: 'debug',
      log_format: 'auto',
    })
    expect(config.storage.local_path).toBe('/blocks')
    expect(config.actors).toMatchObject({ wal_sync: 'flushed', chaos: false })
    expect(config.multitenancy_enabled).toBe(true)
  })

  it('names the flag when its value is wrong', () => {
    const { settings } = parseCommandLine(['--server.http-listen-port=web'])
    expect(() => loadConfig({ settings })).toThrow(
      '--server.http-listen-port: server.http_listen_port must be a whole number from 0 to 65535, not "web"',
    )
  })

  it('refuses in one sentence what it does not know', () => {
    const refused: [string[], string][] = [
      [['--confg', 'x'], 'unknown flag --confg: did you mean --config?'],
      [['--server.http-listen-prot=1'], 'did you mean --server.http-listen-port?'],
      [['--nothing-like-it-at-all'], 'unknown flag --nothing-like-it-at-all: see --help'],
      [['single.yaml'], 'unexpected argument "single.yaml": flags begin with --, see --help'],
      [['--config'], '--config needs a value: --config=VALUE'],
      [['--config='], '--config needs a file: --config=FILE'],
      [['--server.log-level'], '--server.log-level needs a value'],
      [['--version=yes'], '--version must be true or false, not "yes"'],
    ]
    for (const [args, text] of refused) expect(() => parseCommandLine(args)).toThrow(text)
  })

  it('explains every setting with its default', () => {
    const text = helpText()
    expect(text).toContain('--config FILE')
    expect(text).toMatch(/--live-store\.max-trace-idle +A trace .* \[duration; default "5s"\]/)
  })
})

describe("Tempo's flags", () => {
  it('that mean a key of ours under another name set it', () => {
    const { settings, warnings } = parseCommandLine([
      '-auth.enabled=true',
      '-distributor.ingestion-rate-limit-bytes=5000000',
      '-ingester.max-bytes-per-trace=7000000',
      '-live-store.complete-block-timeout=9m',
      '-storage.trace.backend=local',
      '-target=all',
    ])
    const { config } = loadConfig({ cwd: '/here', settings })
    expect(config.multitenancy_enabled).toBe(true)
    expect(config.overrides).toMatchObject({
      rate_limit_bytes: 5_000_000,
      max_bytes_per_trace: 7_000_000,
    })
    expect(config.live_store.complete_block_timeout_ms).toBe(540_000)
    expect(warnings).toEqual([])
  })

  it('that we do not read are warned of once, by name, with their values skipped', () => {
    const line = parseCommandLine([
      '-server.grpc-listen-port=9095',
      '-memberlist.host-port',
      'a:7946',
      '-memberlist.host-port=b:7946',
      '-storage.trace.wal.path=/x',
      '-live-store.shutdown_marker_dir=/y',
      '-reporting.enabled=false',
      '-mutex-profile-fraction=5',
      '-enable-go-runtime-metrics',
      '-log.level=debug',
    ])
    expect(line.warnings).toEqual(
      [
        '-server.grpc-listen-port',
        '-memberlist.host-port',
        '-storage.trace.wal.path',
        '-live-store.shutdown_marker_dir',
        '-reporting.enabled',
        '-mutex-profile-fraction',
        '-enable-go-runtime-metrics',
      ].map((flag) => `${flag} is a flag of Tempo that tempo-actors does not read; it is ignored`),
    )
    expect(line.settings).toMatchObject([{ path: ['server', 'log_level'], value: 'debug' }])
  })

  it('that are misspelt fail all the same', () => {
    expect(() => parseCommandLine(['-server.grpc-listen-prot=1'])).toThrow('unknown flag')
  })

  it("are read as Go reads them, and -health is Tempo's health check", () => {
    expect(parseCommandLine(['-config.expand-env=1']).expandEnv).toBe(true)
    expect(parseCommandLine(['-config.expand-env=T', '-config.verify=0'])).toMatchObject({
      action: 'run',
      expandEnv: true,
    })
    expect(parseCommandLine(['-health'])).toMatchObject({
      action: 'health',
      healthUrl: 'http://localhost:3200/ready',
    })
    expect(parseCommandLine(['-health', '-health.url', 'http://h/ready']).healthUrl).toBe(
      'http://h/ready',
    )
  })
})
