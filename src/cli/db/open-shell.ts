import { recordOperatorEntry } from '../../catalog/audit/operator-entries.js'
import { createTenantDatabaseRecords } from '../../catalog/tenants/tenant-databases.js'
import { closeSession, openSession } from '../../connections/session/open-session.js'
import { readEnvironment } from '../../core/config/load-config.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { ServerAccount, TenantDatabaseTarget } from '../../core/tenants/database-target.js'
import { deriveRolePassword } from '../../databases/server/role-password.js'
import type { CommandContext } from '../context.js'
import type { TenantInput } from '../tenant/tenant-argument.js'
import type { CatalogAccess } from './open-catalog.js'
import { withOwnerAccount } from './owner-account.js'
import { runPsql } from './psql.js'

/** What `db shell` was given. */
export interface ShellInput extends TenantInput {
  readonly owner?: boolean
  readonly psqlArguments?: readonly string[]
}

/** A session of psql that is over. */
export interface ShellResult {
  readonly tenant: string
  readonly database: string
  /** psql's own. */
  readonly psqlExitCode: number
}

/** Runs psql in a tenant's database, and records that in the audit log first. */
export async function openShell(
  context: CommandContext,
  access: CatalogAccess,
  { tenant: named, owner: isOwner = false, psqlArguments: args = [] }: ShellInput,
): Promise<ShellResult> {
  const { tenancy, account, secret, catalog } = access
  const { id: tenantId, slug, databaseId } = await tenancy.getTenant(named)
  const database = databaseId === null ? undefined : await createTenantDatabaseRecords(catalog).find(databaseId)
  if (database?.state !== 'assigned') {
    throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${slug}" has no database in use`)
  }
  const { id, epoch, name, roleName: user } = database
  const password = deriveRolePassword(secret, id)
  const target = { databaseId: id, epoch, account: { ...account, user, password, database: name } }
  await proveIdentity(target)
  // Before the session: one that cannot be recorded does not begin.
  const after = { as: isOwner ? 'owner' : 'tenant' }
  await recordOperatorEntry(catalog, { tenantId, action: 'database.shell', subject: `database:${id}`, after })
  context.say(`psql in the database of ${slug}, as ${isOwner ? 'the owner of its objects' : 'its own role'}`)
  context.leaveInterrupts()
  const start = (as: ServerAccount, role?: string) =>
    runPsql({
      account: as,
      role,
      databaseUrl: readEnvironment()['TENANT_DATABASE_URL'] || undefined,
      // The name of the database says nothing to people; a psqlrc may set another prompt.
      args: [`--set=PROMPT1=${slug}${isOwner ? ' (owner)' : ''}%R%x%# `, ...args],
      signal: context.signal,
      isJson: context.isJson,
    })
  const psqlExitCode = isOwner
    ? await withOwnerAccount(context, { database, slug }, (owner) => start(owner.account, owner.group))
    : await start(target.account)
  return { tenant: slug, database: name, psqlExitCode }
}

/** The database has to say itself that it is the tenant's: after a restore of the catalog its name may lie. */
async function proveIdentity(target: TenantDatabaseTarget): Promise<void> {
  const session = await openSession(target, {}, { timeoutMs: 10_000, prepareStatements: false })
  await closeSession(session)
}
