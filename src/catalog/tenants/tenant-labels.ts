import { z } from 'zod'
import type { ActorOption } from '../../core/audit-actor.js'
import type { Tenant } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { commitChange } from '../access/lookup.js'
import { actor, parse, schemaOf, tenantRef } from '../input.js'
import { inOrder, inTransaction } from '../transaction.js'
import { findTenant, tenantList } from './tenant-row.js'

/** The labels that a tenant gets. */
export interface TenantLabelsInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** At most 50, each of 1 to 63 letters (A-Z, a-z), digits, `.`, `_` or `-`. They replace those that it has. */
  readonly labels: readonly string[]
}

/** Setting the labels of tenants. */
export interface TenantLabelling {
  /**
   * Replaces the labels of a tenant, in any status. The same labels again change nothing and leave no audit entry.
   * @throws TENANCY_TENANT_NOT_FOUND
   * @example
   * await tenancy.setTenantLabels({ tenant: 'acme', labels: ['beta', 'eu-west'] })
   * await tenancy.fleet.migrate({ label: 'beta' })
   */
  setTenantLabels(input: TenantLabelsInput): Promise<Tenant>
}

/** One label. */
export const tenantLabel = z
  .string('must be text')
  .regex(/^[A-Za-z0-9._-]{1,63}$/, 'must be 1 to 63 letters (A-Z, a-z), digits, ".", "_" or "-"')

/** Labels of a tenant; sorted by code units, each once. */
export const tenantLabels = z
  .array(tenantLabel, 'must be a list of labels')
  .max(50, 'must be at most 50 labels')
  .readonly()
  .transform((labels) => [...new Set(labels)].toSorted((a, b) => (a < b ? -1 : Number(a > b))))

const tenantLabelsInput = schemaOf<TenantLabelsInput>()(
  z.strictObject({ tenant: tenantRef, labels: tenantLabels, actor }),
)

/** Creates the function that sets labels. */
export function createTenantLabelling({ catalog }: { readonly catalog: SqlPool }): TenantLabelling {
  return {
    async setTenantLabels(input) {
      const { tenant, labels, actor: by } = parse(tenantLabelsInput, input)
      return inTransaction(catalog, async (client) => {
        const before = await findTenant(client, tenant, { lock: true })
        if (before.labels.join(' ') === labels.join(' ')) return before
        const scope = { actorId: by, tenantId: before.id }
        const subject = `tenant:${before.id}`
        const [{ rows }] = await inOrder([
          client.query<Tenant>(`update tenants set labels = $2 where id = $1 returning ${tenantList}`, [
            before.id,
            labels,
          ]),
          commitChange(client, scope, 'tenant.labels', subject, { labels: before.labels }, { labels }),
        ])
        return rows[0] as Tenant
      })
    },
  }
}
