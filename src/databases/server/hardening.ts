import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'

/**
 * Functions that use up what a server shares, and that PostgreSQL lets everybody call: advisory locks, notifications, large
 * objects, messages in the WAL. The statements LISTEN and NOTIFY have no privilege that could be revoked.
 */
export const revokedFunctions: readonly string[] = [
  ...['lock', 'lock_shared', 'xact_lock', 'xact_lock_shared'].flatMap((kind) => [
    `pg_advisory_${kind}`,
    `pg_try_advisory_${kind}`,
  ]),
  'pg_notify',
  ...['creat', 'create', 'from_bytea', 'put', 'open', 'truncate', 'truncate64', 'import', 'export'].map(
    (verb) => `lo_${verb}`,
  ),
  'lowrite',
  'pg_logical_emit_message',
]

/** Not even the application's own functions get these: they read and write files of the server. */
const ofSuperusersOnly = ['lo_import', 'lo_export']

const superusersOnly = ofSuperusersOnly.map((name) => quoteLiteral(name)).join(', ')
const functions = `select oid from pg_catalog.pg_proc
    where pronamespace = 'pg_catalog'::regnamespace
      and proname in (${revokedFunctions.map((name) => quoteLiteral(name)).join(', ')})`

/** Numbers of {@link revokedFunctions} in `pg_proc`: the same in every database of a server. */
export interface RevokedFunctions {
  readonly all: readonly number[]
  /** Those that the application's own functions keep. */
  readonly kept: readonly number[]
}

/** Looks the functions up: to find them by name in each database takes longer than all else that is asked there. */
export async function readRevokedFunctions(client: SqlClient): Promise<RevokedFunctions> {
  const { rows } = await client.query<{ readonly oid: number; readonly isKept: boolean }>(
    `select oid::pg_catalog.int8::pg_catalog.float8 as oid, proname not in (${superusersOnly}) as "isKept" from pg_catalog.pg_proc
      where oid in (${functions})`,
  )
  return { all: rows.map(({ oid }) => oid), kept: rows.filter(({ isKept }) => isKept).map(({ oid }) => oid) }
}

/** SQL expression that tells whether {@link hardenDatabase} has nothing to do. The search path is pg_catalog. */
export function isHardenedSql({ all, kept }: RevokedFunctions, role: string, owners: string): string {
  const [byRole, byOwners] = [role, owners].map(
    (name) => `has_function_privilege(${quoteLiteral(quoteIdentifier(name))}::regrole, oid, 'execute')`,
  )
  return `not exists (select from pg_proc where oid in (${all.join(', ')})
    and (${byRole} or (not ${byOwners} and oid in (${kept.join(', ')}))))`
}

/**
 * Revokes the right to call these functions from PUBLIC in one database, and checks that this had an effect: for an account
 * that is no superuser, REVOKE only raises a warning.
 *
 * The application's files and `SECURITY DEFINER` functions, which run as the group of owners, keep what PUBLIC had.
 *
 * @param role the role that must not be able to call them afterwards
 * @param owners the group that owns the application's objects
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID naming those that the role can still call
 */
export async function hardenDatabase(client: SqlClient, role: string, owners: string): Promise<void> {
  await client.query(
    `do $do$
     declare target oid;
     begin
       for target in ${functions} loop
         begin
           execute format('revoke execute on function %s from public', target::regprocedure);
           if not has_function_privilege(${quoteLiteral(owners)}::name, target, 'execute')
              and not exists (select from pg_catalog.pg_proc where oid = target and proname in (${superusersOnly})) then
             execute format('grant execute on function %s to %I', target::regprocedure, ${quoteLiteral(owners)});
           end if;
         exception when insufficient_privilege then null;
         end;
       end loop;
     end $do$`,
  )
  const { rows } = await client.query<{ signature: string }>(
    `select oid::regprocedure::text as signature from (${functions}) as f
      where has_function_privilege($1::name, oid, 'execute') order by 1`,
    [role],
  )
  if (rows.length === 0) return
  throw new TenancyError(
    'TENANCY_CONFIG_INVALID',
    `TENANT_HARDENED has no effect on ${rows.length} functions, ${rows.map(({ signature }) => signature).join(', ')}: ` +
      'configure a superuser as provisioning account, or unset TENANT_HARDENED',
  )
}
