import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant } from '../../core/model.js'
import { parseSlug } from '../../core/tenants/slug.js'
import type { SqlPool } from '../../core/sql-client.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { commitChange } from '../access/lookup.js'
import { actor, parse, schemaOf, tenantRef } from '../input.js'
import { inOrder, inTransaction } from '../transaction.js'
import { keepAlias, requireRoomForAlias } from './slug-aliases.js'
import { type TenantChangeInput, tenantFacts } from './tenant-input.js'
import { findTenant, tenantList } from './tenant-row.js'

/** Facts of a tenant to change. What is not given stays. */
export interface TenantUpdateInput extends TenantChangeInput {
  /** Display name: one line of 1 to 200 characters, without surrounding spaces. */
  readonly name?: string | undefined
  /** At most 320 characters; null: none. */
  readonly contactEmail?: string | null | undefined
  /** Largest number of members, from 1; null: no limit. Members beyond a new limit stay, and nobody can be added. */
  readonly maxUsers?: number | null | undefined
  /** `updatedAt` of the tenant as it was read: whoever changed it since then is not overwritten. Default: not compared. */
  readonly ifUpdatedAt?: Date | undefined
}

/** A tenant to rename. */
export interface TenantRenameInput extends TenantChangeInput {
  /** The new slug: 3 to 40 characters, `[a-z][a-z0-9-]{1,38}[a-z0-9]`, not a reserved one; unique. */
  readonly slug: string
}

/** Changes what a tenant is called. Every change is one transaction with its audit entry. */
export interface TenantChanges {
  /**
   * Changes facts of a tenant that is not deleted. What is the same already is no change.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (deleted), TENANCY_CHANGE_OUTDATED (`ifUpdatedAt`)
   */
  updateTenant(input: TenantUpdateInput): Promise<Tenant>
  /**
   * Gives a tenant that is not deleted another slug; the id stays, and the database is not touched. For
   * `TENANT_SLUG_ALIAS_DAYS` (90) the old slug names the same tenant, in requests and for functions, and only this tenant
   * may take it again. A tenant with 10 former slugs is renamed no further. With 0 days, requests that name the old slug are refused from
   * then on, in each process within `TENANT_MAX_STALENESS_MS`, and another tenant may take it.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (deleted), TENANCY_TENANT_SLUG_INVALID,
   *   TENANCY_TENANT_SLUG_RESERVED, TENANCY_TENANT_SLUG_TAKEN
   */
  renameTenant(input: TenantRenameInput): Promise<Tenant>
}

const { name, contactEmail, maxUsers } = tenantFacts
const updateInput = schemaOf<TenantUpdateInput>()(
  z.strictObject({
    ...{ tenant: tenantRef, name: name.optional(), contactEmail, maxUsers, actor },
    ifUpdatedAt: z.date().optional(),
  }),
)
const renameInput = schemaOf<TenantRenameInput>()(
  z.strictObject({ tenant: tenantRef, slug: z.string('must be text'), actor }),
)

/** Options of {@link createTenantChanges}. */
export interface TenantChangesOptions {
  readonly catalog: SqlPool
  /** Days for which a former slug is kept; 0: it is not. */
  readonly aliasDays: number
}

/** Creates the service that changes facts of tenants. */
export function createTenantChanges({ catalog, aliasDays }: TenantChangesOptions): TenantChanges {
  /** Writes what differs; the columns are those of `tenants`. */
  const change = async (
    { tenant, actor: by }: TenantChangeInput,
    action: string,
    wanted: Partial<Pick<Tenant, 'slug' | 'name' | 'contactEmail' | 'maxUsers'>>,
    ifUpdatedAt?: Date,
  ): Promise<Tenant> =>
    inTransaction(catalog, async (client) => {
      const before = await findTenant(client, tenant, { lock: true })
      if (before.status === 'deleted') {
        throw new TenancyError(
          'TENANCY_TENANT_STATE_CONFLICT',
          `The tenant "${before.slug}" is deleted: undelete it first`,
        )
      }
      if (ifUpdatedAt !== undefined && before.updatedAt.getTime() !== ifUpdatedAt.getTime()) {
        throw new TenancyError('TENANCY_CHANGE_OUTDATED')
      }
      const given = Object.entries(wanted).filter(
        ([key, value]) => value !== undefined && value !== before[key as 'slug'],
      )
      if (given.length === 0) return before
      const changed = Object.fromEntries(given)
      const after: Tenant = { ...before, ...changed }
      const earlier = Object.fromEntries(given.map(([key]) => [key, before[key as 'slug']]))
      if (after.slug !== before.slug && aliasDays > 0) await requireRoomForAlias(client, before.id, after.slug)
      const [{ rows }] = await inOrder([
        client.query<Tenant>(
          `update tenants set slug = $2, name = $3, contact_email = $4, max_users = $5 where id = $1 returning ${tenantList}`,
          [before.id, after.slug, after.name, after.contactEmail, after.maxUsers],
        ),
        after.slug === before.slug ? undefined : keepAlias(client, before.id, before.slug, aliasDays),
        commitChange(client, { actorId: by, tenantId: before.id }, action, `tenant:${before.id}`, earlier, changed),
      ])
      return rows[0] as Tenant
    })

  return {
    async updateTenant(input) {
      const { name: newName, contactEmail: contact, maxUsers: most, ifUpdatedAt, ...which } = parse(updateInput, input)
      const wanted = {
        ...(newName === undefined ? {} : { name: newName }),
        ...(contact === undefined ? {} : { contactEmail: contact }),
        ...(most === undefined ? {} : { maxUsers: most }),
      }
      return change(which, 'tenant.update', wanted, ifUpdatedAt)
    },
    async renameTenant(input) {
      const { slug, ...which } = parse(renameInput, input)
      return change(which, 'tenant.rename', { slug: parseSlug(slug) }).catch((error: unknown) => {
        if (!hasSqlState(error, sqlStates.uniqueViolation)) throw error
        throw new TenancyError('TENANCY_TENANT_SLUG_TAKEN', `The slug "${slug}" is taken: choose another`)
      })
    },
  }
}
