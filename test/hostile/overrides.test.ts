/** The file of the tenants' limits, put wrong in every way while a server runs: the last good limits stay, and each fault is told once. */
import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs' // prettier-ignore
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, TestServer } from '../support/server.js'

const PERIOD_MS = 1000
/** Some periods, on a machine that others use too. */
const HEEDED_MS = 30_000
const SUCCESS = 'tempo_runtime_config_last_reload_successful'

let folder: string
let path: string
let server: TestServer
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hostile-overrides-'))
  path = join(folder, 'overrides.yaml')
  good(5)
  server = await TestServer.start({
    folder,
    flags: [
      '--multitenancy_enabled=true',
      `--overrides.per_tenant_override_config=${path}`,
      `--overrides.per_tenant_override_period=${PERIOD_MS}ms`,
    ],
  })
})
afterAll(async () => {
  await server.remove()
})

const limit = (bytes: number | string) =>
  `overrides:\n  shop:\n    ingestion:\n      rate_limit_bytes: ${bytes}\n`
function good(bytes: number): void {
  rmSync(path, { recursive: true, force: true })
  writeFileSync(path, limit(bytes))
}

async function limitOf(tenant: string): Promise<number> {
  const page = await fetch(`${server.base}/status/overrides/${tenant}`, {
    headers: { accept: 'application/json' },
  })
  const { runtime_overrides: yaml } = (await page.json()) as { runtime_overrides: string }
  return Number(/rate_limit_bytes: (\d+)/.exec(yaml)![1])
}

const bomb = () =>
  `a: &a [${'x,'.repeat(9)}x]\n` +
  Array.from({ length: 30 }, (_, i) => {
    const [before, own] = [String.fromCharCode(97 + (i % 26)), `n${i}`]
    return `${own}: &${own} [${`*${i === 0 ? 'a' : `n${i - 1}`},`.repeat(9)}*${i === 0 ? before : `n${i - 1}`}]\n`
  }).join('')

const faults: readonly (readonly [what: string, make: () => void, words: RegExp])[] = [
  ['is no YAML', () => writeFileSync(path, 'overrides: [}'), /overrides\.yaml:1:\d+/],
  ['is half of one', () => writeFileSync(path, limit(7).slice(0, -9)), /overrides\.yaml/],
  ['is cut within a word', () => writeFileSync(path, 'overrides:\n  shop:\n    inges'), /overrides\.yaml:3:/],
  ['has a wrong type', () => writeFileSync(path, limit('[1]')), /overrides\.yaml:4:.*rate_limit_bytes/],
  ['has a number beyond all', () => writeFileSync(path, limit('1e999')), /overrides\.yaml:4:.*rate_limit_bytes/],
  ['has a negative limit', () => writeFileSync(path, limit('-7')), /overrides\.yaml:4:.*rate_limit_bytes/],
  ['has an unknown key', () => writeFileSync(path, 'overrides:\n  shop:\n    ingestio: 7\n'), /overrides\.yaml:3:.*ingestio/],
  ['has a section that is none', () => writeFileSync(path, 'overrides: 7\n'), /overrides must be a section of tenants/],
  ['is a list', () => writeFileSync(path, '- overrides\n'), /overrides\.yaml/],
  ['has a key twice', () => writeFileSync(path, limit(7) + '  shop: {}\n'), /overrides\.yaml/],
  ['is another language', () => writeFileSync(path, '<html><body>\x07\x1b[31m</body></html>'), /overrides\.yaml/],
  ['is binary', () => writeFileSync(path, Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0xff, 0xfe, 0])), /not UTF-8/],
  ['bursts with aliases', () => writeFileSync(path, bomb()), /overrides\.yaml/],
  ['is nested without end', () => writeFileSync(path, '['.repeat(200_000)), /overrides\.yaml/],
  ['says __proto__', () => writeFileSync(path, 'overrides:\n  shop:\n    __proto__:\n      rate_limit_bytes: 7\n'), /overrides\.yaml:3:/],
  ['has 100 MB', () => large(100_000_000), /has 100000000 bytes, at most 1048576 are read/],
  ['is a folder', () => mkdirSync(path), /is not a file/],
  ['is a pipe', () => void execFileSync('mkfifo', [path]), /is not a file/],
  ['is a device', () => symlinkSync('/dev/zero', path), /is not a file/],
  ['is a link to itself', () => symlinkSync(path, path), /cannot be read/],
  ['is gone', () => undefined, /it does not exist/],
  ...(process.getuid?.() === 0 ? [] : [['may not be read', unreadable, /permission denied/] as const]),
] // prettier-ignore

function large(size: number): void {
  const file = openSync(path, 'w')
  ftruncateSync(file, size)
  closeSync(file)
}

function unreadable(): void {
  writeFileSync(path, limit(7))
  chmodSync(path, 0)
}

const told = () => server.log.split('\n').filter((line) => line.includes('limits of tenants not read')) // prettier-ignore

describe.each(faults)('a file that %s', (_, make, words) => {
  it('changes nothing, is told once with what and where, and a good one is taken after it', async () => {
    const before = await limitOf('shop')
    const lines = told().length
    rmSync(path, { recursive: true, force: true })
    make()
    await eventually('it is counted', HEEDED_MS, async () => (await server.metric(SUCCESS)) === 0)
    await eventually('it is told', HEEDED_MS, () => told().length > lines)
    await new Promise((resolve) => setTimeout(resolve, 2 * PERIOD_MS))
    // A file that is missing for a moment on the way is a fault of its own.
    const own = told().slice(lines).filter((line) => words.test(line)) // prettier-ignore
    expect(own, told().slice(lines).join('\n')).toHaveLength(1)
    expect(own[0]!.length).toBeLessThan(5000)
    expect(server.log).not.toMatch(/\n\s+at /)
    expect(await limitOf('shop')).toBe(before)
    good(before + 1)
    await eventually('the good one is taken', HEEDED_MS, async () => {
      return (await server.metric(SUCCESS)) === 1 && (await limitOf('shop')) === before + 1
    })
  })
})

describe('a file that is replaced by rename, as tools do it', () => {
  it('is taken', async () => {
    const before = await limitOf('shop')
    writeFileSync(`${path}.new`, limit(before + 1))
    renameSync(`${path}.new`, path)
    await eventually('it is taken', HEEDED_MS, async () => (await limitOf('shop')) === before + 1)
    expect(server.crashes).toBe(0)
  })
})
