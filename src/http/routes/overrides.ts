/** Owns the pages about limits: which tenants have their own, what holds for one, and all of it as YAML. */
import { Hono } from 'hono'
import { html } from 'hono/html'
import { LIMIT_NAMES, nestedLimits, type SomeLimits } from '../../config/limits.js'
import { WILDCARD, type LimitsView } from '../../limits/view.js'
import type { AppDependencies, Env } from '../dependencies.js'

/** As Tempo says it. */
const NO_SOURCE = 'default overrides'
const NO_USER_CONFIGURABLE = 'User-configurable overrides are not enabled'

export function overridesRoutes({ limits, clock }: AppDependencies): Hono<Env> {
  const now = () => new Date(clock.now()).toISOString()
  return new Hono<Env>()
    .get('/status/overrides', (c) => {
      const tenants = limits.tenants().map((name) => ({
        name,
        has_runtime_overrides: true,
        has_user_configurable_overrides: false,
      }))
      if (wantsJson(c.req.header('accept'))) return c.json({ now: now(), tenants })
      return c.html(tenantsPage(now(), limits.tenants()))
    })
    .get('/status/overrides/:tenant', (c) => {
      const tenant = c.req.param('tenant')
      const page = {
        now: now(),
        tenant,
        user_configurable_overrides: NO_USER_CONFIGURABLE,
        runtime_overrides: yamlOf(limits.of(tenant), ''),
        using_default_or_wildcard_runtime_overrides: limits.entry(tenant).source ?? NO_SOURCE,
      }
      if (wantsJson(c.req.header('accept'))) return c.json(page)
      return c.html(tenantPage(page))
    })
    .get('/status/runtime_config', (c) =>
      c.text(runtimeConfig(limits, c.req.query('mode') === 'diff')),
    )
}

/** The defaults and every tenant's limits; `diff`: only what tenants have other than the defaults. */
function runtimeConfig(limits: LimitsView, isDiff: boolean): string {
  const lines = isDiff ? [] : [`defaults:\n${yamlOf(limits.defaults, '  ')}`]
  const tenants = limits.tenants().map((tenant) => {
    const { own } = limits.entry(tenant)
    const names = LIMIT_NAMES.filter((name) => !isDiff || own[name] !== limits.defaults[name])
    const shown = Object.fromEntries(names.map((name) => [name, own[name]])) as SomeLimits
    return `  ${JSON.stringify(tenant)}:${yamlOf(shown, '    ').replace(/^./, '\n$&') || ' {}\n'}`
  })
  lines.push(tenants.length === 0 ? 'overrides: {}\n' : `overrides:\n${tenants.join('')}`)
  return `---\n${lines.join('')}`
}

/** Two levels of plain words and numbers: not worth a library in this thread. */
function yamlOf(limits: SomeLimits, indent: string): string {
  const lines = Object.entries(nestedLimits(limits)).flatMap(([section, keys]) => [
    `${indent}${section}:`,
    ...Object.entries(keys).map(
      ([key, value]) =>
        `${indent}  ${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ),
  ])
  return lines.map((line) => `${line}\n`).join('')
}

function wantsJson(accept: string | undefined): boolean {
  return accept?.includes('application/json') ?? false
}

function tenantsPage(now: string, tenants: readonly string[]) {
  const rows = tenants.map(
    (name) =>
      html`<tr>
        <td><a href="overrides/${encodeURIComponent(name)}">${name}</a></td>
        <td>${name === WILDCARD ? 'all tenants that are not named' : ''}</td>
      </tr> `,
  )
  return html`<!doctype html>
    <title>Overrides: tenants</title>
    <h1>Overrides: tenants</h1>
    <p>${now}</p>
    <table>
      <tr>
        <th>Tenant with limits of its own</th>
        <th></th>
      </tr>
      ${rows}
    </table>`
}

function tenantPage(page: {
  now: string
  tenant: string
  runtime_overrides: string
  using_default_or_wildcard_runtime_overrides: string
}) {
  return html`<!doctype html>
    <title>Overrides: ${page.tenant}</title>
    <h1>Overrides: ${page.tenant}</h1>
    <p>${page.now}</p>
    <p>From: ${page.using_default_or_wildcard_runtime_overrides}</p>
    <pre>${page.runtime_overrides}</pre>`
}
