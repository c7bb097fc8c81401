import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { showConfig } from '../../src/config/show.js'
import { loadConfig, parseCommandLine } from '../../src/config.js'

const config = (...args: string[]) =>
  loadConfig({ cwd: '/here', env: {}, ...parseCommandLine(args) }).config

describe('the settings as YAML', () => {
  it("are under Tempo's names, in units, with all defaults", () => {
    const shown = showConfig(config('--live-store.max-trace-idle=90s'), '')
    expect(shown).toMatch(/^---\ntarget: all\n/)
    expect(parse(shown)).toMatchObject({
      server: { http_listen_port: 3200 },
      live_store: { max_trace_idle: '1m30s', complete_block_timeout: '20m0s' },
      distributor: {
        receivers: {
          otlp: { protocols: { grpc: { endpoint: '127.0.0.1:4317' }, http: {} } },
        },
      },
    })
  })

  it('can be loaded again, and are the same then', () => {
    const before = config('--querier.max-concurrent-queries=7', '--actors.head-bytes=64MiB')
    const again = loadConfig({
      cwd: '/here',
      settings: settingsOf(parse(showConfig(before, '')) as object),
    })
    expect(again.config.settings).toEqual(before.settings)
  })

  it('show no secret', () => {
    const shown = showConfig(
      config(
        ...['--storage.trace.backend=s3', '--storage.trace.s3.bucket=b'],
        ...['--storage.trace.s3.access-key=AKEY', '--storage.trace.s3.secret-key=hunter2'],
      ),
      '',
    )
    expect(shown).toContain('secret_key: "********"')
    expect(shown).toContain('access_key: "********"')
    expect(shown).not.toMatch(/AKEY|hunter2/)
  })

  it('show dedicated columns as they were written, and auto where none were', () => {
    const columns = [{ scope: 'event', name: 'a', type: 'string' }]
    const block = { parquet_dedicated_columns: columns }
    const file = join(mkdtempSync(join(tmpdir(), 'tempo-actors-show-')), 'c.yaml')
    writeFileSync(file, JSON.stringify({ storage: { trace: { block } } }))
    const loaded = loadConfig({ cwd: '/here', env: {}, files: [file] }).config
    rmSync(dirname(file), { recursive: true })
    expect(parse(showConfig(loaded, 'diff'))).toEqual({ storage: { trace: { block } } })
    expect(parse(showConfig(loaded, ''))).toMatchObject({
      overrides: { defaults: { storage: { parquet_dedicated_columns: 'auto' } } },
    })
  })

  it('diff shows what is not as by default, and nothing else', () => {
    expect(showConfig(config(), 'diff')).toBe('---\n{}\n')
    const changed = config(
      ...['--server.http-listen-port=9', '--live-store.max-trace-idle=5000ms', '--actors.chaos'],
    )
    expect(showConfig(changed, 'diff')).toBe(
      '---\nserver:\n  http_listen_port: 9\nactors:\n  chaos: true\n',
    )
  })

  it('defaults are those of a store without a configuration', () => {
    const changed = config('--server.http-listen-port=9')
    expect(showConfig(changed, 'defaults')).toBe(showConfig(config(), ''))
  })
})

/** Each value as a flag would set it. */
function settingsOf(
  tree: object,
  path: string[] = [],
): { flag: string; path: string[]; value: string }[] {
  return Object.entries(tree).flatMap(([key, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null
      ? settingsOf(value, [...path, key])
      : [{ flag: key, path: [...path, key], value: String(value) }],
  )
}
