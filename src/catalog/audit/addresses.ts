import type { SqlClient } from '../../core/sql-client.js'
import { chainOf } from './chains.js'

/**
 * The key of an entry's `after` where `0024_request_origin_and_impersonation.sql` puts where a change over HTTP comes from. Its
 * `address` is the SHA-256, in hex, of the salt and the address, which are in `audit_addresses` and go with whose address it is.
 */
export const originKey = 'tenants2fast.origin'

const origin = (column: string) => `${column} -> '${originKey}'`

/** SQL: the digest of the address in a column of an entry, as bytes; null: none. Text that only looks like one is ignored. */
export const addressDigestIn = (column: string): string =>
  `case when ${origin(column)} ->> 'address' ~ '^[0-9a-f]{64}$' then decode(${origin(column)} ->> 'address', 'hex') end`

/** An entry whose address is not the one that was written, or is missing while there is whose it is. */
export interface AlteredAddress {
  readonly chain: string
  readonly seq: number
  readonly entryId: string
}

/** Finds the first such entry of each chain, or of one. */
export async function findAlteredAddresses(client: SqlClient, only?: string): Promise<AlteredAddress[]> {
  const { rows } = await client.query<AlteredAddress>(
    `select distinct on (chain) chain::text as chain, seq::float8 as seq, id::text as "entryId" from (
       select ${chainOf} as chain, seq, id, ${addressDigestIn('after')} as digest, case when after -> '${originKey}' is not null
         then audit_address_owner(${origin('after')}, actor_id, subject) end as owner
       from audit_log as entry
       where after ? '${originKey}' and ($1::uuid is null or ${chainOf} = $1)
     ) as entry left join audit_addresses as part using (digest)
     where entry.digest is not null and case when part.digest is null
       then exists (select from users where id = owner) or exists (select from service_accounts where id = owner)
       else part.digest <> sha256(convert_to(part.salt || part.address, 'UTF8')) end
     order by chain, seq`,
    [only ?? null],
  )
  return rows
}
