import { skeletonOf } from '../../../core/access/lookalikes.js'
import { TenancyError } from '../../../core/errors/errors.js'
import type { SqlClient } from '../../../core/sql-client.js'
import type { Scope } from '../../change.js'
import { inOrder } from '../../transaction.js'

/** Names that members take for built-in roles, whether an application has these roles or not. */
const wellKnown = ['Owner', 'Admin', 'Administrator', 'Member']

/**
 * Refuses a name for a tenant's own role that readers may take for a built-in one: `Öwner`, `Аdmin` with a Cyrillic letter.
 * Nothing for a built-in role.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_ROLE_EXISTS
 */
export async function refuseLookalike(client: SqlClient, { tenantId }: Scope, name: string): Promise<void> {
  if (tenantId === null) return
  const { rows } = await client.query<{ name: string }>('select name from roles where tenant_id is null')
  const skeleton = skeletonOf(name)
  const same = [...wellKnown, ...rows.map((row) => row.name)].find((builtIn) => skeletonOf(builtIn) === skeleton)
  if (same === undefined) return
  throw new TenancyError(
    'TENANCY_ACCESS_ROLE_EXISTS',
    `A role of a tenant's own can't be named "${name}": it reads like the built-in role "${same}"`,
  )
}

/**
 * Makes room for built-in roles: a tenant's own role that has one of their names, in any case, gets a number at its end. Its
 * members keep what they have by it, and each tenant's audit log has an entry. Otherwise one tenant could keep the application
 * from its next role by taking the name first.
 *
 * Locks those tenants, then the names until the end of the transaction. It waits for nothing in between, so that the statements
 * travel in one message.
 */
export async function takeNames(client: SqlClient, { actorId }: Pick<Scope, 'actorId'>, names: readonly string[]) {
  await inOrder([
    client.query(
      `select from tenants where id in (
         select tenant_id from roles where tenant_id is not null and lower(name) in (select lower(unnest($1::text[])))
       ) order by id for no key update`,
      [names],
    ),
    // As the trigger `roles_check` of the new role does: no tenant takes the name meanwhile.
    client.query('select pg_advisory_xact_lock(7230951, 1)'),
    client.query(
      `with taken as (
         select own.id, own.tenant_id, own.name, (
           -- As many numbers as names can be taken, and one more.
           select candidate from generate_series(2, (
             select 2 + cardinality($1::text[]) + count(*)::integer from roles as other
             where other.tenant_id = own.tenant_id or other.tenant_id is null
           )) as number,
             lateral (select rtrim(left(own.name, 93)) || ' ' || number as candidate) as numbered
           where lower(candidate) not in (select lower(unnest($1::text[]))) and not exists (
             select from roles as other
             where (other.tenant_id = own.tenant_id or other.tenant_id is null) and lower(other.name) = lower(candidate)
           ) order by number limit 1
         ) as new_name
         from roles as own
         where own.tenant_id is not null and lower(own.name) in (select lower(unnest($1::text[])))
       ), renamed as (
         update roles set name = taken.new_name from taken where roles.id = taken.id
       )
       insert into audit_log (actor_id, tenant_id, action, subject, before, after)
       select $2::uuid, tenant_id, 'role.update', 'role:' || id, jsonb_build_object('name', name),
         jsonb_build_object('name', new_name, 'reason', 'a built-in role has the name')
       from taken order by tenant_id, id`,
      [names, actorId],
    ),
  ])
}
