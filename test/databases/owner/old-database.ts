import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { withServerAccount } from '../../support/server.js'

/**
 * Makes a tenant's database what the release before owner logins has built: the same base schema, objects that belong to the
 * provisioning account, and its default privileges. `sql` runs as that account.
 */
export async function makeOld(
  { prefix, name, id }: { readonly prefix: string; readonly name: string; readonly id: string },
  files: readonly {
    readonly version: number
    readonly name: string
    readonly checksum: string
    readonly sql: string
  }[],
): Promise<void> {
  const members = quoteIdentifier(`${prefix}members`)
  const owners = quoteIdentifier(`${prefix}owners`)
  await withServerAccount(async (admin) => {
    await admin.query(
      `drop schema tenants2fast cascade; drop owned by ${owners} cascade; drop schema if exists public cascade;
       create schema public authorization pg_database_owner;
       create schema tenants2fast;
       create table tenants2fast.identity (database_id uuid, epoch integer);
       insert into tenants2fast.identity values ('${id}', 1);
       create table tenants2fast.schema_migrations (
         version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now());
       revoke all on schema tenants2fast from public;
       grant usage on schema tenants2fast to ${members};
       grant select on tenants2fast.identity to ${members};
       revoke all on schema public from public;
       grant usage on schema public to ${members};
       alter default privileges grant select, insert, update, delete on tables to ${members};
       alter default privileges grant usage, select, update on sequences to ${members};
       alter default privileges grant execute on functions to ${members};
       alter default privileges grant usage on types to ${members};
       alter default privileges grant usage on schemas to ${members}`,
    )
    for (const file of files) {
      await admin.query(file.sql)
      await admin.query('insert into tenants2fast.schema_migrations values ($1, $2, $3)', [
        file.version,
        file.name,
        file.checksum,
      ])
    }
  }, name)
}
