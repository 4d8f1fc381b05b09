-- Every tenant's database has this table. No tenant_id column: the database is the tenant's own.
create table notes (
  id bigint generated always as identity primary key,
  author text not null,
  body text not null check (length(body) between 1 and 2000),
  created_at timestamptz not null default now()
);
