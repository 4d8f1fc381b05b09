import type { RequestContext } from '../../core/context/request-scope.js'
import type { User } from '../../core/model.js'
import { requireActorId, requireTenant, requireUser } from '../../http/require-user.js'
import type { Tenancy } from '../../tenancy-interface.js'
import type { InvitationLimits } from '../limits/invitation-limits.js'
import type { OperationCall, OperationSettings, RangeHeaders } from '../operation.js'
import type { CallParts } from './read-call.js'

/** What all calls of an API share. */
export interface CallServices {
  readonly tenancy: Tenancy
  readonly settings: OperationSettings
  readonly countTenants: (user: string) => Promise<number>
  readonly invitationLimits: InvitationLimits
}

/** A call in the context of its request. A class, because an object with getters of its own costs more than all it is used for. */
export class BoundCall implements OperationCall<unknown, unknown, unknown> {
  readonly params: unknown
  readonly query: unknown
  readonly body: unknown
  readonly expectedTag: string | undefined
  readonly range: RangeHeaders
  readonly context: RequestContext
  readonly tenancy: Tenancy
  readonly settings: OperationSettings
  readonly countTenants: (user: string) => Promise<number>
  readonly invitationLimits: InvitationLimits

  constructor({ params, query, body, expectedTag, range }: CallParts, context: RequestContext, services: CallServices) {
    this.params = params
    this.query = query
    this.body = body
    this.expectedTag = expectedTag
    this.range = range
    this.context = context
    this.tenancy = services.tenancy
    this.settings = services.settings
    this.countTenants = services.countTenants
    this.invitationLimits = services.invitationLimits
  }

  get user(): User {
    return requireUser(this.context)
  }

  get scope(): { readonly tenant: string; readonly actor: string } {
    return { tenant: requireTenant(this.context).id, actor: requireActorId(this.context) }
  }
}
