import type { SetMigration } from './set-migration.js'

/** Migrations that a careful engineer would let through, among them what linters are known to report without reason. */
export const goodMigrations: readonly SetMigration[] = [
  {
    name: 'new_table',
    sql: `
create table if not exists labels (
  id bigserial primary key,
  account_id bigint not null references accounts on delete cascade,
  text varchar(40) not null check (text <> ''),
  made_at timestamptz default clock_timestamp(),
  unique (account_id, text)
);
create index labels_text on labels (text);
alter table labels add column color text not null;
alter table labels add constraint labels_color check (color <> '');
alter table labels alter column text type text;`,
  },
  { name: 'nullable_column', sql: 'alter table accounts add column if not exists country text;' },
  { name: 'column_with_constant', sql: "alter table orders add column currency char(3) not null default 'EUR';" },
  {
    name: 'stable_defaults',
    sql: `
alter table accounts
  add column seen_at timestamptz not null default now(),
  add column tags text[] not null default '{}'::text[],
  add column settings jsonb default '{"a": [1]}',
  add column day date default current_date,
  add column weight numeric default -1.5 * 2,
  add column label text default upper('none'),
  add column code text default label_of('a');`,
  },
  { name: 'column_with_reference', sql: 'alter table orders add column invoice_id bigint references invoices;' },
  {
    name: 'index_concurrently',
    inTransaction: false,
    sql: 'create index concurrently if not exists events_kind on events (kind);',
  },
  {
    name: 'drop_index_concurrently',
    inTransaction: false,
    sql: 'drop index concurrently if exists orders_account;',
  },
  { name: 'reindex_concurrently', inTransaction: false, sql: 'reindex index concurrently orders_account;' },
  {
    name: 'unique_using_index',
    inTransaction: false,
    sql: `
create unique index concurrently sessions_user on sessions (user_name);
alter table sessions add constraint sessions_user_once unique using index sessions_user;`,
  },
  {
    name: 'foreign_key_not_valid',
    sql: `alter table invoices add constraint invoices_account_2 foreign key (account_id) references accounts not valid;`,
  },
  { name: 'validate_later', sql: 'alter table invoices validate constraint invoices_account;' },
  {
    name: 'check_not_valid',
    sql: 'alter table orders add constraint quantity_positive check (quantity > 0) not valid;',
  },
  {
    name: 'not_null_after_check',
    sql: `
alter table orders alter column customer_code set not null;
alter table orders drop constraint orders_customer;`,
  },
  { name: 'longer_text', sql: 'alter table accounts alter column email type varchar(200);' },
  { name: 'unlimited_text', sql: 'alter table invoices alter column note set data type text;' },
  { name: 'wider_number', sql: 'alter table invoices alter column total type numeric(14, 2);' },
  {
    name: 'looser',
    sql: `
alter table invoices alter column note drop not null;
alter table invoices drop constraint if exists invoices_note;
alter table invoices alter column status set default 'draft';`,
  },
  {
    name: 'view_replaced',
    sql: `
create or replace view open_orders as select id, account_id, placed_at from orders where state = 'new';
create view big_orders as select id from orders where quantity > 3;`,
  },
  {
    name: 'view_made_again',
    sql: `
drop view if exists open_orders;
create view open_orders as select account_id, id from orders where state = 'new';`,
  },
  {
    name: 'safe_definer',
    sql: `
create or replace function account_count() returns bigint language sql stable security definer
  set search_path = pg_catalog, public as $$ select count(*) from public.accounts $$;
revoke all on function account_count() from public;`,
  },
  { name: 'new_enum_value', sql: "alter type order_state add value if not exists 'refunded' after 'paid';" },
  {
    name: 'new_enum',
    sql: `
create type priority as enum ('low');
alter type priority add value 'high';
create table tasks (id bigint primary key, priority priority not null default 'low');`,
  },
  { name: 'reference_rows', sql: "insert into accounts (name, plan) values ('System', 'internal');" },
  {
    name: 'one_row',
    sql: `
update accounts set plan = 'pro' where id = 7;
delete from sessions where token = 't1';`,
  },
  {
    name: 'new_table_filled',
    sql: `
create table archive as select * from orders where id < 100;
update archive set quantity = 0;
delete from archive;
truncate archive;
create index on archive (account_id);
create trigger archive_touch before update on archive for each row execute function touch_account();
alter table archive rename column quantity to amount;
drop table archive;`,
  },
  {
    name: 'table_of_the_same_run',
    batch: ['create table notes (id integer primary key, text varchar(20));'],
    sql: `
create index notes_text on notes (text);
alter table notes alter column id type bigint, alter column text set not null, add column at timestamptz default clock_timestamp();`,
  },
  {
    name: 'contract_step',
    sql: `
-- lint-ignore drop-column: no process reads it since release 12
alter table accounts drop column legacy_code;`,
  },
  { name: 'refresh_concurrently', sql: 'refresh materialized view concurrently daily_totals;' },
  {
    name: 'partitioned_table',
    sql: `
create table measurements (at timestamptz not null, value double precision) partition by range (at);
create table measurements_2026 partition of measurements for values from ('2026-01-01') to ('2027-01-01');
create index on measurements (at);
alter table measurements_2026 set (autovacuum_enabled = false);`,
  },
  {
    name: 'settings_of_tables',
    sql: `
alter table events set (autovacuum_vacuum_scale_factor = 0.02);
alter table events alter column payload set statistics 500;
comment on table events is 'drop table events; truncate everything';
create statistics orders_statistics on account_id, state from orders;
analyze events;`,
  },
  {
    name: 'safe_do',
    sql: `
do $$
begin
  if not exists (select from pg_type where typname = 'mood') then
    create type mood as enum ('fine');
  end if;
  update accounts set plan = 'free' where id = 3;
end $$;`,
  },
  { name: 'listed_extension', sql: 'create extension if not exists citext;' },
  {
    name: 'policies_of_a_new_table',
    sql: `
create table secrets (id bigint primary key, owner text not null);
alter table secrets enable row level security;
create policy secrets_all on secrets using (true);`,
  },
  {
    name: 'temporary_table',
    sql: `
create temporary table numbers on commit drop as select generate_series(1, 10) as n;
update numbers set n = n + 1;
create index on numbers (n);
insert into events (kind) select 'n' || n from numbers;`,
  },
  {
    name: 'bodies_that_only_look_bad',
    sql: `
create function purge_sessions() returns void language sql set search_path = public as $$ delete from sessions $$;
create function renew() returns void language plpgsql as $body$
begin
  truncate import_rows; -- create index on events (kind);
  execute 'alter table orders alter column id type bigint';
end $body$;
select $$drop table accounts; 'quoted'$$, E'it''s; \\' drop table accounts', "name" /* drop table /* nested */ accounts; */ from accounts limit 1;`,
  },
  {
    name: 'names_only',
    sql: `
alter table orders rename constraint orders_customer to orders_customer_code;
alter index orders_account rename to orders_account_id;`,
  },
  {
    name: 'range_of_rows',
    inTransaction: false,
    sql: `
update orders set customer_code = upper(customer_code) where id between 1 and 200;
update orders set customer_code = upper(customer_code) where id between 201 and 400;`,
  },
  { name: 'two_step_domain', sql: "create domain country_code as text check (value ~ '^[A-Z]{2}$');" },
  {
    name: 'backfill_of_another_table',
    sql: `
create table account_totals (account_id bigint primary key, total numeric not null);
insert into account_totals select account_id, sum(total) from invoices group by 1;`,
  },
  {
    name: 'mixed_names',
    sql: 'create table "Übersicht" ("Straße" text); create index "Öl" on "Übersicht" ("Straße");',
  },
]
