import { TenancyError } from '../../../core/errors/errors.js'
import { hasSqlState, sqlStates } from '../../../postgres/outages/sql-states.js'
import type { SqlClient, SqlPool } from '../../../core/sql-client.js'
import { refuseToGiveMore } from '../authority.js'
import { createChange, type Scope } from '../../change.js'
import { parse } from '../../input.js'
import { commitChange, findPermission, findRole, findRoleToChange, type RoleRow } from '../lookup.js'
import {
  newRoleInput,
  type NewRoleInput,
  roleActiveInput,
  type RoleActiveInput,
  roleGrantInput,
  type RoleGrantInput,
  roleInclusionInput,
  type RoleInclusionInput,
  roleKeyInput,
  type RoleKeyInput,
  roleListInput,
  type RoleListInput,
  roleReadInput,
  type RoleReadInput,
  roleUpdateInput,
  type RoleUpdateInput,
} from './role-inputs.js'
import { refuseLookalike, takeNames } from './role-names.js'
import { readRole, type Role, roleColumns, type RoleFacts, toRole } from './role-row.js'
import { findTenant } from '../../tenants/tenant-row.js'
import { inOrder } from '../../transaction.js'

/**
 * Changes built-in roles and a tenant's own roles. A tenant can change its own only. Names of roles match by exact spelling.
 *
 * Every change of an existing role throws TENANCY_ACCESS_CHANGE_REFUSED for an actor who does not hold everything
 * that the role grants, unless the actor is an Owner.
 */
export interface RoleAdministration {
  /**
   * Creates a role that grants nothing yet. No tenant's own role may read like a built-in one; one that has the name of a new
   * built-in role gets a number at its end, and goes on as it was.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_EXISTS, TENANCY_ACCESS_GRANT_REFUSED (no active member)
   */
  createRole(input: NewRoleInput): Promise<Role>
  /**
   * Renames or describes a role, or switches it on or off, as `setRoleActive` does.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED,
   *   TENANCY_ACCESS_ROLE_EXISTS, TENANCY_ACCESS_GRANT_REFUSED, TENANCY_CHANGE_OUTDATED (`version`)
   */
  updateRole(input: RoleUpdateInput): Promise<Role>
  /**
   * Activates or deactivates a role. An inactive role grants nothing, neither itself nor by the roles that it includes.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED (also: Owner),
   *   TENANCY_ACCESS_GRANT_REFUSED
   */
  setRoleActive(input: RoleActiveInput): Promise<void>
  /**
   * Deletes a role. Its holders lose it.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED (also: Owner)
   */
  deleteRole(input: RoleKeyInput): Promise<void>
  /**
   * Grants a permission to a role.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED,
   *   TENANCY_ACCESS_PERMISSION_NOT_FOUND, TENANCY_ACCESS_GRANT_REFUSED
   */
  grantPermission(input: RoleGrantInput): Promise<void>
  /**
   * Revokes a permission from a role.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED,
   *   TENANCY_ACCESS_PERMISSION_NOT_FOUND
   */
  revokePermission(input: RoleGrantInput): Promise<void>
  /**
   * Makes a role include another one, and so grant what that one grants.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED,
   *   TENANCY_ACCESS_ROLE_CYCLE, TENANCY_ACCESS_GRANT_REFUSED
   */
  includeRole(input: RoleInclusionInput): Promise<void>
  /**
   * Ends an inclusion.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED
   */
  excludeRole(input: RoleInclusionInput): Promise<void>
  /** Reads a role, built in or the tenant's own. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND */
  getRole(input: RoleReadInput): Promise<Role>
  /** Lists the built-in roles and the tenant's own, by name. @throws TENANCY_TENANT_NOT_FOUND */
  listRoles(input: RoleListInput): Promise<Role[]>
}

/**
 * The services that change roles.
 *
 * @param changed is told the tenant whose roles a call may have changed, by id; null: the built-in roles
 */
