import { randomUUID } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant, TenantStatus } from '../../core/model.js'
import { catalogStates, hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import type { SqlPool } from '../../core/sql-client.js'
import type { DatabaseSupply } from '../../core/tenants/tenant-databases.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { commitChange } from '../access/lookup.js'
import { parse, schemaOf, tenantRef } from '../input.js'
import { createTenantChanges, type TenantChanges } from './tenant-changes.js'
import { createSlugAliases, type SlugAliases } from './slug-aliases.js'
import { createSlugQueue } from './slug-queue.js'
import { createTenantDeletion, type TenantDeletion } from './tenant-deletion.js'
import {
  type NewTenantInput,
  type ParsedTenant,
  parseNewTenant,
  type TenantChangeInput,
  tenantChangeInput,
} from './tenant-input.js'
import { createTenantLabelling, tenantLabel, type TenantLabelling } from './tenant-labels.js'
import { findTenant, tenantList } from './tenant-row.js'
import { createTenantSearch, type TenantSearch } from './tenant-search.js'
import { inOrder, inTransaction } from '../transaction.js'

/** Which tenants to list. */
export interface ListTenantsOptions {
  /** Default: any. */
  readonly status?: TenantStatus | undefined
  /**
   * `true`: only tenants whose schema is older than this process demands, or not known yet. Deleted tenants are listed only
   * if `status` asks for them. Default: all.
   */
  readonly behind?: boolean | undefined
  /** Only tenants that have this label. Default: all. */
  readonly label?: string | undefined
  /** Id of the last tenant of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/**
 * The lifecycle of tenants. Every change is one transaction with its audit entry.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface Tenants extends TenantDeletion, TenantChanges, TenantLabelling, TenantSearch, SlugAliases {
  /**
   * Creates a tenant on a ready database. Its owner becomes a member with the role Owner.
   * @throws TENANCY_TENANT_INPUT_INVALID, TENANCY_TENANT_SLUG_INVALID, TENANCY_TENANT_SLUG_RESERVED,
   *   TENANCY_TENANT_SLUG_TAKEN, TENANCY_USER_NOT_FOUND (the owner: unknown or disabled), TENANCY_DATABASE_BUILD_FAILED
   */
  createTenant(input: NewTenantInput): Promise<Tenant>
  /** Finds a tenant by id, slug or former slug, in any status. @throws TENANCY_TENANT_NOT_FOUND */
  getTenant(tenant: string): Promise<Tenant>
  /** Lists tenants in the order of creation. @throws TENANCY_REQUEST_INVALID */
  listTenants(options?: ListTenantsOptions): Promise<Tenant[]>
  /**
   * Suspends an active tenant. Requests of its members are refused from then on.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT
   */
  suspendTenant(input: TenantChangeInput): Promise<Tenant>
  /** Ends a suspension. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT */
  reactivateTenant(input: TenantChangeInput): Promise<Tenant>
}

const listOptions = schemaOf<ListTenantsOptions>()(
  z.strictObject({
    status: z.enum(['active', 'suspended', 'deleted']).optional(),
    behind: z.boolean().optional(),
    label: tenantLabel.optional(),
    after: z.guid().optional(),
    limit: z.int().min(1).max(1000).default(100),
  }),
)

// Others may take a stock database between two attempts, but not a reserved one. The second attempt is for an expired lease.
const maxRounds = 3

/** Creates the service for tenants of the catalog. */
export function createTenants({
  catalog,
  databases,
  retentionDays = 30,
  aliasDays = 90,
}: {
  readonly catalog: SqlPool
  readonly databases: DatabaseSupply
  /** Days within which a deleted tenant can be restored. Default: 30. */
  readonly retentionDays?: number
  /** Days for which a renamed tenant keeps its old slug; 0: it does not. Default: 90. */
  readonly aliasDays?: number
}): Tenants {
  const slugs = createSlugQueue()

  const assign = async (input: ParsedTenant, version: string, reservation: string | null) => {
    const sql = `select ${tenantList} from create_tenant($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
    // One statement is one transaction: an error has undone it, so it may be sent again, as a read may.
    const { rows } = await queryAudited<Tenant>(catalog, sql, [
      uuidv7(),
      input.slug,
      input.name,
      input.contactEmail,
      input.maxUsers,
      input.owner,
      input.actor,
      version,
      reservation,
      input.labels,
    ]).catch((error: unknown) => explainRefusal(error, input))
    return rows[0]
  }

  const create = async (input: ParsedTenant): Promise<Tenant> => {
    const reservation = randomUUID()
    for (let round = 1; round <= maxRounds; round += 1) {
      const version = await databases.templateVersion()
      const tenant = await assign(input, version, reservation)
      if (tenant) {
        if (round === 1) databases.refill()
        return tenant
      }
      await databases.createTenantDatabase({ reservedFor: reservation })
    }
    throw new TenancyError(
      'TENANCY_DATABASE_BUILD_FAILED',
      `No database could be kept for the tenant "${input.slug}": try again`,
    )
  }

  const change = (
    from: TenantStatus,
    to: TenantStatus,
    action: string,
    assignments: string,
  ): ((input: TenantChangeInput) => Promise<Tenant>) => {
    return async (input) => {
      const { tenant, actor } = parse(tenantChangeInput, input)
      return inTransaction(catalog, async (client) => {
        const before = await findTenant(client, tenant, { lock: true })
        if (before.status !== from) {
          throw new TenancyError(
            'TENANCY_TENANT_STATE_CONFLICT',
            `The tenant "${before.slug}" is ${before.status}: only from ${from} can it become ${to}`,
          )
        }
        const scope = { actorId: actor, tenantId: before.id }
        const [{ rows }] = await inOrder([
          client.query<Tenant>(`update tenants set status = $2, ${assignments} where id = $1 returning ${tenantList}`, [
            before.id,
            to,
          ]),
          commitChange(client, scope, action, `tenant:${before.id}`, { status: before.status }, { status: to }),
        ])
        return rows[0] as Tenant
      })
    }
  }

  return {
    async createTenant(input) {
      const parsed = parseNewTenant(input)
      // One at a time for each slug, so that a hundred creators of one slug do not build a hundred databases.
      return slugs.run(parsed.slug, () => create(parsed))
    },

    getTenant: async (tenant) => findTenant(catalog, parse(tenantRef, tenant, 'tenant')),

    async listTenants(options = {}) {
      const { status, behind = false, label, after, limit } = parse(listOptions, options)
      const { rows } = await catalog.query<Tenant>(
        `select ${tenantList} from tenants
         where ($1::text is null or status = $1) and ($2::uuid is null or id > $2)
           and ($4::bigint is null or ((status <> 'deleted' or $1 = 'deleted') and database_id in (
             select id from tenant_databases where coalesce(schema_version < $4, $4 > -1))))
           and ${label === undefined ? '$5::text is null' : 'labels @> array[$5::text]'}
         order by id limit $3`,
        [status ?? null, after ?? null, limit, behind ? await databases.schemaVersion() : null, label ?? null],
      )
      return rows
    },

    suspendTenant: change('active', 'suspended', 'tenant.suspend', 'suspended_at = now()'),
    reactivateTenant: change('suspended', 'active', 'tenant.reactivate', 'suspended_at = null'),
    ...createTenantSearch({ catalog }),
    ...createSlugAliases({ catalog }),
    ...createTenantChanges({ catalog, aliasDays }),
    ...createTenantLabelling({ catalog }),
    ...createTenantDeletion({ catalog, databases, retentionDays }),
  }
}

function explainRefusal(error: unknown, { slug, owner }: ParsedTenant): never {
  const { constraint } = error as { constraint?: unknown }
  if (hasSqlState(error, sqlStates.uniqueViolation) && constraint === 'tenants_slug_key') {
    throw new TenancyError('TENANCY_TENANT_SLUG_TAKEN', `The slug "${slug}" is taken: choose another`)
  }
  if (hasSqlState(error, catalogStates.ownerUnknown)) {
    throw new TenancyError(
      'TENANCY_USER_NOT_FOUND',
      `The owner ${owner} does not exist or is disabled: check the user id`,
    )
  }
  throw error
}
