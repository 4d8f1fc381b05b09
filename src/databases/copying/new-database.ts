import { randomUUID } from 'node:crypto'
import type { Client } from 'pg'
import { v7 as uuidv7 } from 'uuid'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { TenantDatabase } from '../../core/model.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { tryLock } from '../../postgres/advisory-lock.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import { describeLedger } from '../../postgres/files/sql-files.js'
import { type BuilderOptions, createRoleAndDatabase, writeIdentity } from '../building/database-builder.js'
import { readDatabaseSettings } from '../building/database-settings.js'
import { applyTenantSchema, createBaseSchema, type TenantSchema } from '../building/tenant-schema.js'
import { dropTenantDatabase } from '../lifecycle/drop-database.js'
import { createExtensions } from '../owner/extensions.js'
import type { OwnerConnections } from '../owner/owner-connections.js'
import { openConnection, withConnectionInside } from '../server/admin-connection.js'
import { keepLease, leaseMs } from '../server/database-lease.js'
import { hardenDatabase } from '../server/hardening.js'
import { databaseLockKey } from '../server/lock-keys.js'

/** A database that is not in use, with our base schema, the application's schema, its role and its identity row. */
export interface NewDatabase {
  readonly id: string
  /** Name of the database and of its login role. */
  readonly name: string
  readonly epoch: 1
  /** The lease of its row, which is in state `building`: whoever assigns the database proves with it that it is still there. */
  readonly lease: string
  /** The provisioning account, inside of it. */
  readonly account: ServerAccount
  /** Runs `work` on a connection of its owner login, as the owner of the application's objects. */
  readonly withOwner: <Result>(work: (client: Client) => Promise<Result>) => Promise<Result>
}

/** What {@link withNewDatabase} makes. */
export interface NewDatabaseRequest {
  /** The application's schema; see {@link schemaUpTo}. */
  readonly schema: TenantSchema
  /** Connections of owner logins. */
  readonly owners: OwnerConnections
  /** Extensions that every tenant database has. */
  readonly extensions: readonly string[]
  /** Longest wait of a statement for a lock. Default: 2000. */
  readonly lockTimeoutMs?: number | undefined
  /** Whether functions that use up what the server shares are revoked from PUBLIC. Default: false. */
  readonly isHardened?: boolean | undefined
}

/** The schema as it was when `version` was its last file; -1: before the first one. */
export function schemaUpTo(schema: TenantSchema, version: number): TenantSchema {
  const files = schema.files.filter((file) => file.version <= version)
  return { ...schema, files, latest: describeLedger(files) }
}

/**
 * Makes an empty database at any version of the application's schema, not from the template, and runs `work` with it. Its row
 * is in state `building` meanwhile: if this process dies, the reconciler drops the database. When `work` is over, the
 * database is dropped, unless `work` has assigned it. Takes one connection for the lock.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_SCHEMA_FAILED, and what `work` throws
 */
export async function withNewDatabase<Result>(
  options: BuilderOptions,
  request: NewDatabaseRequest,
  work: (database: NewDatabase) => Promise<Result>,
): Promise<Result> {
  const { records, server, serverId, names } = options
  const id = uuidv7()
  const name = names.tenantDatabase(id)
  const lease = randomUUID()
  // A connection of its own: the work may take hours, and the pool is for builds.
  const session = await openConnection(server)
  try {
    if (!(await tryLock(session, databaseLockKey(options, id)))) throw new Error('the lock of this id is held')
    const build = { id, serverId, name, roleName: name, templateVersion: request.schema.version, lease, leaseMs }
    await records.beginBuild({ ...build, reservedFor: undefined, stockTarget: undefined })
    const stopRenewing = keepLease(records, id, lease)
    try {
      const account = { ...server, database: name }
      await makeDatabase(options, request, session, id)
      const withOwner: NewDatabase['withOwner'] = (inside) => request.owners.connect(rowOf(id, name), inside)
      return await work({ id, name, epoch: 1, lease, account, withOwner })
    } finally {
      stopRenewing()
    }
  } finally {
    await session.end()
    // Kept if it was assigned. If the drop fails, the row is still there, and the reconciler finds it.
    await dropTenantDatabase(options, id).catch(() => {})
  }
}

/** What owner connections know a database by. */
const rowOf = (id: string, name: string) => ({ id, name, roleName: name }) as TenantDatabase

async function makeDatabase(
  options: BuilderOptions,
  { schema, lockTimeoutMs, isHardened = false, owners, extensions }: NewDatabaseRequest,
  session: Parameters<typeof createRoleAndDatabase>[1],
  id: string,
): Promise<void> {
  const { names, server } = options
  const name = names.tenantDatabase(id)
  const account = { ...server, database: name }
  try {
    await createRoleAndDatabase(options, session, id, { name: 'template0', settings: [] })
    await withConnectionInside(account, async (client) => {
      await createBaseSchema(client, names)
      await createExtensions(client, extensions)
      if (isHardened) await hardenDatabase(client, names.members, names.owners)
      await applyTenantSchema(client, schema, {
        ...{ members: names.members, owners: names.owners, lockTimeoutMs },
        async withOwner(apply) {
          await owners.ensure(client, rowOf(id, name))
          await owners.connect(rowOf(id, name), apply)
        },
      })
      // Without files nobody has made it, and the data comes as it.
      await owners.ensure(client, rowOf(id, name))
    })
    // Settings that a new tenant does not get either.
    for (const setting of (await readDatabaseSettings(session, name)).refused) {
      await session.query(`alter database ${quoteIdentifier(name)} reset ${quoteIdentifier(setting)}`)
    }
    await writeIdentity(account, id)
  } catch (cause) {
    const known = findTenancyError(cause)
    if (known) throw known
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TenancyError('TENANCY_DATABASE_BUILD_FAILED', `The database ${name} could not be built: ${reason}`, {
      cause,
    })
  }
}
