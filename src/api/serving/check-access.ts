import type { RequestContext } from '../../core/context/request-scope.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { RouteNeeds } from '../../core/request-path.js'
import type { ApiRequest, HttpTenancy } from '../../http/http-tenancy.js'
import { bindRouteGuard, type RouteGuard } from '../../http/routes/route-guard.js'
import { requireUser } from '../../http/require-user.js'
import type { Tenancy } from '../../tenancy-interface.js'
import type { Operation } from '../operation.js'

/** Who calls, and what for: the headers of the request and the tenant of its path. */
export interface CallerFacts {
  readonly headers: ApiRequest['headers']
  readonly pathTenant: string | undefined
  /** The user whom the path names. */
  readonly pathUser: string | undefined
}

/**
 * Finds the caller of a request and checks what the operation demands of them; at once, as the pipeline does.
 * @throws {@link TenancyError} TENANCY_ACCESS_DENIED, TENANCY_IMPERSONATION_REFUSED, TENANCY_AUTH_* (TENANCY_AUTH_PERSON_REQUIRED: an API key, where no permission
 *   is asked for), TENANCY_TENANT_*
 */
export type Admission = (caller: CallerFacts) => RequestContext | Promise<RequestContext>

interface AccessCheck {
  readonly needs: RouteNeeds
  check(context: RequestContext): void
}

/**
 * Binds the access of an operation, once.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID: nobody has defined its permission, or it names nothing
 */
export function bindAdmission(operation: Operation, tenancy: Tenancy): Admission {
  if ('platform' in operation.access) {
    const tokens = tenancy.platformTokens()
    return (caller) => tokens.authenticate(authorizationOf(caller))
  }
  const access = bindAccess(operation, tenancy.rules)
  const checked = (context: RequestContext, caller: CallerFacts) => {
    refuseImpersonation(operation, context, caller)
    access.check(context)
    return context
  }
  return (caller) => {
    const context = tenancy.pipeline.handle({
      authorization: authorizationOf(caller),
      tenantHeader: caller.headers.get('x-tenant-id') ?? undefined,
      host: undefined,
      pathTenant: caller.pathTenant,
      needs: access.needs,
    })
    return context instanceof Promise ? context.then((found) => checked(found, caller)) : checked(context, caller)
  }
}

/** @throws {@link TenancyError} TENANCY_IMPERSONATION_REFUSED */
function refuseImpersonation(
  { id, whileImpersonating }: Operation,
  { user, impersonation }: RequestContext,
  { pathUser }: CallerFacts,
): void {
  if (impersonation === undefined || whileImpersonating === true) return
  const own = [user?.id, impersonation.administrator.id]
  if (whileImpersonating === 'onOthers' && pathUser !== undefined && !own.includes(pathUser.toLowerCase())) return
  throw new TenancyError('TENANCY_IMPERSONATION_REFUSED', `${id} is not for an administrator who acts as somebody else`)
}

const authorizationOf = ({ headers }: CallerFacts) => headers.get('authorization') ?? undefined

function bindAccess({ id, access, method, path }: Operation, rules: HttpTenancy['rules']): AccessCheck {
  if ('anyone' in access) return { needs: 'none', check() {} }
  if ('everyUser' in access) return { needs: 'user', check() {} }
  if ('everyMember' in access) return { needs: 'tenant', check: requireUser }
  if (!('permission' in access) || typeof access.permission !== 'string') {
    throw new TenancyError('TENANCY_ACCESS_DEFINITION_INVALID', `The operation ${id} names no permission`)
  }
  const guard: RouteGuard = bindRouteGuard(
    { kind: 'permission', name: access.permission },
    { url: path, segments: [], methods: [method.toUpperCase()] },
    rules,
    () => {
      throw new TenancyError(
        'TENANCY_ACCESS_DEFINITION_INVALID',
        `The operation ${id} needs the permission ${access.permission}, which the access definition does not have: ` +
          'add `...managementAccess.permissions` to its permissions',
      )
    },
  )
  return { needs: 'tenant', check: (context) => guard(context, { method: method.toUpperCase() }) }
}
