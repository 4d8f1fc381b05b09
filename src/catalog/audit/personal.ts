import type { SqlClient } from '../../core/sql-client.js'

/**
 * The key of an entry's `before` or `after` that has the SHA-256, in hex, of the personal part: the salt and the facts, as text,
 * in `audit_personal`. That row goes with its user, and the entry stays as it was written.
 */
export const personalKey = 'tenants2fast.personal'

/** SQL: the digest in a column of an entry, as bytes; null: none. Text that only looks like one is ignored. */
export const digestIn = (column: string): string =>
  `case when ${column} ->> '${personalKey}' ~ '^[0-9a-f]{64}$' then decode(${column} ->> '${personalKey}', 'hex') end`

const digestOf = (part: string) => `sha256(convert_to(${part}.salt || ${part}.facts::text, 'UTF8'))`

/** An entry whose personal part is not the one that was written, or is missing while the user is there. */
export interface AlteredPart {
  readonly seq: number
  readonly entryId: string
}

/** Finds the first such entry of the installation's chain. Entries of tenants have no personal parts. */
export async function findAlteredPart(client: SqlClient): Promise<AlteredPart | undefined> {
  const { rows } = await client.query<AlteredPart>(
    `select seq::float8 as seq, id::text as "entryId" from (
       select seq, id, case when subject ~ '^user:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then substr(subject, 6)::uuid end as about,
         unnest(array[${digestIn('before')}, ${digestIn('after')}]) as digest
       from audit_log where tenant_id is null
     ) as entry left join audit_personal as part using (digest)
     where entry.digest is not null and case when part.digest is null
       then exists (select from users where users.id = entry.about) else part.digest <> ${digestOf('part')} end
     order by seq limit 1`,
  )
  return rows[0]
}
