import { createHash } from 'node:crypto'
import type { SqlClient } from '../../../core/sql-client.js'
import { isUuid } from '../../../core/uuid.js'
import { noRole } from '../lookup.js'

/** A role as the catalog has it. */
export interface Role {
  readonly id: string
  /** null: a built-in role. */
  readonly tenantId: string | null
  readonly name: string
  readonly description: string
  readonly isActive: boolean
  /** Whether it ships with the access definition. */
  readonly isSystem: boolean
  /** Names of the permissions that it holds itself, active or not. */
  readonly permissions: readonly string[]
  /** Names of the roles that it includes itself, active or not. */
  readonly includes: readonly string[]
  /** Differs after every change of what is shown here; for an ETag. */
  readonly version: string
}

/** A row of {@link roleColumns}. */
export type RoleFacts = Omit<Role, 'version'>

/** Reads a row of `roles` as {@link RoleFacts}. */
export const roleColumns = `
  id, tenant_id as "tenantId", name, description, is_active as "isActive", is_system as "isSystem",
  array(
    select permissions.name from role_permissions join permissions on permissions.id = permission_id
    where role_id = roles.id order by permissions.name
  ) as permissions,
  array(
    select included.name from role_inclusions join roles as included on included.id = included_role_id
    where role_id = roles.id order by included.name
  ) as includes`

/** Makes a role of its row. */
export function toRole(facts: RoleFacts): Role {
  const { id, tenantId, name, description, isActive, isSystem, permissions, includes } = facts
  const shown = JSON.stringify([id, tenantId, name, description, isActive, isSystem, permissions, includes])
  return { ...facts, version: createHash('sha256').update(shown).digest('hex').slice(0, 32) }
}

/**
 * Reads a role by its exact name, or by its id: the tenant's own, or a built-in one.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_ROLE_NOT_FOUND
 */
export async function readRole(client: SqlClient, tenantId: string | null, nameOrId: string): Promise<Role> {
  const { rows } = await client.query<RoleFacts>(
    `select ${roleColumns} from roles
     where (tenant_id is null or tenant_id = $1) and case when $2::uuid is null then name = $3 else id = $2 end`,
    [tenantId, isUuid(nameOrId) ? nameOrId : null, nameOrId],
  )
  if (rows[0] === undefined) throw noRole(tenantId, nameOrId)
  return toRole(rows[0])
}
