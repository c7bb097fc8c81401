/** Owns whose data a request is: the header `X-Scope-OrgID` under Tempo's rules. */

/** Tempo's tenant when `multitenancy_enabled` is false. */
export const SINGLE_TENANT = 'single-tenant'
const MAX_TENANT_LENGTH = 150
const VALID_TENANT = /^[a-zA-Z0-9!\-_.*'()]+$/

export type Tenancy =
  | { readonly tenant: string }
  | { readonly refused: 'unauthenticated' | 'invalid'; readonly message: string }

export type TenantResolver = (orgId: string | undefined) => Tenancy

export function tenantResolver(multitenancy_enabled: boolean): TenantResolver {
  if (!multitenancy_enabled) {
    const single: Tenancy = { tenant: SINGLE_TENANT }
    return () => single
  }
  return (orgId) => {
    if (orgId === undefined || orgId === '') {
      const message =
        'no org id: multitenancy is enabled, so the header X-Scope-OrgID must name a tenant'
      return { refused: 'unauthenticated', message }
    }
    const fault = tenantFault(orgId)
    return fault === undefined ? { tenant: orgId } : { refused: 'invalid', message: fault }
  }
}

function tenantFault(id: string): string | undefined {
  if (id.length > MAX_TENANT_LENGTH) {
    return `tenant ID is too long: ${id.length} characters, at most ${MAX_TENANT_LENGTH} are allowed`
  }
  if (id === '.' || id === '..') return "tenant ID is '.' or '..', which would leave its folder"
  if (VALID_TENANT.test(id)) return undefined
  return `tenant ID '${id}' contains an unsupported character; letters, digits and !-_.*'() are allowed`
}

/** A tenant's list, empty where it has none. A tenant may be called `constructor`. */
export function listOfTenant<T>(
  lists: Readonly<Record<string, readonly T[]>>,
  tenant: string,
): readonly T[] {
  return Object.hasOwn(lists, tenant) ? lists[tenant]! : []
}
