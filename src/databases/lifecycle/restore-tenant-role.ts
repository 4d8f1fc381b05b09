import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import { restorePrivileges } from '../building/restore-privileges.js'
import type { GroupRoles } from '../building/tenant-privileges.js'
import { withConnectionInside } from '../server/admin-connection.js'
import { restoreRole, type RoleChange } from '../server/restore-role.js'

/** What {@link restoreTenantRole} needs. */
export interface RestoreTenantRoleOptions {
  /** Connections of the provisioning account. */
  readonly admin: SqlClient
  /** The provisioning account. */
  readonly server: ServerAccount
  readonly groups: GroupRoles
}

/**
 * Makes a tenant's login role what the builder made it: password, settings, privileges in its database.
 *
 * @param password of the role
 * @returns what was changed; empty when nothing was
 */
export async function restoreTenantRole(
  { admin, server, groups }: RestoreTenantRoleOptions,
  database: TenantDatabase,
  password: string,
): Promise<readonly (RoleChange | 'privileges')[]> {
  const account = { ...server, user: database.roleName, password, database: database.name }
  const changes = await restoreRole(admin, account)
  const isRestored = await withConnectionInside({ ...server, database: database.name }, (client) =>
    restorePrivileges(client, database, groups),
  ).catch((error: unknown) => {
    // The role was changed all the same, which the caller has to know.
    if (changes.length === 0) throw error
    return false
  })
  return isRestored ? [...changes, 'privileges'] : changes
}
