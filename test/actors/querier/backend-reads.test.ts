import { expect, it } from 'vitest'
import { backendReads } from '../../../src/actors/querier/backend-reads.js'
import { loadConfig } from '../../../src/config.js'
import { parseCommandLine } from '../../../src/config/flags.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { Metrics, MetricsPage, renderMetrics } from '../../../src/lib/metrics.js'
import { MemoryBackend } from '../../support/memory-backend.js'

const PATH = 't/6f2b8f1e-0000-4000-8000-000000000001/data.blockpack'

function made(args: readonly string[]) {
  const { config } = loadConfig({ cwd: '/', env: {}, settings: parseCommandLine(args).settings })
  const backend = new MemoryBackend()
  backend.objects.set(PATH, new Uint8Array(1000))
  const page = MetricsPage.create()
  const clock = new FakeClock()
  const reads = backendReads(backend, config, new Metrics(page), clock)
  const value = async (series: string) => {
    const text = await renderMetrics([{ actor: 'querier', sab: page }])
    return text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.split(' ')[1]
  }
  return { backend, clock, value, ...reads }
}

it('a folder is read as it is', () => {
  const { backend, reader, forget } = made([])
  expect(reader).toBe(backend)
  expect(forget).toBeUndefined()
})

it('what was read from S3 is kept, counted, and forgotten when that is said', async () => {
  const { backend, reader, forget, value } = made(S3)
  for (let i = 0; i < 3; i++) await reader.getRange(PATH, 0, 100)
  expect(backend.reads).toBe(1)
  expect(await value('tempo_actors_querier_cache_hits_total{cache="ranges"}')).toBe('2')
  expect(await value('tempo_actors_querier_cache_misses_total{cache="ranges"}')).toBe('1')
  expect(Number(await value('tempo_actors_querier_cache_bytes{cache="ranges"}'))).toBeGreaterThan(
    99,
  )
  forget!('6f2b8f1e-0000-4000-8000-000000000001')
  expect(await value('tempo_actors_querier_cache_bytes{cache="ranges"}')).toBe('0')
  await reader.getRange(PATH, 0, 100)
  expect(backend.reads).toBe(2)
})

it('a read of S3 that is late is asked for once more where that is configured, and counted', async () => {
  for (const [args, reads] of [
    [S3, 1],
    [[...S3, '--storage.trace.s3.hedge-requests-at=500ms'], 2],
  ] as const) {
    const { backend, clock, reader, value } = made(args)
    let release!: () => void
    const slow = new Promise<void>((resolve) => (release = resolve))
    backend.fault = () => slow
    const read = reader.getRange(PATH, 0, 100)
    await clock.advance(500)
    expect(backend.calls).toHaveLength(reads)
    expect(await value('tempodb_backend_hedged_roundtrips_total')).toBe(String(reads - 1))
    release()
    expect(await read).toHaveLength(100)
  }
})

const S3 = ['--storage.trace.backend=s3', '--storage.trace.s3.bucket=b']
