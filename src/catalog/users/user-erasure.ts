import { auditActor } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { parse } from '../input.js'
import { inOrder, inTransaction, type Transaction } from '../transaction.js'
import { type UserChangeInput, userChangeInput, userNotFound } from './user-change.js'

/** Most tenants that a refusal names. */
const maxNamed = 20

/** The tenants of which a user holds the role Owner, and nobody else who could act does. */
const ownedAloneQuery = `
  select tenants.slug, count(*) over ()::integer as total
  from user_tenant_roles as held
  join roles on roles.id = held.role_id and roles.tenant_id is null and roles.name = 'Owner'
  join tenants on tenants.id = held.tenant_id
  where held.user_id = $1 and not exists (
    select from user_tenant_roles as other
    join user_tenants as membership on (membership.user_id, membership.tenant_id) = (other.user_id, other.tenant_id)
    join users on users.id = other.user_id
    where other.tenant_id = held.tenant_id and other.role_id = held.role_id and other.user_id <> $1
      and membership.is_active and users.disabled_at is null
  )
  order by tenants.id limit ${maxNamed}`

/** Each tenant's log says that the member is gone, as when somebody removes them. */
const leaveQuery = `
  insert into audit_log (actor_id, tenant_id, action, subject, before)
  select nullif($2, '')::uuid, tenant_id, 'member.remove', 'user:' || $1::uuid, jsonb_build_object('roles', array(
    select roles.name from user_tenant_roles as held join roles on roles.id = held.role_id
    where held.user_id = $1 and held.tenant_id = membership.tenant_id order by roles.name
  ))
  from user_tenants as membership where user_id = $1 order by tenant_id`

/**
 * Erases a user: the row and everything that the catalog has about the person, the personal parts of audit entries included.
 *
 * @throws {@link TenancyError} TENANCY_USER_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER, TENANCY_REQUEST_INVALID
 */
export async function eraseUser(catalog: SqlPool, input: UserChangeInput): Promise<void> {
  const { user, actor: by } = parse(userChangeInput, input)
  if (!isUuid(user)) throw userNotFound(user)
  const erase = async (client: Transaction): Promise<boolean> => {
    const { locked, users, memberships, owned } = await lockAll(client, user)
    if (users.length === 0) throw userNotFound(user)
    // A membership began before the user was locked: its tenant was not, when its Owners were counted.
    if (memberships.some(({ id }) => !locked.has(id))) return false
    const [first] = owned
    if (first !== undefined) throw lastOwner(user, owned, first.total)
    await inOrder([
      client.query(auditActor('$1'), [by ?? '']),
      client.query(leaveQuery, [user, by ?? '']),
      client.query('delete from users where id = $1', [user]),
      client.commit(),
    ])
    return true
  }
  while (!(await inTransaction(catalog, erase)));
}

/** Takes the locks of every change of a member, in the same order: the tenants, then the user. Reads what decides. */
async function lockAll(client: SqlClient, user: string) {
  const [locked, users, memberships, owned] = await inOrder([
    client.query<{ id: string }>(
      `select id from tenants where id in (select tenant_id from user_tenants where user_id = $1)
       order by id for no key update`,
      [user],
    ),
    client.query<{ id: string }>('select id from users where id = $1 for update', [user]),
    client.query<{ id: string }>('select tenant_id as id from user_tenants where user_id = $1', [user]),
    client.query<{ slug: string; total: number }>(ownedAloneQuery, [user]),
  ])
  return {
    locked: new Set(locked.rows.map(({ id }) => id)),
    users: users.rows,
    memberships: memberships.rows,
    owned: owned.rows,
  }
}

function lastOwner(user: string, owned: readonly { readonly slug: string }[], total: number): TenancyError {
  const tenants = owned.map(({ slug }) => slug)
  const more = total > tenants.length ? ` and ${total - tenants.length} more` : ''
  return new TenancyError(
    'TENANCY_MEMBER_LAST_OWNER',
    `The user ${user} is the last Owner of ${tenants.map((slug) => `"${slug}"`).join(', ')}${more}: ` +
      'make somebody else an Owner, or purge the tenant',
    { details: { tenants } },
  )
}
