import type { SetMigration } from './set-migration.js'

/**
 * Migrations that stop requests, lose data, break the release that is running, or open a hole. Written before the rules; one that
 * nothing stops stays here, with `missed` saying why.
 */
export const badMigrations: readonly SetMigration[] = [
  { name: 'plain_index', sql: 'create index events_kind on events (kind);' },
  { name: 'concurrently_in_transaction', sql: 'create index concurrently events_kind on events (kind);' },
  { name: 'set_not_null', sql: 'alter table accounts alter column email set not null;' },
  { name: 'volatile_default', sql: 'alter table events add column key uuid not null default gen_random_uuid();' },
  { name: 'serial_column', sql: 'alter table import_rows add column id bigserial;' },
  { name: 'identity_column', sql: 'alter table import_rows add column id bigint generated always as identity;' },
  {
    name: 'stored_column',
    sql: 'alter table orders add column double integer generated always as (quantity * 2) stored;',
  },
  { name: 'required_column', sql: 'alter table accounts add column country text not null;' },
  { name: 'int_to_bigint', sql: 'alter table orders alter column id type bigint;' },
  { name: 'shorter_text', sql: 'alter table accounts alter column email type varchar(20);' },
  { name: 'cast_of_text', sql: 'alter table accounts alter legacy_code type integer using legacy_code::integer;' },
  {
    name: 'foreign_key',
    sql: 'alter table orders add constraint orders_account foreign key (account_id) references accounts (id);',
  },
  { name: 'check', sql: 'alter table orders add constraint orders_quantity check (quantity >= 0);' },
  { name: 'column_with_check', sql: 'alter table orders add column rebate integer default 0 check (rebate >= 0);' },
  { name: 'unique', sql: 'alter table events add constraint events_key unique (id, kind);' },
  { name: 'primary_key', sql: 'alter table import_rows add primary key (line);' },
  { name: 'drop_column', sql: 'alter table accounts drop column legacy_code;' },
  { name: 'rename_column', sql: 'alter table accounts rename column plan to tariff;' },
  { name: 'rename_table', sql: 'alter table sessions rename to user_sessions;' },
  { name: 'drop_table', sql: 'drop table if exists sessions cascade;' },
  { name: 'drop_view', sql: 'drop view open_orders;' },
  {
    name: 'validate_at_once',
    sql: `
alter table events add constraint events_kind check (kind <> '') not valid;
alter table events validate constraint events_kind;`,
  },
  {
    name: 'backfill_at_once',
    sql: `
alter table orders add column region text;
update orders set region = 'eu' where region is null;`,
  },
  { name: 'delete_all', sql: 'delete from sessions;' },
  {
    name: 'update_nearly_all',
    sql: "update orders set customer_code = 'X' || customer_code where customer_code is not null;",
  },
  { name: 'truncate', sql: 'truncate import_rows;' },
  {
    name: 'new_enum_value_used',
    sql: `
alter type order_state add value 'refunded';
update orders set state = 'refunded' where id = 1;`,
  },
  { name: 'vacuum_full', inTransaction: false, sql: 'vacuum full orders;' },
  { name: 'unlogged', sql: 'alter table sessions set unlogged;' },
  {
    name: 'hidden_in_do',
    sql: `
do $$
begin
  if not exists (select from pg_indexes where indexname = 'events_payload') then
    create index events_payload on events using gin (payload);
  end if;
end $$;`,
  },
  {
    name: 'hidden_in_execute',
    sql: `
do $$
declare
  name text;
begin
  for name in select column_name from information_schema.columns
              where table_schema = 'public' and data_type = 'integer' and table_name = 'orders' and column_name = 'quantity'
  loop
    execute format('alter table orders alter column %I type bigint', name);
  end loop;
end $$;`,
  },
  { name: 'hidden_in_function', sql: 'select widen_orders();' },
  {
    name: 'security_definer',
    sql: `
create function account_names() returns setof text language sql security definer as $$ select name from accounts $$;`,
  },
  { name: 'grant_to_public', sql: 'grant select on accounts to public;' },
  { name: 'other_extension', sql: 'create extension if not exists dblink;' },
  {
    name: 'duplicates',
    inTransaction: false,
    sql: 'create unique index concurrently accounts_email on accounts (email);',
  },
  { name: 'broken_rows', sql: 'alter table invoices validate constraint invoices_note;' },
  {
    name: 'lock_forever',
    sql: `
set local lock_timeout = 0;
lock table orders in exclusive mode;
insert into events (kind) select 'orders: ' || count(*) from orders;`,
  },
  {
    name: 'triggers_off',
    sql: `
alter table accounts disable trigger all;
update accounts set plan = 'pro' where id = 1;
alter table accounts enable trigger all;`,
  },
  { name: 'refresh', sql: 'refresh materialized view daily_totals;' },
  { name: 'default_gone', sql: 'alter table accounts alter column plan drop default;' },
  {
    name: 'stricter_rule',
    sql: "alter table invoices add constraint invoices_open check (status <> 'open') not valid;",
    missed:
      'only the running release knows that it inserts such rows; a NOT VALID check reads no row, and locks for a moment',
  },
]
