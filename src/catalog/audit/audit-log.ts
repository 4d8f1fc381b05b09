import { z } from 'zod'
import type { SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { parse, schemaOf, tenant } from '../input.js'
import { anchorChains } from './anchors.js'
import { chainOf, installationChain } from './chains.js'
import { type AuditVerification, verifyChains } from './verification.js'
import { findTenant } from '../tenants/tenant-row.js'

/** One entry of the audit log. */
export interface AuditEntry {
  /** Its place in its chain: 1, 2, 3, … */
  readonly seq: number
  readonly at: Date
  /** Id of the user who did it; null: an operator of the installation, or the system itself. */
  readonly actorId: string | null
  /** null: it concerned the installation. */
  readonly tenantId: string | null
  /** `<what>.<verb>`, such as `role.grant`. */
  readonly action: string
  /** What was changed: `user:<id>`, `role:<id>`, `tenant:<id>`, `permission:<name>`, … */
  readonly subject: string | null
  readonly before: unknown
  readonly after: unknown
}

/** Which entries to list. */
export interface ListAuditOptions {
  /** Id (also of a tenant that is gone) or slug; null: the installation's entries. */
  readonly tenant: string | null
  /** `seq` of the last entry of the page before. Default: 0, from the start. */
  readonly after?: number | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** Which chains to verify. */
export interface VerifyAuditOptions {
  /** Id (also of a tenant that is gone) or slug: that tenant's chain; null: the installation's. Default: every chain. */
  readonly tenant?: string | null | undefined
}

const listOptions = schemaOf<ListAuditOptions>()(
  z.strictObject({
    tenant: tenant.nullable(),
    after: z.int().min(0).default(0),
    limit: z.int().min(1).max(1000).default(100),
  }),
)
const verifyOptions = schemaOf<VerifyAuditOptions>()(z.strictObject({ tenant: tenant.nullish() }))

/**
 * The audit log: append-only, each entry in the transaction of the change it tells of. The entries of a tenant form a
 * chain, and so do the installation's: a hash covers the entry and the hash before it.
 */
export interface AuditLog {
  /**
   * Lists entries in the order in which they were written. A page never skips an entry that is committed later.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND
   */
  list(options: ListAuditOptions): Promise<AuditEntry[]>
  /**
   * Computes every hash again and compares it. Finds entries that were changed, removed, inserted, reordered or cut off
   * around the database's triggers, and names the first bad one of each chain. Reads in batches, from one snapshot. A tenant's chain
   * that was removed or cut off together with its head shows by its anchors in the installation's chain; verify that one,
   * too (no `tenant`).
   *
   * It can't find what was forged throughout, heads and the installation's chain included, by somebody who writes the
   * catalog as its owner; nor what was cut off since the last anchor.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND
   */
  verify(options?: VerifyAuditOptions): Promise<AuditVerification>
  /**
   * Writes the heads of those tenants' chains that have grown into the installation's chain; returns how many. Every
   * process does it every hour, and a purge does it, too.
   */
  anchor(): Promise<number>
}

/** The audit log of the catalog. */
export function createAuditLog(catalog: SqlPool): AuditLog {
  // The chain of a tenant outlives it, so an id is taken as it is.
  const chainOfRef = async (ref: string | null): Promise<string> => {
    if (ref === null) return installationChain
    return isUuid(ref) ? ref.toLowerCase() : (await findTenant(catalog, ref)).id
  }
  return {
    async list(options) {
      const { tenant: ref, after, limit } = parse(listOptions, options)
      const { rows } = await catalog.query<AuditEntry>(
        `select seq::float8 as seq, at, actor_id as "actorId", tenant_id as "tenantId", action, subject, before, after
         from audit_log as entry
         where ${chainOf} = $1 and seq > $2 order by seq limit $3`,
        [await chainOfRef(ref), after, limit],
      )
      return rows
    },
    async verify(options = {}) {
      const { tenant: ref } = parse(verifyOptions, options)
      return verifyChains(catalog, ref === undefined ? undefined : await chainOfRef(ref))
    },
    anchor: () => anchorChains(catalog),
  }
}
