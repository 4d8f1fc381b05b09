import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteLiteral } from '../../postgres/quote.js'
import type { AppliedFile } from '../../postgres/sql-files.js'
import { missingPrivileges, type MissingRow } from '../building/restore-privileges.js'
import type { GroupRoles } from '../building/tenant-privileges.js'
import { isHardenedSql } from '../server/hardening.js'
import { isDueSql } from './give-over.js'

/** What {@link readState} needs. */
export interface StateOptions extends GroupRoles {
  /** Name of the provisioning account. */
  readonly account: string
  /** Extensions that the database has to have. */
  readonly extensions: readonly string[]
  /** Whether it has to be hardened. */
  readonly isHardened: boolean
  /** The owner login, when it asks for itself: whether it is what it has to be. Default: it is not looked at. */
  readonly login?: { readonly mustBeJoined: boolean } | undefined
}

interface StateRow {
  readonly identity: readonly (readonly [databaseId: string, epoch: number])[] | null
  readonly isDue: boolean
  readonly missing: MissingRow | null
  readonly isComplete: boolean
  readonly ledger: readonly AppliedFile[] | null
}

/**
 * Asks by one message whether a database is as this release wants it, and what its ledger has, so that usually nothing else
 * has to be asked and nothing mended. The session's search path is pg_catalog afterwards.
 *
 * @param client a new connection of the provisioning account, or of the owner login, to the database
 * @returns the ledger; undefined: something is not as it has to be
 * @throws what PostgreSQL says, such as when an earlier release has built the database
 */
export async function readState(
  client: SqlClient,
  { id, epoch, roleName }: TenantDatabase,
  options: StateOptions,
): Promise<readonly AppliedFile[] | undefined> {
  // One message; its answers are a list.
  const answers = (await client.query(`set search_path = pg_catalog; ${stateSql(roleName, options)}`)) as unknown as {
    readonly rows: readonly StateRow[]
  }[]
  const row = answers.at(-1)?.rows[0]
  const [own, ...others] = row?.identity ?? []
  if (own?.[0] !== id || own[1] !== epoch || others.length > 0) return undefined
  const { isDue, missing, isComplete, ledger } = row ?? {}
  const lacksNothing =
    missing?.isMember && missing.mayConnect && missing.hasPrivileges && missing.bare.length === 0 && isComplete
  return lacksNothing === true && isDue === false ? (ledger ?? []) : undefined
}

function stateSql(roleName: string, options: StateOptions): string {
  const { members, owners, account, extensions, isHardened, login } = options
  const names = extensions.map((name) => quoteLiteral(name)).join(', ')
  const complete = [
    ...(names === ''
      ? []
      : [`(select count(*) from pg_extension where extname in (${names})) = ${new Set(extensions).size}`]),
    ...(isHardened ? [isHardenedSql(members, owners)] : []),
    ...(login ? [loginIsRight(owners, account, login.mustBeJoined)] : []),
  ]
  const roles = { account: quoteLiteral(account), role: quoteLiteral(roleName), members: quoteLiteral(members) }
  return `select
    (select json_agg(json_build_array(database_id, epoch)) from tenants2fast.identity) as identity,
    (${isDueSql(roles)}) as "isDue",
    (select row_to_json(m) from (${missingPrivileges(options, roles)}) m) as missing,
    ${complete.length === 0 ? 'true' : complete.map((each) => `(${each})`).join(' and ')} as "isComplete",
    -- A number of 14 digits has room in JSON.
    (select json_agg(json_build_object('version', version, 'name', name, 'checksum', checksum) order by version)
       from tenants2fast.schema_migrations) as ledger`
}

/** As `ensureOwnerLogin` makes it; that the password is right was seen when it connected. */
const loginIsRight = (owners: string, account: string, mustBeJoined: boolean) => `
  select not (r.rolsuper or r.rolcreatedb or r.rolcreaterole or r.rolreplication or r.rolbypassrls)
      and pg_has_role(r.oid, ${quoteLiteral(owners)}::name, 'usage')
      and (select bool_and(has_table_privilege(r.oid, 'tenants2fast.schema_migrations', p))
             from unnest(array['select', 'insert', 'delete']) p)
      and not exists (
        select from pg_auth_members g join pg_roles m on m.oid = g.member
         where g.roleid = r.oid and not m.rolsuper and not m.rolcreaterole)
      and not exists (
        select from pg_db_role_setting s where s.setrole = r.oid and s.setconfig <> array['temp_file_limit=-1'])
      ${mustBeJoined ? `and pg_has_role(${quoteLiteral(account)}::name, r.oid, 'usage')` : ''}
    from pg_roles r where r.rolname = session_user`
