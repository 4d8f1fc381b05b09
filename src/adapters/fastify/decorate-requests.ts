import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RequestContext } from '../../core/context/request-scope.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { HttpTenancy } from '../../http/http-tenancy.js'
import { requireTenant, requireUser } from '../../http/require-user.js'
import type { DecoratorNames } from './plugin-options.js'
import { scopeKey, tenancyKey } from './request-state.js'

/**
 * Adds to requests their scope, `request.user` and `request.tenant`, under the names that the options give.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: another plugin has the name
 */
export function decorateRequests(
  app: FastifyInstance,
  tenancy: HttpTenancy,
  { user, tenant }: Required<DecoratorNames>,
): void {
  app.decorateRequest(scopeKey, null)
  app.decorateRequest(tenancyKey, { getter: () => tenancy })
  decorate(app, 'user', user, requireUser)
  decorate(app, 'tenant', tenant, requireTenant)
}

function decorate(
  app: FastifyInstance,
  option: keyof DecoratorNames,
  name: string | false,
  read: (context: RequestContext) => unknown,
): void {
  if (name === false) return
  if (app.hasRequestDecorator(name)) {
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      `request.${name} is another plugin's: give ours another name, decorators: { ${option}: 'tenancy…' }, or none: false`,
    )
  }
  app.decorateRequest(name, {
    getter(this: FastifyRequest) {
      return read(contextOf(this))
    },
  })
}

function contextOf(request: FastifyRequest): RequestContext {
  const scope = request[scopeKey]
  if (scope === null)
    throw new TenancyError('TENANCY_CONTEXT_MISSING', 'The tenancy plugin has not run for this request yet')
  return scope.context
}
