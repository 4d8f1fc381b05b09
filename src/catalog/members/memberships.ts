import { z } from 'zod'
import type { RoleName } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant, UserTenant } from '../../core/model.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { isStorable } from '../../core/text.js'
import { isUuid } from '../../core/uuid.js'
import { refuseToGiveMore } from '../access/authority.js'
import type { TenantScope } from '../change.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { parse, schemaOf, tenantRef, userRef } from '../input.js'
import {
  commitChange,
  findMemberToChange,
  findRoles,
  keepAnOwner,
  membershipList,
  noMember,
  readRoleNames,
} from '../access/lookup.js'
import { memberExists, tenantFull } from './joining.js'
import { createMemberProfiles, type MemberProfiles } from './member-profiles.js'
import { createMemberSearch, type MemberSearch } from './member-search.js'
import { createMembershipLists, type MembershipLists } from './membership-lists.js'
import { createOwnership, type Ownership } from './ownership.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder, inTransaction, type Transaction } from '../transaction.js'

/** A member to change. */
export interface MemberChangeInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the user who is the member. */
  readonly user: string
}

/** A user to make a member. */
export interface AddMemberInput extends MemberChangeInput {
  /** Names of roles, built in or the tenant's own. Default: `['Member']`. */
  readonly roles?: readonly RoleName[] | undefined
  /** Whether this becomes the user's default tenant. Default: only when it is their first. */
  readonly isDefault?: boolean | undefined
}

/** A member who leaves. */
export interface LeaveTenantInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the user who is the member. */
  readonly user: string
}

/** A member to activate or deactivate. */
export interface MemberActiveInput extends MemberChangeInput {
  readonly isActive: boolean
}

// An actor who is no user is refused like one who is no member.
const actor = userRef.transform((id) => id.toLowerCase()).nullish()
const key = { tenant: tenantRef, user: userRef, actor }
const memberChangeInput = schemaOf<MemberChangeInput>()(z.strictObject(key))
const leaveTenantInput = schemaOf<LeaveTenantInput>()(z.strictObject({ tenant: tenantRef, user: userRef }))
const addMemberInput = schemaOf<AddMemberInput>()(
  z.strictObject({
    ...key,
    roles: z.array(z.string().refine(isStorable, 'cannot be stored')).readonly().default(['Member']),
    isDefault: z.boolean().optional(),
  }),
)
const memberActiveInput = schemaOf<MemberActiveInput>()(z.strictObject({ ...key, isActive: z.boolean() }))

/**
 * The memberships of users in tenants. Every change is one transaction with its audit entry.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface Memberships extends MembershipLists, MemberSearch, MemberProfiles, Ownership {
  /**
   * Makes a user a member of a tenant.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (deleted), TENANCY_USER_NOT_FOUND (unknown or
   *   disabled), TENANCY_MEMBER_EXISTS, TENANCY_MEMBER_LIMIT_REACHED, TENANCY_ACCESS_ROLE_NOT_FOUND,
   *   TENANCY_ACCESS_GRANT_REFUSED
   */
  addMember(input: AddMemberInput): Promise<UserTenant>
  /**
   * Ends a membership, with its roles and overrides.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_CHANGE_REFUSED,
   *   TENANCY_MEMBER_LAST_OWNER
   */
  removeMember(input: MemberChangeInput): Promise<void>
  /**
   * Ends a membership on the member's own wish: audited as theirs. One who was deactivated is no member here.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER
   */
  leaveTenant(input: LeaveTenantInput): Promise<void>
  /**
   * Activates or deactivates a member. An inactive member gets the same answers as a user who is no member. Their roles and
   * overrides are kept for when they are activated again.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  setMemberActive(input: MemberActiveInput): Promise<UserTenant>
  /**
   * Sets the tenant of those requests of the user that name none.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND (no such user, too), TENANCY_ACCESS_CHANGE_REFUSED
   */
  setDefaultTenant(input: MemberChangeInput): Promise<UserTenant>
}

