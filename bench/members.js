// Fills a catalog with tenants, users and memberships by bulk SQL: no databases behind them, for benchmarks of access.
import { createHash } from 'node:crypto'
import pg from 'pg'

/** Ids that JavaScript and SQL (`md5(...)::uuid`) work out alike. */
const idOf = (text) =>
  createHash('md5')
    .update(text)
    .digest('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

/** The member with this number, from 1: every user is in two tenants, and asks for the first. */
export const memberAt = (number, tenants) => ({
  userId: idOf(`user ${number}`),
  tenantId: idOf(`tenant ${(number % tenants) + 1}`),
})

/**
 * @param {string} url of the catalog
 * @param {{ tenants: number, memberships: number }} size two memberships a user
 */
export async function fillCatalog(url, { tenants, memberships }) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const users = Math.ceil(memberships / 2)
  try {
    // Nobody remembers anything yet: a notification for each row would only take time.
    await client.query('set session_replication_role = replica')
    await client.query(
      `insert into tenants (id, slug, name) select md5('tenant ' || n)::uuid, 'bench-' || n, 'Bench ' || n
       from generate_series(1, $1::int) n`,
      [tenants],
    )
    await client.query(
      `insert into users (id, email, email_verified) select md5('user ' || n)::uuid, 'user' || n || '@example.com', true
       from generate_series(1, $1::int) n`,
      [users],
    )
    await client.query(
      `insert into user_tenants (user_id, tenant_id)
       select md5('user ' || n)::uuid, md5('tenant ' || (n + step) % $2::int + 1)::uuid
       from generate_series(1, $1::int) n, generate_series(0, 1) step`,
      [users, tenants],
    )
    await client.query(
      `insert into user_tenant_roles (user_id, tenant_id, role_id)
       select member.user_id, member.tenant_id, roles.id from user_tenants as member, roles where roles.name = 'Member' and roles.tenant_id is null
       on conflict do nothing`,
    )
    await client.query('set session_replication_role = origin')
    await client.query('vacuum analyze')
  } finally {
    await client.end()
  }
}
