/** What is written from the schema: when a test here fails after a change of the schema, `npm run config:docs` writes it anew. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { settingPaths } from '../../src/config/check.js'
import { fullYaml, keyReference } from '../../src/config/reference.js'
import { schema } from '../../src/config/schema.js'
import { loadConfig } from '../../src/config.js'

const root = new URL('../../', import.meta.url)
const FULL = fileURLToPath(new URL('config/full.yaml', root))
const PAGE = fileURLToPath(new URL('docs/configuration.md', root))
const [BEGIN, END] = ['<!-- keys: written by npm run config:docs -->', '<!-- end of keys -->']

it('config/full.yaml is as the schema says', async () => {
  await expect(fullYaml()).toMatchFileSnapshot(FULL)
})

it('docs/configuration.md lists the keys as the schema has them', async () => {
  const page = readFileSync(PAGE, 'utf8')
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  expect(begin, `${BEGIN} is missing`).toBeGreaterThan(0)
  expect(end, `${END} is missing`).toBeGreaterThan(begin)
  const written = `${page.slice(0, begin)}${BEGIN}\n\n${keyReference()}\n${page.slice(end)}`
  await expect(written).toMatchFileSnapshot(PAGE)
})

it('config/full.yaml has every key, and loading it changes nothing', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'full-'))
  try {
    writeFileSync(join(cwd, 'full.yaml'), fullYaml())
    const full = loadConfig({ cwd, files: ['full.yaml'] })
    expect(full.warnings).toEqual([])
    expect(full.config).toEqual(loadConfig({ cwd }).config)
  } finally {
    rmSync(cwd, { recursive: true, force: true })
  }
  const keys = fullYaml().match(/^ *\w+:(?= \S)/gm) ?? []
  expect(keys).toHaveLength(settingPaths(schema).size)
})

it('every key says what it is for', () => {
  const lines = keyReference()
    .split('\n')
    .filter((line) => line.startsWith('- '))
  expect(lines).toHaveLength(settingPaths(schema).size)
  for (const line of lines) expect(line).toMatch(/^- `[\w.]+` \(.+; default .+\): \S.{10,}\.$/)
})
