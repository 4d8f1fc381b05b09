import { describe, expect, test } from 'vitest'
import { lintMigration } from '../../../src/fleet/lint/lint-migrations.js'
import { shopSchema } from './shop-schema.js'

const lint = async (sql: string, inTransaction = true) => {
  const { findings } = await lintMigration({ name: 'x.sql', sql, inTransaction, context: { applied: shopSchema } })
  return findings.map(({ rule, severity, lock, rewrites }) =>
    [severity === 'error' ? rule : `${rule} (warning)`, lock ?? '-', ...(rewrites ? ['rewrites'] : [])].join(', '),
  )
}

const exclusive = 'ACCESS EXCLUSIVE'

describe('finds in', () => {
  test.for([
    ['drop index orders_account', `drop-index-not-concurrent (warning), ${exclusive}`],
    ['drop index concurrently orders_account', 'needs-no-transaction, SHARE UPDATE EXCLUSIVE'],
    ['reindex table orders', `reindex-not-concurrent, ${exclusive}`],
    ['reindex index concurrently orders_account', 'needs-no-transaction, SHARE UPDATE EXCLUSIVE'],
    ['vacuum orders', 'needs-no-transaction, SHARE UPDATE EXCLUSIVE'],
    ['cluster orders using orders_account', `rewrite-table, ${exclusive}, rewrites`],
    ['alter table orders set tablespace fast', `rewrite-table, ${exclusive}, rewrites`],
    ['alter table orders set access method heap', `rewrite-table, ${exclusive}, rewrites`],
    ['alter table orders alter quantity type bigint using quantity * 2', `change-type, ${exclusive}, rewrites`],
    ['alter table invoices alter total type numeric(14, 3)', `change-type, ${exclusive}, rewrites`],
    ['alter table sessions alter ends_at type timestamp', `change-type, ${exclusive}, rewrites`],
    ['alter table unknown_table alter c type text', `change-type, ${exclusive}, rewrites`],
    ['alter table invoices alter note type text collate "C"', `change-type, ${exclusive}, rewrites`],
    ['alter table events add column key uuid unique', `unique-without-index, ${exclusive}`],
    ['alter table orders add column a int default 1 references accounts', `constraint-not-valid, ${exclusive}`],
    [
      'alter table events add column key bigint default nextval($$s$$)',
      `add-column-volatile-default, ${exclusive}, rewrites`,
    ],
    [
      'alter table events add column key text default my_function()',
      `add-column-volatile-default, ${exclusive}, rewrites`,
    ],
    ['alter table events add column key text not null default null', `add-column-required, ${exclusive}`],
    ['alter table accounts add constraint n not null email', `set-not-null, ${exclusive}`],
    ['alter table orders add exclude using gist (id with =)', `exclusion-constraint, ${exclusive}`],
    ['alter table accounts enable row level security', `row-security, ${exclusive}`],
    ['alter table accounts owner to postgres', `owner, ${exclusive}`],
    ['alter view open_orders owner to postgres', `owner, ${exclusive}`],
    ['alter table events attach partition orders for values in (1)', `attach-partition (warning), ${exclusive}`],
    ['alter table events detach partition orders', `attach-partition (warning), ${exclusive}`],
    ['alter table orders set schema archive', `rename, ${exclusive}`],
    ['alter type order_state rename value $$new$$ to $$open$$', 'rename, -'],
    ['alter type order_state rename to state', 'rename, -'],
    ['drop function label_of(text)', 'drop-object, -'],
    ['drop schema public cascade', 'drop-object, -'],
    ['drop view open_orders cascade; create view open_orders as select 1', `drop-object, ${exclusive}`],
    ['update orders set quantity = 1 where true', 'write-all-rows, ROW EXCLUSIVE'],
    ['with gone as (delete from sessions returning 1) select count(*) from gone', 'write-all-rows, -'],
    [
      'create trigger t before insert on orders execute function touch_account()',
      'trigger-on-existing (warning), SHARE ROW EXCLUSIVE',
    ],
    ["set statement_timeout = '5min'", 'set-timeout (warning), -'],
    ["select set_config('lock_timeout', '0', true)", 'set-lock-timeout, -'],
    ['set session_replication_role = replica', 'disable-triggers, -'],
    ['set role postgres', 'privileged, -'],
    ['alter system set work_mem = 1', 'privileged, -'],
    ['create role x login', 'privileged, -'],
    ['grant postgres to x', 'privileged, -'],
    ['alter default privileges for role x grant select on tables to y', 'privileged, -'],
    ['alter default privileges grant select on tables to public', 'grant-to-public, -'],
    ['create event trigger t on ddl_command_end execute function f()', 'privileged, -'],
    ['create function f() returns int language c as $$a$$, $$b$$', 'untrusted-language, -'],
    ['do language plpython3u $$ pass $$', 'untrusted-language, -'],
    ['alter function label_of(text) security definer', 'definer-search-path, -'],
    ["select pg_read_file('/etc/passwd')", 'privileged, -'],
    ["copy events from '/tmp/x'", 'server-file, ROW EXCLUSIVE'],
    ['begin', 'transaction-control, -'],
    ['alter domain d add constraint c check (value > 0)', 'constraint-not-valid, -'],
  ] as const)('%s: %s', async ([sql, expected]) => {
    expect(await lint(sql)).toEqual([expected])
  })
})

describe('finds nothing in', () => {
  test.for([
    'savepoint a; release a',
    'alter domain d add constraint c check (value > 0) not valid',
    'alter table sessions alter ends_at type timestamptz(6)',
    'alter table orders alter quantity set default 2, alter placed_at set statistics 10',
    'alter table accounts alter email drop default',
    'revoke all on accounts from public',
    'comment on table orders is $$x$$; analyze orders; create sequence s; create schema archive; drop schema archive',
    'create temp table orders (id int); delete from orders; drop table orders',
    'create table a (id int); alter table a rename to b; update b set id = 1; drop table b',
    'create table p (id int) partition by list (id); create table p1 partition of p default; alter table p detach partition p1',
  ])('%s', async (sql) => {
    expect(await lint(sql)).toEqual([])
  })
})

test('two tables locked in one transaction are named; outside of one they are not', async () => {
  const sql = 'alter table orders add column a int;\nalter table events add column b int;'
  const { findings } = await lintMigration({ name: 'x.sql', sql, inTransaction: true })
  expect(findings).toEqual([
    expect.objectContaining({
      ...{ rule: 'several-tables-locked', line: 2, severity: 'warning', lock: exclusive },
      message: 'events is locked while this transaction holds a lock on orders',
    }),
  ])
  expect(await lint(sql, false)).toEqual([])
})

test('a check that is validated makes NOT NULL safe, one that is not, or of another column, does not', async () => {
  const not = 'alter table invoices alter note set not null'
  expect(await lint(not)).toEqual([`set-not-null, ${exclusive}`])
  expect(await lint(`alter table invoices validate constraint invoices_note; ${not}`, false)).toEqual([])
  expect(await lint('alter table orders alter quantity set not null')).toEqual([])
})

test('a wider type is known after a change in an earlier file', async () => {
  const applied = [...shopSchema, { name: 'a.sql', sql: 'alter table accounts alter email type varchar(300)' }]
  const sql = 'alter table accounts alter email type varchar(200)'
  const { findings } = await lintMigration({ name: 'x.sql', sql, context: { applied } })
  expect(findings.map(({ message }) => message)).toEqual([expect.stringContaining('from varchar(300) to varchar(200)')])
})
