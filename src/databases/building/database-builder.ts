import { randomUUID } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import type { AppliedFiles } from '../../core/tenants/tenant-databases.js'
import { insideSettings, openConnection } from '../server/admin-connection.js'
import { type AdminRights, joinRole, needsMembership } from '../server/admin-rights.js'
import { keepLease, leaseMs } from '../server/database-lease.js'
import { lockDatabase } from '../server/database-lock.js'
import { type DropOptions, dropTenantDatabase } from '../lifecycle/drop-database.js'
import { databaseLockKey } from '../server/lock-keys.js'
import { databaseComment } from '../ownership.js'
import { tempFileLimitSql } from '../server/temp-file-limit.js'
import { deriveRolePassword, scramVerifier } from '../server/role-password.js'
import { databaseSettingsSql } from './database-settings.js'
import type { Template } from './template.js'
import { databasePrivileges, membership } from './tenant-privileges.js'

/** What a build needs. */
export interface BuilderOptions extends DropOptions {
  readonly server: ServerAccount
  readonly serverId: string
  readonly rights: AdminRights
  readonly roleConnectionLimit?: number | undefined
  /** Most temporary files of one session, in MB; 0: no limit. */
  readonly tempFileLimitMb?: number
}

/** The database that a build makes. */
export interface BuildRequest {
  readonly template: Template
  readonly templateVersion: string
  /** The state of the template's ledger. */
  readonly schema: AppliedFiles
  readonly reservedFor?: string | undefined
  readonly stockTarget?: number | undefined
}

const reservedMs = 60_000

// The steps of a build need not be on disk one by one. The catalog is on the same server, whose log (WAL) is written in order:
// a server that crashes loses the last steps of a build, and what is left is a build that ended earlier. CREATE DATABASE
// waits for the disk by itself, and with it for the row that was committed before; `markReady` waits for all steps.
const withoutFlush = 'set local synchronous_commit = off'

/**
 * Builds one tenant database. Its row is committed before the DDL, so that no database is on the server without a row. A
 * database that is returned is on disk.
 *
 * @returns the ready database; undefined when the stock was full
 * @throws {@link TenancyError} TENANCY_DATABASE_BUILD_FAILED; the database is dropped, or left to the reconciler
 */
export async function buildTenantDatabase(
  options: BuilderOptions,
  request: BuildRequest,
): Promise<TenantDatabase | undefined> {
  const id = uuidv7()
  const name = options.names.tenantDatabase(id)
  try {
    return await buildUnderLock(options, request, id, name)
  } catch (cause) {
    // If the drop fails, the row is still there, and the reconciler finds it.
    await dropTenantDatabase(options, id).catch(() => {})
    throw new TenancyError(
      'TENANCY_DATABASE_BUILD_FAILED',
      `The tenant database ${name} could not be built: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}

async function buildUnderLock(
  options: BuilderOptions,
  { template, templateVersion, schema, reservedFor, stockTarget }: BuildRequest,
  id: string,
  name: string,
): Promise<TenantDatabase | undefined> {
  const { admin, records, serverId } = options
  // Before the row can be seen: a row whose lock is free is the build of a dead process.
  const session = await lockDatabase(admin, databaseLockKey(options, id))
  if (!session) throw new Error('another session holds the lock of this database id')
  const lease = randomUUID()
  const stopRenewing = keepLease(records, id, lease)
  try {
    const begun = await records.beginBuild({
      id,
      serverId,
      name,
      roleName: name,
      templateVersion,
      lease,
      leaseMs,
      reservedFor,
      stockTarget,
    })
    if (!begun) return undefined
    await createRoleAndDatabase(options, session, id, template)
    await writeIdentity({ ...options.server, database: name }, id)
    const ready = await records.markReady(id, lease, reservedMs, schema)
    if (!ready) throw new Error('the build took longer than its lease')
    return ready
  } finally {
    stopRenewing()
    await session.release()
  }
}

/**
 * Makes the login role and the database of an id, with their privileges and settings. The row is there, and the database has no
 * identity row yet.
 *
 * @param session holds the database's lock
 */
export async function createRoleAndDatabase(
  { names, secret, installationId, rights, roleConnectionLimit = -1, tempFileLimitMb = 0 }: BuilderOptions,
  session: SqlClient,
  id: string,
  template: Pick<Template, 'name' | 'settings'>,
): Promise<void> {
  const databaseName = names.tenantDatabase(id)
  // The role has the database's name.
  const name = quoteIdentifier(databaseName)
  const comment = quoteLiteral(databaseComment(installationId))
  const verifier = scramVerifier(deriveRolePassword(secret, id))
  await session.query(
    `${withoutFlush};
     create role ${name} login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls
       connection limit ${roleConnectionLimit} password ${quoteLiteral(verifier)};
     ${membership(databaseName, names.members)};
     comment on role ${name} is ${comment}`,
  )
  if (needsMembership(rights)) await joinRole(session, databaseName)
  // No connections until PUBLIC has lost CONNECT. Of the strategies, wal_log copies a small template fastest.
  await session.query(
    `create database ${name} template ${quoteIdentifier(template.name)} strategy wal_log allow_connections false`,
  )
  const isLimited = rights.isSuperuser && tempFileLimitMb > 0
  await session.query(
    `${withoutFlush};
     ${isLimited ? `${tempFileLimitSql(databaseName, tempFileLimitMb)};` : ''}
     comment on database ${name} is ${comment};
     ${databasePrivileges(databaseName, databaseName, names)};
     ${databaseSettingsSql(databaseName, template.settings)}
     alter database ${name} allow_connections true`,
  )
}

/** Writes the identity row. This first connection also writes the relation cache file that later connections read. */
export async function writeIdentity(account: ServerAccount, id: string): Promise<void> {
  const client = await openConnection(account, leaseMs, `${insideSettings} -c synchronous_commit=off`)
  try {
    await client.query('insert into tenants2fast.identity (database_id, epoch) values ($1, 1)', [id])
  } finally {
    // Not awaited: the row is committed.
    void client.end().catch(() => {})
  }
}
