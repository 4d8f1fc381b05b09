import { z } from 'zod'
import type { SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { name, parse, schemaOf, tenant, user } from '../input.js'
import { anchorChains } from './anchors.js'
import { chainOf, installationChain } from './chains.js'
import { type RecordAuditInput, recordInput } from './own-entries.js'
import {
  shownAddress,
  shownAfter,
  shownApiKey,
  shownBefore,
  shownImpersonation,
  shownIsPlatform,
  shownOperator,
  shownRequestId,
} from './shown-entry.js'
import { type AuditVerification, verifyChains } from './verification.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder, inTransaction } from '../transaction.js'

/** One entry of the audit log. */
export interface AuditEntry {
  /** Place in its chain: 1, 2, 3, … */
  readonly seq: number
  readonly at: Date
  /** Id of the user or service account that made the change; null: an operator of the installation, or the system itself. */
  readonly actorId: string | null
  /** null: the change concerned the installation. */
  readonly tenantId: string | null
  /** `<what>.<verb>`, such as `role.grant`; `app.…`: the application's own (see `record`). */
  readonly action: string
  /** The changed object: `user:<id>`, `role:<id>`, `tenant:<id>`, `permission:<name>`, … */
  readonly subject: string | null
  /** Of an erased user, names, addresses and subjects are gone: `erased: true` stands for them. */
  readonly before: unknown
  readonly after: unknown
  /** `user@host`, as the operating system names them, of a change at the command line; null: it was made elsewhere. */
  readonly operator: string | null
  /** Id of the API key that the change came with; `actorId` is then the service account. null: none. */
  readonly apiKey: string | null
  /** The id of the request that made the change, as log lines and problem documents show it; null: no request did. */
  readonly requestId: string | null
  /** The network address of whoever acted, over HTTP. null: not known, or erased with that user or service account. */
  readonly address: string | null
  /** Whether an administrator of the installation made the change over HTTP, with a token of the platform. */
  readonly isPlatform: boolean
  /** The administrator of the installation who acted as the user `actorId`, and the id of the impersonation; null: nobody did. */
  readonly impersonation: { readonly id: string; readonly administrator: string } | null
}

/** Where an entry was written. */
export interface RecordedEntry {
  /** Place in its chain: 1, 2, 3, … */
  readonly seq: number
  readonly at: Date
}

/** Which entries to list. */
export interface ListAuditOptions {
  /** Id (also of a deleted tenant that no longer exists) or slug; null: the installation's entries. */
  readonly tenant: string | null
  /** `seq` of the last entry of the page before. Default: 0, from the start. */
  readonly after?: number | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
  /** What the action begins with: `role.`, or a whole action. Default: any. */
  readonly action?: string | undefined
  /** Id of the user who made the change. Default: anybody. */
  readonly by?: string | undefined
  /** The earliest moment. Default: any. */
  readonly from?: Date | undefined
  /** The moment before which an entry was written. Default: any. */
  readonly to?: Date | undefined
}

/** Which entries to export: those of {@link ListAuditOptions}, in no pages. */
export interface ExportAuditOptions extends Omit<ListAuditOptions, 'limit'> {}

/** Which chains to verify. */
export interface VerifyAuditOptions {
  /** Id (also of a deleted tenant that no longer exists) or slug: that tenant's chain; null: the installation's. Default: every chain. */
  readonly tenant?: string | null | undefined
}

const exportFields = {
  tenant: tenant.nullable(),
  after: z.int().min(0).default(0),
  action: name.optional(),
  by: user.optional(),
  from: z.date().optional(),
  to: z.date().optional(),
}
const exportOptions = schemaOf<ExportAuditOptions>()(z.strictObject(exportFields))
const listOptions = schemaOf<ListAuditOptions>()(
  z.strictObject({ ...exportFields, limit: z.int().min(1).max(1000).default(100) }),
)
const verifyOptions = schemaOf<VerifyAuditOptions>()(z.strictObject({ tenant: tenant.nullish() }))

/**
 * The audit log. It is append-only, and each entry is written in the transaction of the change that it records. The entries
 * of a tenant form a chain, and so do the installation's: each hash covers the entry and the hash before it.
 */
export interface AuditLog {
  /**
   * Lists entries in the order in which they were written. A page never skips an entry that is committed later. Filters read
   * the chain from `after` on until the page is full.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND
   */
  list(options: ListAuditOptions): Promise<AuditEntry[]>
  /**
   * Reads all entries that are there now, in their order. They are read as they are taken, some hundreds in a query: nothing is
   * open in between, so that a slow reader holds no connection, and one that stops ends the reading. Entries that are
   * written meanwhile are left out. The iteration throws TENANCY_CATALOG_UNAVAILABLE where it cannot go on.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND
   * @example
   * for await (const entry of await tenancy.audit.export({ tenant: 'acme' })) file.write(`${JSON.stringify(entry)}\n`)
   */
  export(options: ExportAuditOptions): Promise<AsyncIterable<AuditEntry>>
  /**
   * Writes an entry of the application's own, chained and hashed as ours. Outside of the transactions of other functions, and of
   * transactions in tenants' databases. Returns its place in the chain.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND
   * @example
   * await tenancy.audit.record({ tenant: 'acme', action: 'app.invoice.sent', subject: 'invoice:42', data: { total: 100 }, actor: user.id })
   */
  record(input: RecordAuditInput): Promise<RecordedEntry>
  /**
   * Computes every hash again and compares it. Finds entries that were changed, removed, inserted, reordered or cut off
   * while the database's triggers were bypassed, and names the first bad entry of each chain. Reads in batches, from one
   * snapshot. If a tenant's chain was removed or cut off together with its head, only its anchors in the installation's
   * chain show it; so verify that chain as well (no `tenant`).
   *
   * It cannot detect a complete forgery, heads and the installation's chain included, by somebody who writes to the
   * catalog as its owner, nor entries that were cut off after the last anchor.
   * @throws TENANCY_REQUEST_INVALID, TENANCY_TENANT_NOT_FOUND
   */
  verify(options?: VerifyAuditOptions): Promise<AuditVerification>
  /**
   * Anchors each tenant's chain that has grown: writes its head into the installation's chain. Returns the number of
   * anchors. Every process does this every hour, and so does a purge.
   */
  anchor(): Promise<number>
}

/** Creates the audit log of the catalog. */
export function createAuditLog(catalog: SqlPool): AuditLog {
  // The chain of a tenant outlives the tenant, so an id is not looked up.
  const chainOfRef = async (ref: string | null): Promise<string> => {
    if (ref === null) return installationChain
    return isUuid(ref) ? ref.toLowerCase() : (await findTenant(catalog, ref)).id
  }
  return {
    async list(options) {
      const { tenant: ref, after, limit, ...filters } = parse(listOptions, options)
      const { rows } = await catalog.query<AuditEntry>(`${entriesQuery} order by seq limit $7`, [
        ...[await chainOfRef(ref), after, ...valuesOf(filters), limit],
      ])
      return rows
    },
    async export(options) {
      const { tenant: ref, after, ...filters } = parse(exportOptions, options)
      const chain = await chainOfRef(ref)
      const { rows } = await catalog.query<{ length: number }>(
        'select length::float8 as length from audit_chains where chain_id = $1',
        [chain],
      )
      return readAll(catalog, { chain, after, last: rows[0]?.length ?? 0, values: valuesOf(filters) })
    },
    async record(input) {
      const { tenant: ref, action, subject, data, actor } = parse(recordInput, input)
      return inTransaction(catalog, async (client) => {
        const tenantId = ref === undefined || ref === null ? null : (await findTenant(client, ref)).id
        const [{ rows }] = await inOrder([
          client.query<RecordedEntry>(
            `insert into audit_log (actor_id, tenant_id, action, subject, after) values ($1, $2, $3, $4, $5)
             returning seq::float8 as seq, at`,
            [actor ?? null, tenantId, action, subject ?? null, data ?? null],
          ),
          client.commit(),
        ])
        return rows[0] as RecordedEntry
      })
    },
    async verify(options = {}) {
      const { tenant: ref } = parse(verifyOptions, options)
      return verifyChains(catalog, ref === undefined ? undefined : await chainOfRef(ref))
    },
    anchor: () => anchorChains(catalog),
  }
}

const entriesQuery = `
  select seq::float8 as seq, at, actor_id as "actorId", tenant_id as "tenantId", action, subject,
    ${shownBefore} as before, ${shownAfter} as after, ${shownOperator} as operator, ${shownApiKey} as "apiKey",
    ${shownRequestId} as "requestId", ${shownAddress} as address, ${shownIsPlatform} as "isPlatform",
    ${shownImpersonation} as impersonation
  from audit_log as entry
  where ${chainOf} = $1 and seq > $2 and ($3::text is null or starts_with(action, $3))
    and ($4::uuid is null or actor_id = $4) and ($5::timestamptz is null or at >= $5)
    and ($6::timestamptz is null or at < $6)`

const valuesOf = ({ action, by, from, to }: Pick<ListAuditOptions, 'action' | 'by' | 'from' | 'to'>) => [
  ...[action ?? null, by ?? null, from ?? null, to ?? null],
]

/** Places of a chain that one query of an export looks at: its time and its answer are bounded, whatever the filters are. */
const windowSize = 250

/** The log is append-only: up to an entry, it reads the same in every query. */
async function* readAll(
  catalog: SqlPool,
  read: { readonly chain: string; readonly after: number; readonly last: number; readonly values: readonly unknown[] },
): AsyncGenerator<AuditEntry, void, undefined> {
  for (let after = read.after; after < read.last; after += windowSize) {
    const { rows } = await catalog.query<AuditEntry>(`${entriesQuery} and seq <= $7 order by seq`, [
      ...[read.chain, after, ...read.values, Math.min(after + windowSize, read.last)],
    ])
    yield* rows
  }
}