export function createRoles(pool: SqlPool, changed?: (tenantId: string | null) => void): RoleAdministration {
  const change = createChange(pool, changed)
  return {
    createRole: change.ofEither(newRoleInput, async (client, input, scope) => {
      await inOrder([refuseToGiveMore(client, scope, {}), settleName(client, scope, input.name)])
      const { rows } = await client
        .query<RoleFacts>(
          `insert into roles (tenant_id, name, description) values ($1, $2, $3) returning ${roleColumns}`,
          [scope.tenantId, input.name, input.description],
        )
        .catch((error: unknown) => explainTakenName(error, input.name))
      const role = toRole(rows[0] as RoleFacts)
      const after = { name: role.name, description: role.description }
      await commitChange(client, scope, 'role.create', `role:${role.id}`, null, after)
      return role
    }),

    updateRole: change.ofEither(roleUpdateInput, async (client, input, scope) => {
      const [role, before] = await inOrder([
        findRoleToChange(client, scope, input.role),
        readRole(client, scope.tenantId, input.role),
      ])
      if (input.version !== undefined && input.version !== before.version) {
        throw new TenancyError('TENANCY_CHANGE_OUTDATED', `The role "${role.name}" has changed since it was read`)
      }
      const { name: newName = role.name, description: text = role.description, isActive = role.is_active } = input
      const isSwitched = isActive !== role.is_active
      const isDescribed = newName !== role.name || text !== role.description
      if (!isSwitched && !isDescribed) return before
      if (newName !== role.name) protectOwner(role, 'renamed')
      await inOrder([
        newName === role.name ? undefined : settleName(client, scope, newName),
        isSwitched ? allowSwitch(client, scope, role, isActive) : undefined,
      ])
      const earlier = {
        ...(isDescribed ? { name: role.name, description: role.description } : {}),
        ...(isSwitched ? { isActive: role.is_active } : {}),
      }
      const after = {
        ...(isDescribed ? { name: newName, description: text } : {}),
        ...(isSwitched ? { isActive } : {}),
      }
      const updated = client.query<RoleFacts>(
        `update roles set name = $2, description = $3, is_active = $4 where id = $1 returning ${roleColumns}`,
        [role.id, newName, text, isActive],
      )
      const [{ rows }] = await inOrder([
        updated.catch((error: unknown) => explainTakenName(error, newName)),
        commitChange(client, scope, 'role.update', `role:${role.id}`, earlier, after),
      ])
      return toRole(rows[0] as RoleFacts)
    }),

    setRoleActive: change.ofEither(roleActiveInput, async (client, { role: roleName, isActive }, scope) => {
      const role = await findRoleToChange(client, scope, roleName)
      if (role.is_active === isActive) return
      await allowSwitch(client, scope, role, isActive)
      await inOrder([
        client.query('update roles set is_active = $2 where id = $1', [role.id, isActive]),
        commitChange(client, scope, 'role.update', `role:${role.id}`, { isActive: !isActive }, { isActive }),
      ])
    }),

    deleteRole: change.ofEither(roleKeyInput, async (client, input, scope) => {
      const role = await findRoleToChange(client, scope, input.role)
      protectOwner(role, 'deleted')
      const { version: _, ...before } = await readRole(client, scope.tenantId, role.id)
      await inOrder([
        client.query('delete from roles where id = $1', [role.id]),
        commitChange(client, scope, 'role.delete', `role:${role.id}`, before, null),
      ])
    }),

    grantPermission: change.ofEither(roleGrantInput, async (client, input, scope) => {
      const [role, permission] = await inOrder([
        findRoleToChange(client, scope, input.role),
        findPermission(client, input.permission),
        refuseToGiveMore(client, scope, { permissions: [input.permission] }),
      ])
      const { rowCount } = await client.query(
        'insert into role_permissions (role_id, permission_id) values ($1, $2) on conflict do nothing',
        [role.id, permission.id],
      )
      if (rowCount === 0) return
      await commitChange(client, scope, 'role.grant', `role:${role.id}`, null, { permission: permission.name })
    }),

    revokePermission: change.ofEither(roleGrantInput, async (client, input, scope) => {
      const [role, permission] = await inOrder([
        findRoleToChange(client, scope, input.role),
        findPermission(client, input.permission),
      ])
      const { rowCount } = await client.query(
        'delete from role_permissions where role_id = $1 and permission_id = $2',
        [role.id, permission.id],
      )
      if (rowCount === 0) return
      await commitChange(client, scope, 'role.revoke', `role:${role.id}`, { permission: permission.name }, null)
    }),

    includeRole: change.ofEither(roleInclusionInput, async (client, input, scope) => {
      const [role, included] = await inOrder([
        findRoleToChange(client, scope, input.role),
        findRole(client, scope.tenantId, input.included, { lock: true }),
        refuseToGiveMore(client, scope, { roles: [input.included] }),
      ])
      const { rowCount } = await client
        .query('insert into role_inclusions (role_id, included_role_id) values ($1, $2) on conflict do nothing', [
          role.id,
          included.id,
        ])
        .catch((error: unknown) => explainCycle(error, input.role, input.included))
      if (rowCount === 0) return
      await commitChange(client, scope, 'role.include', `role:${role.id}`, null, { included: included.name })
    }),

    excludeRole: change.ofEither(roleInclusionInput, async (client, input, scope) => {
      const [role, included] = await inOrder([
        findRoleToChange(client, scope, input.role),
        findRole(client, scope.tenantId, input.included),
      ])
      const { rowCount } = await client.query(
        'delete from role_inclusions where role_id = $1 and included_role_id = $2',
        [role.id, included.id],
      )
      if (rowCount === 0) return
      await commitChange(client, scope, 'role.exclude', `role:${role.id}`, { included: included.name }, null)
    }),

    async getRole(input) {
      const { tenant: ref, role } = parse(roleReadInput, input)
      const tenantId = ref === null ? null : (await findTenant(pool, ref)).id
      return readRole(pool, tenantId, role)
    },

    async listRoles(input) {
      const { tenant: ref, after = null, limit = null } = parse(roleListInput, input)
      const tenantId = ref === null ? null : (await findTenant(pool, ref)).id
      const { rows } = await pool.query<RoleFacts>(
        `select ${roleColumns} from roles
         where (tenant_id is null or tenant_id = $1) and ($2::text is null or name > $2) order by name, id limit $3`,
        [tenantId, after, limit],
      )
      return rows.map(toRole)
    },
  }
}

