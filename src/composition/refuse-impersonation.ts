import { type RequestScope, tryGetScope } from '../core/context/request-scope.js'
import { TenancyError } from '../core/errors/errors.js'

/**
 * What a request may call of the catalog's functions while an administrator acts as a member: what reads, and the changes named here.
 * Whatever else there is, and is to come, may change ownership, keys, rights, or what is the person's own.
 */
const mayCall =
  /^(get|list|find|search|show|is|read)[A-Z]|^(summary|explain|effectivePermissions|withLock|onEvent|lastRehearsal|status|check)$/
const harmlessChanges = ['updateTenant', 'setTenantLabels', 'updateTenantSettings', 'withdrawInvitation']

/** Refuses, inside of a request of an administrator who acts as a member, what they may not change. Leaves all else as it is. */
export function refuseImpersonators<Functions extends object>(functions: Functions): Functions {
  const guarded = Object.entries(functions).map(([name, value]: [string, unknown]) => {
    if (typeof value !== 'function' || mayCall.test(name)) return [name, value]
    const call = value as (...given: readonly unknown[]) => unknown
    return [
      name,
      async (...given: readonly unknown[]) => {
        refuseImpersonator(name, given[0])
        return call(...given)
      },
    ]
  })
  return Object.fromEntries(guarded) as Functions
}

/** @throws {@link TenancyError} TENANCY_IMPERSONATION_REFUSED: this is a request of an administrator who acts as a member */
function refuseImpersonator(name: string, input: unknown): void {
  // Of the scope, not of the context: a job that the request starts in another tenant is the administrator's, too.
  const scope = tryGetScope()
  const impersonation = scope?.origin?.impersonation
  if (scope === undefined || impersonation === undefined) return
  if (isOfTenant(input, scope)) {
    if (harmlessChanges.includes(name)) return
    if (name === 'updateMember' && isOfAnother(input, [scope.context.user?.id, impersonation.administrator])) return
  }
  throw new TenancyError(
    'TENANCY_IMPERSONATION_REFUSED',
    `${name} is not for an administrator who acts as somebody else`,
  )
}

/** Whether the input of a function is about the tenant of the request, as its token is for no other. */
function isOfTenant(input: unknown, { context: { tenant } }: RequestScope): boolean {
  const named = fieldOf(input, 'tenant')
  return tenant !== undefined && (named === tenant.id || named === tenant.slug)
}

/** Whether the input of a function is about another member than the one whom the administrator acts as, and than themselves. */
function isOfAnother(input: unknown, own: readonly (string | undefined)[]): boolean {
  const about = fieldOf(input, 'user')
  return typeof about === 'string' && !own.includes(undefined) && !own.includes(about.toLowerCase())
}

function fieldOf(input: unknown, name: string): unknown {
  return typeof input === 'object' && input !== null ? (input as Readonly<Record<string, unknown>>)[name] : undefined
}