/** Creates the service for memberships in the catalog. */
export function createMemberships({ catalog }: { readonly catalog: SqlPool }): Memberships {
  /** Creates a method that checks its input, then runs `work` in one transaction. */
  const change =
    <Input, Result>(schema: z.ZodType<Input>, work: (client: Transaction, input: Input) => Promise<Result>) =>
    async (input: unknown): Promise<Result> => {
      const parsed = parse(schema, input)
      return inTransaction(catalog, (client) => work(client, parsed))
    }

  return {
    addMember: change(addMemberInput, addMember),
    removeMember: change(memberChangeInput, (client, input) => endMembership(client, input, 'member.remove')),
    leaveTenant: change(leaveTenantInput, (client, { tenant, user }) =>
      endMembership(client, { tenant, user, actor: user.toLowerCase() }, 'member.leave'),
    ),
    setMemberActive: change(memberActiveInput, setMemberActive),
    setDefaultTenant: change(memberChangeInput, setDefaultTenant),
    ...createMembershipLists({ catalog }),
    ...createMemberSearch(catalog),
    ...createMemberProfiles(catalog),
    ...createOwnership(catalog),
  }
}

/**
 * Members who leave come back by the domain of their address, and would then hold what it gives. From whom something of that was
 * taken, or to whom anything is denied, needs an invitation instead.
 */
const keepRestrictedQuery = `
  insert into removed_members (tenant_id, user_id)
  select $1, $2 where exists (
    select from user_tenant_permissions
    where tenant_id = $1 and user_id = $2 and effect = 'deny' and (expires_at is null or expires_at > now())
  ) or exists (
    select from tenant_domains as domain where tenant_id = $1 and purpose = 'email' and (
      select cardinality(missing_permissions) from missing_access($1, $2, array(
        select name from roles where id = any (domain.role_ids) and (tenant_id is null or tenant_id = $1)
      ), '{}', null, 'infinity')
    ) is distinct from 0
  )
  on conflict do nothing`

async function endMembership(
  client: Transaction,
  input: MemberChangeInput,
  action: 'member.remove' | 'member.leave',
): Promise<void> {
  const { scope, userId } = await beginChange(client, input)
  const [{ isActive }, , roles] = await inOrder([
    findMemberToChange(client, scope, userId),
    keepAnOwner(client, scope.tenantId, userId),
    readRoleNames(client, scope.tenantId, userId),
  ])
  if (action === 'member.leave' && !isActive) throw noMember(userId, scope.tenantId)
  await inOrder([
    // Whom somebody else removes is kept by a trigger.
    ...(scope.actorId === userId ? [client.query(keepRestrictedQuery, [scope.tenantId, userId])] : []),
    client.query('delete from user_tenants where tenant_id = $1 and user_id = $2', [scope.tenantId, userId]),
    // An invitation from before would bring them back.
    client.query(
      `update invitations set state = 'withdrawn', ended_at = now() where tenant_id = $1 and state = 'open'
         and email = (select plain_address(email) from users where id = $2)`,
      [scope.tenantId, userId],
    ),
    commitChange(client, scope, action, `user:${userId}`, { roles }, null),
  ])
}

async function setMemberActive(client: Transaction, { isActive, ...member }: MemberActiveInput): Promise<UserTenant> {
  const { scope, userId } = await beginChange(client, member)
  const before = await findMemberToChange(client, scope, userId)
  if (before.isActive === isActive) return before
  if (isActive) await refuseToGiveMore(client, scope, { member: userId })
  else await keepAnOwner(client, scope.tenantId, userId)
  const [{ rows }] = await inOrder([
    client.query<UserTenant>(
      `update user_tenants set is_active = $3 where tenant_id = $1 and user_id = $2 returning ${membershipList}`,
      [scope.tenantId, userId, isActive],
    ),
    commitChange(client, scope, 'member.update', `user:${userId}`, { isActive: !isActive }, { isActive }),
  ])
  return rows[0] as UserTenant
}

async function setDefaultTenant(client: Transaction, input: MemberChangeInput): Promise<UserTenant> {
  const { scope, userId } = await beginChange(client, input)
  await findMemberToChange(client, scope, userId)
  const [{ rows: before }, { rows }] = await inOrder([
    client.query<{ tenantId: string }>(
      `update user_tenants set is_default = false
       where user_id = $1 and tenant_id <> $2 and is_default returning tenant_id as "tenantId"`,
      [userId, scope.tenantId],
    ),
    client.query<UserTenant>(
      `update user_tenants set is_default = true where user_id = $1 and tenant_id = $2 returning ${membershipList}`,
      [userId, scope.tenantId],
    ),
  ])
  const [previous = null] = before
  await commitChange(client, scope, 'member.default', `user:${userId}`, previous, { tenantId: scope.tenantId })
  return rows[0] as UserTenant
}

