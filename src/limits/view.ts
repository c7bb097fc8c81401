/** Owns which limits hold for a tenant now: its own where the file has them, else those of `*`, else the defaults. */
import {
  LIMIT_KEYS,
  LIMIT_NAMES,
  type LimitName,
  type SomeLimits,
  type TenantLimits,
} from '../config/limits.js'
import { LimitsPage, type LoadState } from './page.js'

/** The name under which the file has limits for all tenants that it does not name. */
export const WILDCARD = '*'

export interface Entry {
  readonly limits: TenantLimits
  /** What the file says, without the defaults. */
  readonly own: SomeLimits
  /** `*` or the tenant; undefined = the defaults hold. */
  readonly source: string | undefined
}

export type LimitsSource = Pick<LimitsView, 'of' | 'keyOf'>

/** A tenant's limits as a text for the page. */
export function encodeTenants(tenants: ReadonlyMap<string, SomeLimits>): string {
  return JSON.stringify([...tenants])
}

/** Thread contract: each thread has its own; asking is a load and a lookup until the limits change. */
export class LimitsView {
  readonly defaults: TenantLimits
  readonly #page: LimitsPage | undefined
  #sequence = 0
  #tenants = new Map<string, Entry>()
  #others: Entry

  /** Without a page: the defaults for everyone. */
  constructor(defaults: TenantLimits, page?: LimitsPage) {
    this.defaults = Object.freeze(pick(defaults))
    this.#page = page
    this.#others = { limits: this.defaults, own: {}, source: undefined }
  }

  /** Grows whenever limits change. */
  get sequence(): number {
    return this.#page?.sequence ?? 0
  }

  get loaded(): LoadState {
    return this.#page?.loaded ?? 'none'
  }

  get loadedAt_ms(): number {
    return this.#page?.loadedAt_ms ?? 0
  }

  of(tenant: string): TenantLimits {
    return this.entry(tenant).limits
  }

  entry(tenant: string): Entry {
    if (this.sequence !== this.#sequence) this.#refresh()
    return this.#tenants.get(tenant) ?? this.#others
  }

  /** The key that sets a tenant's limit, for the words of a refusal. */
  keyOf(tenant: string, name: LimitName): string {
    const { own, source } = this.entry(tenant)
    const at = own[name] === undefined ? 'defaults' : source!
    return `overrides.${at}.${LIMIT_KEYS[name].join('.')}`
  }

  /** Tenants that the file names, `*` among them, by name. */
  tenants(): string[] {
    if (this.sequence !== this.#sequence) this.#refresh()
    return [...this.#tenants.keys()].sort()
  }

  #refresh(): void {
    const { sequence, text } = this.#page!.read()
    const written = JSON.parse(text || '[]') as [string, SomeLimits][]
    this.#tenants = new Map(written.map(([tenant, own]) => [tenant, this.#entryOf(tenant, own)]))
    this.#others = this.#tenants.get(WILDCARD) ?? {
      limits: this.defaults,
      own: {},
      source: undefined,
    }
    this.#sequence = sequence
  }

  #entryOf(source: string, own: SomeLimits): Entry {
    return { source, own, limits: Object.freeze({ ...this.defaults, ...own }) }
  }
}

/** Only the limits of what may hold more. */
function pick(limits: TenantLimits): TenantLimits {
  return Object.fromEntries(LIMIT_NAMES.map((name) => [name, limits[name]])) as never
}

/** The limits as an actor sees them: from its shared memory, where there is any. */
export function limitsIn(
  shared: Readonly<Record<string, SharedArrayBuffer>>,
  defaults: TenantLimits,
): LimitsView {
  return new LimitsView(defaults, shared.limits && new LimitsPage(shared.limits))
}
