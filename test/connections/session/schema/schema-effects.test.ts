import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { factsOf } from '../../../../src/connections/session/statement-effects.js'
import type { TenantPool } from '../../../../src/core/tenants/tenant-pool.js'
import { withAdmin } from '../../../support/server.js'
import { acquaint, pidOf, useScheduler } from '../../fixture.js'
import { leakedState } from '../session-probe.js'

const { start, stats, databases, current } = useScheduler(1)

/** A schema with every kind of code that keeps something in the session, and tables without such code. */
const schema = `
  create function leak() returns boolean language plpgsql as $$
    begin perform set_config('app.actor', 'alice', false); perform pg_advisory_lock(7); return true; end $$;
  create function leak_from(anyelement) returns text language sql as $$ select leak()::text $$;
  create function leak_row() returns trigger language plpgsql as $$ begin perform leak(); return new; end $$;
  create function lower(bytea) returns text language sql as $$ select leak()::text $$;

  create table plain (id uuid primary key default gen_random_uuid(), at timestamptz not null default now(), name text);
  create table parent (id int primary key, name text);
  create table fired (id int primary key, parent_id int references parent on delete cascade);
  create trigger fired before insert or update or delete on fired for each row execute function leak_row();
  create trigger fired_too after delete on fired for each statement execute function leak_row();
  insert into parent values (1, 'p'), (2, 'q');
  create table defaulted (id int, spoiled boolean default leak());
  create table checked (id int check (leak() or id is null));
  create table serials (id serial primary key, name text);
  create table identities (id int generated always as identity, name text);
  create table partitioned (id int) partition by range (id);
  create table part partition of partitioned for values from (0) to (100);
  create trigger part before insert on part for each row execute function leak_row();
  create table indexed (id int);
  create function leak_index(int) returns int language plpgsql immutable as $$ begin perform leak(); return $1; end $$;
  create index on indexed (leak_index(id));
  create table guarded (id int);
  insert into guarded values (1);
  alter table guarded enable row level security;
  create policy guard on guarded using (leak());

  create view seen as select p.*, leak() as spoiled from parent p;
  create view builtin as select set_config('app.actor', 'alice', false) as spoiled;
  create view seen_through as select * from seen;
  create view over_fired as select * from fired;
  create view over_settings as select * from pg_settings;
  create table ruled (id int);
  create rule ruled as on insert to ruled do also insert into defaulted (id) values (new.id);
`
/** Operators make every statement suspect, so they are added later. */
const everywhere = `
  create function leak_op(text, text) returns boolean language sql as $$ select leak() $$;
  create operator === (leftarg = text, rightarg = text, function = leak_op);
`

/** Statements that are clean by their text and leave something behind. */
const spoilers = [
  'insert into fired values (1, 1)',
  'insert into "fired" ("id") values (2) on conflict do nothing',
  'update fired set parent_id = 2',
  'delete from parent where id = 1',
  'insert into defaulted (id) values (1)',
  'update defaulted set spoiled = default',
  'insert into checked values (1)',
  "insert into serials (name) values ('x')",
  "insert into identities (name) values ('x')",
  'insert into partitioned values (5)',
  'insert into indexed values (5)',
  'select * from guarded',
  'select * from seen',
  'select spoiled from public . builtin',
  'TABLE "seen_through"',
  'insert into over_fired values (9, 2)',
  "update over_settings set setting = '7s' where name = 'statement_timeout'",
  'insert into ruled values (1)',
  'select p.leak_from from parent p',
  'select (p).leak_from from parent p',
  "select lower('x'::bytea)",
  'with x as (insert into fired values (20, 2) returning id) select * from x',
  'merge into fired using (values (30)) as v (id) on fired.id = v.id when not matched then insert values (v.id, 2)',
]

const harmless = [
  "insert into plain (name) values ('x')",
  'update plain set name = upper(name)',
  'select * from plain join parent on true where parent.id = 2',
  'select * from fired',
  'select * from serials',
  "update serials set name = 'y'",
  'delete from plain',
]

