import type { Client } from 'pg'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import type { DatabaseNames } from '../database-names.js'
import { databaseComment } from '../ownership.js'
import { openInside, withConnectionInside } from '../server/admin-connection.js'
import type { AdminRights } from '../server/admin-rights.js'
import { deriveOwnerPassword } from '../server/role-password.js'
import { ensureOwnerLogin, restoreOwnerLogin } from './owner-login.js'

/** What {@link createOwnerConnections} needs. */
export interface OwnerConnectionsOptions {
  /** The server itself, not a pooler; the account's `database` is the catalog. */
  readonly server: ServerAccount
  /** Connections of the provisioning account. */
  readonly admin: SqlClient
  readonly names: DatabaseNames
  readonly secret: Buffer
  readonly installationId: () => Promise<string>
  readonly rights: () => Promise<AdminRights>
}

/** Connections of the owner logins of one server's tenant databases. */
export interface OwnerConnections {
  /** The account of a database's owner login. */
  accountOf(database: Pick<TenantDatabase, 'id' | 'name'>): ServerAccount
  /** Makes the login, or what is missing of it. `client`: of the provisioning account, inside, under the database's lock. */
  ensure(client: SqlClient, database: TenantDatabase): Promise<void>
  /**
   * Opens a connection of the login, with the settings that it gives itself in its database. The caller restores it.
   * @throws what PostgreSQL says, such as when the login does not exist yet
   */
  open(database: Pick<TenantDatabase, 'id' | 'name'>, applicationName: string): Promise<Client>
  /** Undoes what was done to the login. */
  restore(database: Pick<TenantDatabase, 'id' | 'name'>): Promise<void>
  /** Runs `work` on a connection of the login, which takes on the group of owners; then undoes what it did to the login. */
  connect<Result>(
    database: TenantDatabase,
    work: (client: Client) => Promise<Result>,
    /** `application_name`. Default: that of the server's account. */
    applicationName?: string,
  ): Promise<Result>
}

/** The owner connections of one server. Each is opened for one piece of work. */
export function createOwnerConnections(options: OwnerConnectionsOptions): OwnerConnections {
  const { server, admin, names, secret, installationId, rights } = options
  const accountOf: OwnerConnections['accountOf'] = ({ id, name }) => ({
    ...server,
    user: names.ownerLogin(name),
    password: deriveOwnerPassword(secret, id),
    database: name,
  })
  const loginOf = (database: Pick<TenantDatabase, 'id' | 'name'>) => {
    const { user: name, password } = accountOf(database)
    return { name, password }
  }
  // The next use of the login would do it, too.
  const restore: OwnerConnections['restore'] = async (database) =>
    restoreOwnerLogin(admin, loginOf(database), await rights()).catch(() => {})
  return {
    accountOf,
    open: (database, applicationName) => openInside({ ...accountOf(database), applicationName }),
    restore,
    async ensure(client, database) {
      const comment = databaseComment(await installationId())
      await ensureOwnerLogin(client, loginOf(database), { rights: await rights(), owners: names.owners, comment })
    },
    async connect(database, work, applicationName) {
      const account = accountOf(database)
      const named = applicationName === undefined ? account : { ...account, applicationName }
      const owners = quoteIdentifier(names.owners)
      try {
        return await withConnectionInside(named, async (client) => {
          await client.query(`set role ${owners}`)
          return work(client)
        })
      } finally {
        await restore(database)
      }
    },
  }
}
