import { expect, test } from 'vitest'
import { isPlain } from '../../../src/postgres/text/plain-statements.js'

test.each([
  'alter table items add column note text',
  'ALTER TABLE public.items ADD COLUMN IF NOT EXISTS price numeric(10, 2) NOT NULL DEFAULT 0, DROP COLUMN "Old one" CASCADE;',
  "-- why\nalter table items alter column note set default 'it''s; commit', alter note drop not null; -- end",
  'alter table items rename column a to b;; comment on column public.items.b is null;',
  'create table if not exists orders (id bigint generated always as identity primary key, item uuid references items (id) on delete set null, at timestamptz not null default now(), tags text[], unique (id, item));',
  'create unique index orders_at on orders using btree (at desc nulls last, id)',
  "drop table if exists a, b cascade; drop index c; comment on table items is 'x'",
])('%s is plain', (text) => {
  expect(isPlain(text)).toBe(true)
})

test.each([
  ['nothing', ''],
  ['a comment alone', '-- nothing'],
  ['data', 'insert into items values (1)'],
  ['the end of the transaction', 'alter table items add column a int; commit'],
  ['another role', 'reset role; alter table items add column a int'],
  ['a setting', 'set search_path = app; alter table items add column a int'],
  ['a block', "do $$ begin execute 'reset role'; end $$"],
  ['a function as default', 'alter table items add column a text default app.made()'],
  ['a function with the name of a type', 'create table t (a text default text (1))'],
  ['a value for each row', 'alter table items add column a uuid default gen_random_uuid()'],
  ['a type of the application', 'alter table items add column a app.positive'],
  ['a type that may be a domain', 'alter table items add column a positive'],
  ['another type for a column', 'alter table items alter column a type text'],
  ['a check', 'alter table items add column a int check (app.is_good(a))'],
  ['a computed column', 'alter table items add column a int generated always as (app.made(b)) stored'],
  ['an index of an expression', 'create index a on items (app.made(b))'],
  ['a part of an index', 'create index a on items (b) where app.is_good(b)'],
  ['an operator class', 'create index a on items (b app.ops)'],
  ['an index that needs no transaction', 'create index concurrently a on items (b)'],
  ['a table of a query', 'create table a as select app.made()'],
  ['a partition', 'alter table items attach partition a for values in (1)'],
  ['another owner', 'alter table items owner to somebody'],
  ['a trigger', 'create trigger a before insert on items for each row execute function app.made()'],
  ['a comment on a role', "comment on role somebody is 'x'"],
  ['two statements in one', 'drop table a drop table b'],
  ['a backslash', "comment on table items is E'\\' ; commit; --'"],
  ['letters beyond ASCII', 'alter table items add column größe text'],
  ['a long text', 'drop table a;'.repeat(700)],
])('%s is not plain', (_name, text) => {
  expect(isPlain(text)).toBe(false)
})
