import { TenancyError, type TenancyErrorCode } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import type { Scope, TenantScope } from '../change.js'

/**
 * Access that an actor is about to grant, or that a member or role holds. Named as callers name it, so that it can be asked
 * for together with the look-ups of the same names, in one message; a name that nothing has adds nothing.
 */
export interface Holdings {
  /** Names or ids of built-in roles or of the tenant's own, with all that they include. */
  readonly roles?: readonly string[]
  /** Names of permissions. */
  readonly permissions?: readonly string[]
  /**
   * Id of a member: the roles, inactive ones included, and the direct allows, each until its own end. Denies are not subtracted.
   */
  readonly member?: string
  /** When what is given ends, unless its holder's own allow ends sooner; null: never. Default: never. */
  readonly until?: Date | null
}

/** The part of some holdings that the actor does not hold. */
interface Missing {
  readonly permissions: readonly string[]
  readonly roles: readonly string[]
  /** Whether the actor is an active member of the tenant. */
  readonly isMember: boolean
  readonly isOwner: boolean
}

// The rule is that of the function, in `migrations/0015_rights_that_end.sql`.
const missingQuery = `
  select missing_permissions as permissions, missing_roles as roles, true as "isMember", actor_is_owner as "isOwner"
  from missing_access($1, $2, $3::text[] || array(
    select name from roles where id = any ($6::uuid[]) and (tenant_id is null or tenant_id = $1)), $4, $5, $7)`

/**
 * Refuses unless the actor holds everything that is granted, and for as long: a direct allow that ends lets its holder give
 * the permission until that end, and never by a role. Call it before access is granted to a member or to a tenant's role. An operator of the installation (no actor) may grant anything. Only operators may change built-in roles and
 * permissions (no tenant).
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_GRANT_REFUSED
 */
export async function refuseToGiveMore(client: SqlClient, scope: Scope, given: Holdings): Promise<void> {
  const missing = await readMissing(client, scope, given, given.until?.toISOString() ?? 'infinity')
  if (missing !== undefined) refuse('TENANCY_ACCESS_GRANT_REFUSED', scope, 'give', missing)
}

/**
 * Refuses an actor who does not hold everything that the member holds, unless the actor is an Owner. Call it before a
 * membership, or a member's roles or overrides, are changed. Members may change themselves, and so may leave.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_CHANGE_REFUSED
 */
export async function refuseToChangeMember(client: SqlClient, scope: TenantScope, userId: string): Promise<void> {
  if (scope.actorId === null || scope.actorId === userId) return
  await refuseToReachUp(client, scope, `the member ${userId}`, { member: userId })
}

/**
 * Refuses an actor who does not hold everything that the role grants, unless the actor is an Owner. Call it before a
 * tenant's role is changed.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_CHANGE_REFUSED
 */
export async function refuseToChangeRole(client: SqlClient, scope: Scope, role: string): Promise<void> {
  await refuseToReachUp(client, scope, `the role "${role}"`, { roles: [role] })
}

/**
 * Refuses an actor who does not hold everything that an invitation gives, unless the actor is an Owner. Call it before the
 * invitation of somebody else is replaced or withdrawn.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_CHANGE_REFUSED
 */
export async function refuseToChangeInvitation(
  client: SqlClient,
  scope: TenantScope,
  id: string,
  roles: readonly string[],
): Promise<void> {
  await refuseToReachUp(client, scope, `the invitation ${id}`, { roles })
}

async function refuseToReachUp(client: SqlClient, scope: Scope, what: string, held: Holdings): Promise<void> {
  // Only what the actor holds now counts: a change gives nothing.
  const missing = await readMissing(client, scope, held, '-infinity')
  if (missing !== undefined && !missing.isOwner)
    refuse('TENANCY_ACCESS_CHANGE_REFUSED', scope, `change ${what}, with`, missing)
}

/** Refuses if anything is missing. */
function refuse(code: TenancyErrorCode, { actorId, tenantId }: Scope, deed: string, missing: Missing): void {
  const { permissions, roles, isMember } = missing
  if (!isMember) {
    const message = `The user ${actorId} is no active member of the tenant ${tenantId}: they give nothing and change nobody there`
    throw new TenancyError(code, message)
  }
  if (permissions.length === 0 && roles.length === 0) return
  const names = [...roles.map((role) => `the role ${role}`), ...permissions].join(', ')
  const lack = code === 'TENANCY_ACCESS_GRANT_REFUSED' ? "don't hold, or hold for a shorter time" : "don't hold"
  throw new TenancyError(code, `The user ${actorId} can't ${deed} what they ${lack}: ${names}`, {
    details: { permissions, roles },
  })
}

const stranger: Missing = { permissions: [], roles: [], isMember: false, isOwner: false }

/** Returns undefined without an actor: an operator of the installation makes the change. */
async function readMissing(
  client: SqlClient,
  { tenantId, actorId }: Scope,
  { roles = [], permissions = [], member }: Holdings,
  until: string,
): Promise<Missing | undefined> {
  if (tenantId === null || actorId === null) return undefined
  if (!isUuid(actorId)) return stranger
  // An id counts as a name as well: that can only add to what the actor has to hold.
  const values = [tenantId, actorId, roles, permissions, member ?? null, roles.filter(isUuid), until]
  const { rows } = await client.query<Missing>(missingQuery, values)
  return rows[0] ?? stranger
}
