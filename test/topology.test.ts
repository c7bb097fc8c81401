import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ACTORS } from '../src/topology.js'

const sourceOf = (module: string) =>
  readFileSync(new URL(`../src/${module.replace(/\.js$/, '.ts')}`, import.meta.url), 'utf8')

describe('the map', () => {
  it.each(ACTORS.filter(({ module }) => sourceOf(module).includes('limitsIn(')))(
    'gives the tenants’ limits to $component, which reads them',
    ({ shared }) => expect(shared).toContain('limits'),
  )

  it.each(ACTORS)('lets $component read no limit that is the same for all tenants', (actor) => {
    expect(sourceOf(actor.module)).not.toMatch(/config\.overrides\.(?!per_tenant)/)
  })
})