let pristine: string
beforeAll(async () => {
  const key = databases[0]?.key ?? ''
  pristine = key
  await withAdmin(async (admin) => {
    await admin.query(schema)
    await admin.query(`grant all on all tables in schema public to "${key}"`)
    await admin.query(`grant all on all sequences in schema public to "${key}"`)
  }, key)
})

async function leaksAfter(pool: TenantPool, text: string): Promise<string[]> {
  await pool.query(text)
  const client = await pool.connect()
  const leaks = await leakedState(client)
  client.release()
  return leaks
}

test.each(spoilers)('code behind a name in a statement leaves nothing to the next user: %s', async (text) => {
  expect(factsOf(text).clean).toBe(true)
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  // Once on a new connection, whose schema effects are unknown, and once when they are known.
  expect(await leaksAfter(pool, text)).toEqual([])
  const pid = await pidOf(pool)
  await acquaint(pool)
  const again = text.replace(/\((\d+)/, (_, id: string) => `(${Number(id) + 40}`)
  expect(await leaksAfter(pool, again)).toEqual([])
  expect(await pidOf(pool)).toBe(pid)
})

test.each(harmless)('a statement that runs no code behind its names costs no reset: %s', async (text) => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await acquaint(pool)
  await pool.query(text)
  expect(pool.idleCount).toBe(1)
})

test('a database is asked while its connection is idle, long before its next user would wait for the answer', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  for (let use = 0; use < 16; use += 1) await pool.query('select 1')
  let uses = 16
  // A connection whose database was asked keeps its prepared statements.
  const keepsStatements = async (): Promise<boolean> => {
    for (let round = 0; round < 2; round += 1) await pool.query('select $1::int', [round])
    const { rowCount } = await pool.query('select from pg_prepared_statements where not from_sql')
    uses += 3
    return rowCount === 1
  }
  await expect.poll(keepsStatements, { interval: 100, timeout: 10_000 }).toBe(true)
  expect(uses).toBeLessThan(128)
})

test('a rarely used database is not asked for its schema effects, and its sessions are reset instead', async () => {
  const [pool] = start({ maxConnections: 4 }) as [TenantPool]
  for (let use = 0; use < 5; use += 1) {
    await pool.query('select 1')
    expect(pool.idleCount).toBe(0)
    await expect.poll(() => pool.idleCount, { interval: 1 }).toBe(1)
  }
})

test('the next user finds a fresh session after any mix of statements', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await acquaint(pool)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...spoilers, ...harmless, 'begin', 'commit', 'rollback', 'select 1/0'), {
        maxLength: 6,
      }),
      async (statements) => {
        const client = await pool.connect()
        for (const statement of statements) await client.query(statement).catch(() => {})
        client.release()
        const next = await pool.connect()
        expect(await leakedState(next)).toEqual([])
        next.release()
      },
    ),
    { numRuns: 100 },
  )
  expect(stats().opened).toBe(1)
})

test('code that is added to a database is known after its tenant was disconnected', async () => {
  const [pool] = start({ maxConnections: 1 }) as [TenantPool]
  await acquaint(pool)
  await withAdmin(
    (admin) => admin.query('create trigger late before update on plain for each row execute function leak_row()'),
    pristine,
  )
  try {
    current().disconnect(pristine)
    await acquaint(pool)
    expect(await leaksAfter(pool, "update plain set name = 'late'")).toEqual([])
  } finally {
    await withAdmin((admin) => admin.query('drop trigger late on plain'), pristine)
  }
})

test('every statement is followed by a reset when the application has operators of its own', async () => {
  await withAdmin((admin) => admin.query(everywhere), pristine)
  try {
    const [pool] = start({ maxConnections: 1 }) as [TenantPool]
    const text = "select 'a' === 'b'"
    expect(factsOf(text).clean).toBe(true)
    expect(await leaksAfter(pool, text)).toEqual([])
    await acquaint(pool)
    expect(await leaksAfter(pool, text)).toEqual([])
  } finally {
    await withAdmin((admin) => admin.query('drop operator === (text, text)'), pristine)
  }
})
