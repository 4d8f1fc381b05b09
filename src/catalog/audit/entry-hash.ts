import { createHash } from 'node:crypto'

/** A row of `audit_log` as text, field by field. The hash covers PostgreSQL's own text output. */
export interface HashedEntry {
  readonly seq: string
  readonly id: string
  /** Microseconds since 1970. */
  readonly at: string
  readonly actor: string | null
  readonly tenant: string | null
  readonly action: string
  readonly subject: string | null
  readonly before: string | null
  readonly after: string | null
}

/** The columns of {@link HashedEntry}, from `audit_log as entry`. */
export const hashedColumns = `entry.seq::text, entry.id::text, (extract(epoch from entry.at) * 1000000)::bigint::text as at,
  entry.actor_id::text as actor, entry.tenant_id::text as tenant, entry.action, entry.subject,
  entry.before::text, entry.after::text`

/** Computes the hash of an entry: SHA-256 of the previous hash and of its fields, like `audit_hash` in the catalog. */
export function hashEntry(previous: Buffer, entry: HashedEntry): Buffer {
  const { seq, id, at, actor, tenant, action, subject, before, after } = entry
  const fields = [seq, id, at, actor, tenant, action, subject, before, after]
  // Length, colon, text; '-' for null. So two different rows never give the same bytes.
  const text = fields.map((field) => (field === null ? '-' : `${Buffer.byteLength(field)}:${field}`)).join('')
  return createHash('sha256').update(previous).update(text).digest()
}
