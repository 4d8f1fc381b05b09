/** Text of the first schema file. */
export const firstMigration = `-- Every tenant's database has these tables. There is no tenant_id column: the database is the tenant's own.
-- A file that was applied to a tenant is never edited again: add 0002_….sql instead (tenants2fast migrate new).
create table notes (
  id bigint generated always as identity primary key,
  author text not null,
  body text not null check (length(body) between 1 and 2000),
  created_at timestamptz not null default now()
);
`
