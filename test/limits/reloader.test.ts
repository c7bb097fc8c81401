import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeClock } from '../../src/lib/fake-clock.js'
import type { Log } from '../../src/lib/log.js'
import { LimitsPage } from '../../src/limits/page.js'
import { FILE_BYTES_MAX, OverridesReloader } from '../../src/limits/reloader.js'
import { LimitsView } from '../../src/limits/view.js'
import { noLimits } from './no-limits.js'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'limits-'))
  path = join(folder, 'overrides.yaml')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const rate = (bytes: number | string) =>
  `overrides:\n  a:\n    ingestion:\n      rate_limit_bytes: ${bytes}\n`

async function reloading(options: { expandEnv?: boolean; path?: string } = {}) {
  const lines: string[] = []
  const note =
    (level: string) =>
    (text: string, fields?: object): void =>
      void lines.push(`${level} ${text} ${JSON.stringify(fields ?? {})}`)
  const log = {
    ...{ debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
  } as unknown as Log
  const clock = new FakeClock()
  const page = new LimitsPage(LimitsPage.create())
  const reloader = new OverridesReloader({
    path: options.path ?? path,
    period_ms: 10_000,
    expandEnv: options.expandEnv ?? false,
    clock,
  })
  const warnings = await reloader.load()
  reloader.start(page, log)
  const view = new LimitsView(noLimits().defaults, page)
  return { reloader, view, page, clock, lines, warnings }
}

describe('the file of the tenants’ limits', () => {
  it('is published before anybody asks, and read again every period', async () => {
    writeFileSync(path, rate(5))
    const { reloader, view, clock } = await reloading()
    expect(view.of('a').rate_limit_bytes).toBe(5)
    expect(view.loaded).toBe('good')
    writeFileSync(path, rate('6KB'))
    await clock.advance(9_999)
    expect(view.of('a').rate_limit_bytes).toBe(5)
    const sequence = view.sequence
    await clock.advance(1)
    await until(() => view.sequence > sequence)
    expect(view.of('a').rate_limit_bytes).toBe(6000)
    await reloader.stop()
    expect(clock.sleeping).toBe(0)
  })

  it('keeps the last good limits while it is bad, says so once, and comes back', async () => {
    writeFileSync(path, rate(5))
    const { reloader, view, lines } = await reloading()
    writeFileSync(path, rate('many'))
    for (let i = 0; i < 3; i++) await reloader.reload()
    expect(view.of('a').rate_limit_bytes).toBe(5)
    expect(view.loaded).toBe('bad')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^error .*overrides\.yaml:4:25: overrides\.a\.ingestion\.rate_limit_/)
    rmSync(path)
    await reloader.reload()
    expect(lines.at(-1)).toMatch(/it does not exist/)
    writeFileSync(path, rate(5))
    await reloader.reload()
    expect(view.loaded).toBe('good')
    expect(lines.at(-1)).toMatch(/^info .*good again/)
    writeFileSync(path, rate(7))
    await reloader.reload()
    expect(view.of('a').rate_limit_bytes).toBe(7)
    await reloader.stop()
  })

  it('is published anew only when its text changes', async () => {
    writeFileSync(path, rate(5))
    const { reloader, view } = await reloading()
    await reloader.reload()
    await reloader.reload()
    expect(view.sequence).toBe(1)
    await reloader.stop()
  })

  it.each([
    ['is not there', () => undefined, /cannot be read: it does not exist/],
    ['is a folder', () => mkdirSync(path), /is not a file/],
    ['is too large', () => writeFileSync(path, '#'.repeat(FILE_BYTES_MAX + 1)), /1048577 bytes/],
    ['is no YAML', () => writeFileSync(path, 'overrides: [}'), /not valid YAML/],
    ['has another key', () => writeFileSync(path, 'tenants: {}'), /unknown key tenants/],
  ])('stops the start when it %s', async (_, make, words) => {
    make()
    await expect(reloading()).rejects.toThrow(words)
    await expect(reloading()).rejects.toMatchObject({ code: 'CONFIG' })
  })

  it('tells that it may not be read', async (context) => {
    writeFileSync(path, rate(5))
    chmodSync(path, 0)
    // Root may read everything.
    if (process.getuid?.() === 0) return context.skip()
    await expect(reloading()).rejects.toThrow(/permission denied/)
  })

  it('has its variables expanded when the configuration has', async () => {
    process.env.LIMITS_TEST_RATE = '77'
    writeFileSync(path, rate('${LIMITS_TEST_RATE}'))
    const { reloader, view } = await reloading({ expandEnv: true })
    delete process.env.LIMITS_TEST_RATE
    expect(view.of('a').rate_limit_bytes).toBe(77)
    await reloader.stop()
    await expect(reloading()).rejects.toThrow(/expand-env/)
  })

  it('may be none: the defaults hold, and nothing is read', async () => {
    const { reloader, view, clock } = await reloading({ path: '' })
    expect(view.loaded).toBe('none')
    expect(clock.sleeping).toBe(0)
    await reloader.stop()
  })
})

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}