/** Decides whether a role may be switched on (that grants what it holds) or off. */
async function allowSwitch(client: SqlClient, scope: Scope, role: RoleRow, isActive: boolean): Promise<void> {
  if (isActive) await refuseToGiveMore(client, scope, { roles: [role.name] })
  else protectOwner(role, 'switched off')
}

/** Refuses a name that reads like a built-in role, or has tenants' roles give way to a built-in one. */
async function settleName(client: SqlClient, scope: Scope, name: string): Promise<void> {
  await (scope.tenantId === null ? takeNames(client, scope, [name]) : refuseLookalike(client, scope, name))
}

/** Protects the role Owner: every tenant must keep an Owner, and without the role no tenant would have one. */
function protectOwner(role: RoleRow, what: string): void {
  if (role.tenant_id !== null || role.name !== 'Owner') return
  throw new TenancyError('TENANCY_ACCESS_ROLE_PROTECTED', `The role "Owner" can't be ${what}: every tenant needs it`)
}

function explainTakenName(error: unknown, roleName: string): never {
  if (!hasSqlState(error, sqlStates.uniqueViolation)) throw error
  const message = `There is a role "${roleName}" already, built in or the tenant's own (case does not count)`
  throw new TenancyError('TENANCY_ACCESS_ROLE_EXISTS', message, { cause: error })
}

function explainCycle(error: unknown, role: string, included: string): never {
  if ((error as { constraint?: unknown }).constraint !== 'role_inclusions_no_cycle') throw error
  const message = `The role "${role}" can't include "${included}", which is or includes "${role}" itself`
  throw new TenancyError('TENANCY_ACCESS_ROLE_CYCLE', message, { cause: error })
}
