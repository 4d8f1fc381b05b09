import { z } from 'zod'
import type { MemberRecord } from '../../core/access/access.js'
import { type Column, type Columns, namesOf, type PartOf, partOf } from '../../core/columns.js'
import { membershipColumns, tenantColumns } from '../../core/model.js'

/** Where in the shared tier a member is found: who, where, and at which epochs. */
export interface MemberAddress {
  readonly userId: string
  readonly tenantId: string
  /** `users.access_epoch`, `tenants.access_epoch` and `installation.rules_epoch`. */
  readonly user: number
  readonly tenant: number
  readonly rules: number
}

/** How far the clocks of two processes may be apart. */
const clockToleranceMs = 60_000

/** What each kind of column is in JSON. */
const schemas = {
  text: z.string(),
  texts: z.array(z.string()),
  integer: z.int(),
  boolean: z.boolean(),
  time: z.iso.datetime().transform((text) => new Date(text)),
}

const epoch = z.int().nonnegative()
const valueSchema = z.object({
  writtenAtMs: z.number(),
  record: z.object({
    tenant: cachedPartOf(tenantColumns),
    membership: cachedPartOf(membershipColumns),
    grants: z.object({
      roles: z.array(z.string()),
      permissionIds: z.array(z.int()),
      changesAtMs: z.number().nullable(),
    }),
    schemaVersion: z.int().nullable(),
    tenantEpoch: epoch,
    rulesEpoch: epoch,
  }),
})

/** Writes a member as JSON: of its tenant and membership, the columns that may be cached. */
export function encodeMember(record: MemberRecord, writtenAtMs: number): string {
  const { schemaVersion, tenantEpoch, rulesEpoch } = record
  const { roles, permissionIds, changesAtMs } = record.grants
  const tenant = partOf(tenantColumns, 'cached', record.tenant)
  const membership = partOf(membershipColumns, 'cached', record.membership)
  const grants = { roles, permissionIds, changesAtMs }
  return JSON.stringify({ writtenAtMs, record: { tenant, membership, grants, schemaVersion, tenantEpoch, rulesEpoch } })
}

/**
 * Reads the member of a genuine value that was written since `oldestMs`; undefined for any other. Redis is told to forget it
 * later, but whoever can write there can tell it otherwise.
 */
export function decodeMember(
  value: string,
  address: MemberAddress,
  { oldestMs, nowMs }: { readonly oldestMs: number; readonly nowMs: number },
): MemberRecord | undefined {
  const { data } = valueSchema.safeParse(JSON.parse(value))
  if (data === undefined || data.writtenAtMs < oldestMs || data.writtenAtMs > nowMs + clockToleranceMs) return undefined
  const { record } = data
  const isSame =
    record.membership.userId === address.userId &&
    record.membership.tenantId === address.tenantId &&
    record.tenant.id === address.tenantId &&
    record.tenantEpoch === address.tenant &&
    record.rulesEpoch === address.rules
  const { changesAtMs } = record.grants
  return isSame && (changesAtMs === null || nowMs < changesAtMs) ? record : undefined
}

/** The shape of the columns that may be cached, as JSON has them. */
function cachedPartOf<Of extends Columns>(columns: Of): z.ZodType<PartOf<Of, 'cached'>> {
  const shape = namesOf(columns, 'cached').map((name) => [name, schemaOf(columns[name] as Column)] as const)
  return z.object(Object.fromEntries(shape)) as unknown as z.ZodType<PartOf<Of, 'cached'>>
}

function schemaOf({ kind, nullable = false }: Column): z.ZodType {
  const schema = typeof kind === 'string' ? schemas[kind] : z.enum(kind)
  return nullable ? schema.nullable() : schema
}
