import { v7 as uuidv7 } from 'uuid'
import type { ServerAccount } from '../core/database-target.js'
import { TenancyError } from '../core/errors.js'
import type { TenantDatabase } from '../core/model.js'
import { quoteIdentifier, quoteLiteral, type SqlClient } from '../core/sql.js'
import type { TenantDatabaseRecords } from '../core/tenant-databases.js'
import { openConnection } from './admin-connection.js'
import type { DatabaseNames } from './database-names.js'
import { deriveRolePassword, scramVerifier } from './role-password.js'

/** What a build needs. */
export interface BuilderOptions {
  readonly records: TenantDatabaseRecords
  /** Connections of the provisioning account to the server. */
  readonly admin: SqlClient
  readonly server: ServerAccount
  readonly serverId: string
  readonly names: DatabaseNames
  readonly secret: Buffer
  /** Names this process in leases. */
  readonly leaseOwner: string
  readonly roleConnectionLimit?: number | undefined
}

/** One database to be built. */
export interface BuildRequest {
  readonly template: string
  readonly templateVersion: string
  readonly reservedFor?: string | undefined
  readonly stockTarget?: number | undefined
}

/** How long a build or a drop is believed to be under way without a word from its process. */
export const leaseMs = 60_000

const reservedMs = 60_000

/**
 * Builds one tenant database: its row is committed before the DDL, so that nothing can be on the server without one.
 *
 * @returns the ready database; undefined when the stock was full
 * @throws {@link TenancyError} TENANCY_DATABASE_BUILD_FAILED; the database is dropped, or left to the reconciler
 */
export async function buildTenantDatabase(
  options: BuilderOptions,
  request: BuildRequest,
): Promise<TenantDatabase | undefined> {
  const { records, names, serverId, leaseOwner } = options
  const id = uuidv7()
  const name = names.tenantDatabase(id)
  // A renewal that fails is not an error: the lease may run out, and then the build is not marked ready.
  const renewal = setInterval(() => void records.renewLease(id, leaseOwner, leaseMs).catch(() => {}), leaseMs / 3)
  try {
    const begun = await records.beginBuild({
      id,
      serverId,
      name,
      roleName: name,
      templateVersion: request.templateVersion,
      leaseOwner,
      leaseMs,
      reservedFor: request.reservedFor,
      stockTarget: request.stockTarget,
    })
    if (!begun) return undefined
    await createRoleAndDatabase(options, id, request.template)
    const ready = await records.markReady(id, leaseOwner, reservedMs)
    if (!ready) throw new Error('the build took longer than its lease')
    return ready
  } catch (cause) {
    await giveUp(options, id)
    throw new TenancyError(
      'TENANCY_DATABASE_BUILD_FAILED',
      `The tenant database ${name} could not be built: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  } finally {
    clearInterval(renewal)
  }
}

async function createRoleAndDatabase(options: BuilderOptions, id: string, template: string): Promise<void> {
  const { admin, server, names, secret, roleConnectionLimit = -1 } = options
  const databaseName = names.tenantDatabase(id)
  // The role has the database's name.
  const name = quoteIdentifier(databaseName)
  const verifier = scramVerifier(deriveRolePassword(secret, id))
  await allSettled([
    admin.query(
      `create role ${name} login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls
         connection limit ${roleConnectionLimit} password ${quoteLiteral(verifier)} in role ${quoteIdentifier(names.members)}`,
    ),
    // Closed until PUBLIC has lost its right to connect; wal_log copies a small template fastest.
    admin.query(
      `${createDatabaseSql(databaseName)} template ${quoteIdentifier(template)} strategy wal_log allow_connections false`,
    ),
  ])
  await admin.query(
    `revoke all on database ${name} from public;
     grant connect, temporary on database ${name} to ${name};
     alter database ${name} allow_connections true`,
  )
  await writeIdentity({ ...server, database: databaseName }, id)
}

/** Waits for all, also when one fails early: what is still running must not outlive the build. */
async function allSettled(work: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason
}

/** This first connection also warms the database up: it writes the cache file that later ones start from. */
async function writeIdentity(account: ServerAccount, id: string): Promise<void> {
  const client = await openConnection(account, leaseMs)
  try {
    await client.query('insert into tenants2fast.identity (database_id, epoch) values ($1, 1)', [id])
  } finally {
    // Nobody waits for the server's side of the end: the row is committed.
    void client.end().catch(() => {})
  }
}

/** Drops what a failed build may have made; what cannot be done now is left to the reconciler. */
async function giveUp({ records, admin, names, leaseOwner }: BuilderOptions, id: string): Promise<void> {
  try {
    const claimed = await records.claimForDrop(id, leaseOwner, leaseMs)
    // Not ours to drop when it became ready after all; when the row is gone, somebody took this build for dead.
    if (!claimed && (await records.find(id))) return
    await dropRoleAndDatabase(admin, names.tenantDatabase(id))
    await records.remove(id, leaseOwner)
  } catch {
    // Catalog or server cannot be reached: the lease ends now or by itself, and the reconciler finds the row.
    await records.endLease(id, leaseOwner).catch(() => {})
  }
}

/** Drops database and login role of that name, and looks that both are gone. */
export async function dropRoleAndDatabase(admin: SqlClient, name: string): Promise<void> {
  const identifier = quoteIdentifier(name)
  const creating = await admin.query(
    `select from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and starts_with(query, $1)`,
    [createDatabaseSql(name)],
  )
  // Its client is gone, and dropping now would drop nothing.
  if (creating.rowCount !== 0) throw new Error(`${name} is still being created`)
  await admin.query(`drop database if exists ${identifier} with (force)`)
  await admin.query(`drop role if exists ${identifier}`)
  const { rowCount } = await admin.query(
    'select from pg_database where datname = $1 union all select from pg_roles where rolname = $1',
    [name],
  )
  if (rowCount !== 0) throw new Error(`${name} is still there after it was dropped`)
}

function createDatabaseSql(name: string): string {
  return `create database ${quoteIdentifier(name)}`
}