/** Locks the tenant, so that changes of its members run one after the other. */
async function beginChange(
  client: SqlClient,
  { tenant: idOrSlug, user, actor: actorId = null }: MemberChangeInput,
): Promise<{ readonly scope: TenantScope; readonly userId: string }> {
  const tenant = await findTenant(client, idOrSlug, { lock: true })
  return { scope: { actorId, tenantId: tenant.id }, userId: parseUserId(user, 'TENANCY_MEMBER_NOT_FOUND') }
}

async function addMember(
  client: Transaction,
  { tenant: idOrSlug, user, roles, actor: actorId = null, ...input }: z.output<typeof addMemberInput>,
): Promise<UserTenant> {
  // Because of the lock, members who join at the same time count each other.
  const finding = findTenant(client, idOrSlug, { lock: true })
  const [tenant, userId] = await inOrder([
    finding,
    finding.then(() => parseUserId(user, 'TENANCY_USER_NOT_FOUND')),
    finding.then(requireNotDeleted),
    lockUser(client, user),
  ])
  const scope = { actorId, tenantId: tenant.id }
  const names = [...new Set(roles)]
  const [isFirst, given] = await inOrder([
    requireRoom(client, tenant, userId),
    findRoles(client, tenant.id, names, { lock: true }),
    refuseToGiveMore(client, scope, { roles: names }),
  ])
  const isDefault = input.isDefault ?? isFirst
  const [, { rows }] = await inOrder([
    isDefault
      ? client.query('update user_tenants set is_default = false where user_id = $1 and is_default', [userId])
      : undefined,
    client.query<UserTenant>(
      `insert into user_tenants (tenant_id, user_id, is_default) values ($1, $2, $3) returning ${membershipList}`,
      [tenant.id, userId, isDefault],
    ),
    client.query('insert into user_tenant_roles (user_id, tenant_id, role_id) select $1, $2, unnest($3::uuid[])', [
      userId,
      tenant.id,
      given.map((role) => role.id),
    ]),
    commitChange(client, scope, 'member.add', `user:${userId}`, null, { roles: names, isDefault }),
  ])
  return rows[0] as UserTenant
}

function requireNotDeleted(tenant: Tenant): void {
  if (tenant.status !== 'deleted') return
  throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${tenant.slug}" is deleted: nobody can join it`)
}

/** Refuses a user who is a member already, and a tenant that is full. Returns whether the user is in no tenant yet. */
async function requireRoom(client: SqlClient, { id, slug, maxUsers }: Tenant, userId: string): Promise<boolean> {
  const { rows } = await client.query<{ count: number; isMember: boolean; isFirst: boolean }>(
    `select count(*)::integer as count, coalesce(bool_or(user_id = $2), false) as "isMember",
       not exists (select from user_tenants where user_id = $2) as "isFirst"
     from user_tenants where tenant_id = $1`,
    [id, userId],
  )
  const { count, isMember, isFirst } = rows[0] ?? { count: 0, isMember: false, isFirst: true }
  if (isMember) throw memberExists(userId, slug)
  if (maxUsers !== null && count >= maxUsers) throw tenantFull({ slug, maxUsers, members: count })
  return isFirst
}

async function lockUser(client: SqlClient, user: string): Promise<void> {
  const userId = parseUserId(user, 'TENANCY_USER_NOT_FOUND')
  const { rowCount } = await client.query('select from users where id = $1 and disabled_at is null for no key update', [
    userId,
  ])
  if (rowCount === 0) {
    throw new TenancyError(
      'TENANCY_USER_NOT_FOUND',
      `The user ${userId} does not exist or is disabled: check the user id`,
    )
  }
}

function parseUserId(text: string, code: 'TENANCY_USER_NOT_FOUND' | 'TENANCY_MEMBER_NOT_FOUND'): string {
  if (isUuid(text)) return text.toLowerCase()
  throw new TenancyError(code, `${JSON.stringify(text.slice(0, 60))} is not the id of a user (a UUID)`)
}
