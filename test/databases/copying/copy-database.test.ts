import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { TenantDatabase } from '../../../src/core/model.js'
import type { NewDatabase } from '../../../src/databases/copying/new-database.js'
import type { TenantDatabases } from '../../../src/databases/tenant-databases.js'
import { isPlainAdmin, withAdmin } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

// Everything that gets in the way of rows in any order.
const schema = `
create table accounts (id int primary key, "Löhne" text, parent int);
create table owners (id int primary key, account int not null references accounts);
alter table accounts add column owner int;
alter table accounts add constraint owner_exists foreign key (owner) references owners deferrable initially deferred;
alter table accounts add constraint parent_exists foreign key (parent) references accounts on delete cascade;
comment on constraint parent_exists on accounts is 'it''s a tree';
create table readings (
  id bigint generated always as identity, taken date not null, value numeric, at timestamptz, span interval, raw bytea,
  double numeric generated always as (value * 2) stored, tags text[], doc jsonb, amount money, exact float8
) partition by range (taken);
create table readings_old partition of readings for values from ('2020-01-01') to ('2021-01-01');
create table readings_new partition of readings for values from ('2021-01-01') to (maxvalue);
create table logged (id serial primary key, what text);
create function log_reading() returns trigger language plpgsql as $$
begin insert into logged (what) values (tg_table_name); return new; end $$;
create trigger log_each after insert on readings for each row execute function log_reading();
create trigger log_always after insert on owners for each row execute function log_reading();
alter table owners enable always trigger log_always;
create trigger log_never after insert on owners for each row execute function log_reading();
alter table owners disable trigger log_never;
create table plans (name text primary key);
insert into plans values ('from the schema file');
create table "odd ""name" ("a b" text, e int[]);
create table nothing ();
create unlogged table scratch (x text);
create table shielded (id int);
alter table shielded enable row level security;
${isPlainAdmin() ? '' : 'alter table shielded force row level security;'}
create policy none on shielded using (false);
create materialized view totals as select count(*) as n, sum(double) as s from readings;
create materialized view above_totals as select n + 1 as n from totals;
create materialized view unread as select 1 as one with no data;
create sequence ticket start 100 increment 7;
create function positive(n int) returns boolean language plpgsql as $$ begin return n > (select 0 from plans limit 1); end $$;
create domain small as int check (value < 1000);
create table checked (n small check (positive(n)));
create index on accounts (lower("Löhne"));
`

const data = `
begin;
insert into accounts values (1, 'a\\b	tab', 2, 10), (2, E'new\\nline', null, 10), (3, null, 1, null);
insert into owners values (10, 1);
commit;
insert into readings (taken, value, at, span, raw, tags, doc, amount, exact) values
  ('2020-05-01', 1.5, '2020-05-01 12:00:00.123456+02', '1 mon 3 days 00:00:01.5', '\\x00ff0a', '{a,"b c",null}', '{"a": "\\\\."}', 12.5, 0.1::float8 + 0.2),
  ('2024-05-01', null, 'infinity', null, null, '{}', 'null', null, 'NaN');
insert into plans values ('added');
delete from plans where name like 'from%';
insert into plans values ('\\.'), ('\\N');
insert into "odd ""name" values ('x', '{1,2}');
insert into nothing default values;
insert into scratch values ('s');
insert into shielded values (1), (2);
insert into checked values (5);
select nextval('ticket'), nextval('ticket');
refresh materialized view totals;
refresh materialized view above_totals;
`

let installation: Installation
let databases: TenantDatabases
let source: TenantDatabase

const inside = <Result>(name: string, text: string) =>
  withAdmin(async (client) => (await client.query(text)).rows as Result[], name)

beforeAll(async () => {
  installation = await createInstallation()
  await installation.writeSchema('0001_all.sql', schema)
  await installation.writeSchema('0002_more.sql', 'create table later (id int)')
  databases = installation.open().databases
  source = await databases.createTenantDatabase()
  await inside(source.name, data)
})
afterAll(() => installation?.drop())

const tables = [
  'accounts',
  'owners',
  'readings_old',
  'readings_new',
  'logged',
  'plans',
  '"odd ""name"',
  'nothing',
  'scratch',
  'shielded',
  'totals',
  'above_totals',
  'checked',
  '(select last_value, is_called from ticket)',
  '(select last_value, is_called from logged_id_seq)',
]
const contentOf = async (name: string) => {
  const content: Record<string, unknown> = {}
  for (const table of tables) {
    content[table] = await inside(
      name,
      `select to_json(x)::text as row from (select * from ${table} as t) as x order by 1`,
    )
  }
  return content
}
const structureOf = (name: string) =>
  inside(
    name,
    `select 'c' as kind, conrelid::regclass::text as "table", conname::text as name, pg_get_constraintdef(oid) as text,
       coalesce(obj_description(oid, 'pg_constraint'), '') as more from pg_constraint where conrelid <> 0
     union all select 't', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled::text from pg_trigger where not tgisinternal
     union all select 'r', relname, '', relforcerowsecurity::text, relispopulated::text from pg_class where relnamespace = 'public'::regnamespace
     order by 1, 2, 3`,
  )

describe('a copy of a database', () => {
  test('has the rows, the values of sequences and the structure of the original, and leaves nothing behind', async () => {
    const before = await installation.onServer()
    const copied: string[] = []
    const [content, structure] = [await contentOf(source.name), await structureOf(source.name)]
    await databases.withNewDatabase(2, async (copy) => {
      const empty = await structureOf(copy.name)
      const report = await databases.copyInto(copy, source, { onTable: ({ name }) => copied.push(name) })
      expect(await contentOf(copy.name)).toEqual(content)
      expect(await structureOf(copy.name)).toEqual(structure)
      expect(empty).toEqual(structure)
      expect(report.tables.find(({ name }) => name === 'accounts')).toMatchObject({ schema: 'public', rows: 3 })
      expect(await inside(copy.name, "insert into readings (taken) values ('2024-01-01') returning id")).toEqual([
        { id: '3' },
      ])
      await expect(inside(copy.name, 'insert into owners values (11, 99)')).rejects.toThrow('foreign key')
      expect(await inside(copy.name, 'select database_id, epoch from tenants2fast.identity')).toEqual([
        { database_id: copy.id, epoch: 1 },
      ])
    })
    expect(copied).toContain('odd "name')
    expect(await installation.onServer()).toEqual(before)
  })

  test('is of one moment, while others write', async () => {
    await databases.withNewDatabase(2, async (copy) => {
      let isWritten: Promise<unknown> | undefined
      await databases.copyInto(copy, source, {
        onSnapshot: () => {
          isWritten = inside(source.name, "insert into logged (what) values ('meanwhile')")
        },
        onTable: () => {},
      })
      await isWritten
      expect(await inside(copy.name, "select from logged where what = 'meanwhile'")).toHaveLength(0)
      await inside(source.name, "delete from logged where what = 'meanwhile'")
    })
  })

  test('of another schema version is refused, and the message names what differs', async () => {
    await expect(databases.withNewDatabase(1, (copy) => databases.copyInto(copy, source))).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_COPY_REFUSED',
      message: expect.stringContaining('the table "public"."later" is not in the schema files'),
    })
  })

  test('leaves large objects out: they do not stop it', async () => {
    const rows = await inside<{ oid: number }>(source.name, "select lo_from_bytea(0, 'x') as oid")
    try {
      await databases.withNewDatabase(2, async (copy) => {
        await databases.copyInto(copy, source)
        expect(await inside(copy.name, 'select from pg_largeobject_metadata')).toEqual([])
      })
    } finally {
      await inside(source.name, `select lo_unlink(${rows[0]?.oid})`)
    }
  })

  test('that violates a foreign key of the schema is refused, and the target is unchanged', async () => {
    await inside(source.name, 'set session_replication_role = replica; insert into owners values (77, 12345)')
    try {
      await databases.withNewDatabase(2, async (copy) => {
        const empty = await contentOf(copy.name)
        await expect(databases.copyInto(copy, source)).rejects.toMatchObject({
          code: 'TENANCY_DATABASE_COPY_FAILED',
          message: expect.stringContaining('foreign key'),
        })
        expect(await contentOf(copy.name)).toEqual(empty)
      })
    } finally {
      await inside(source.name, 'delete from owners where id = 77')
    }
  })

  test('ends when its signal does, and its database is dropped', async () => {
    const before = await installation.onServer()
    const stop = new AbortController()
    const copying = databases.withNewDatabase(2, (copy) =>
      databases.copyInto(copy, source, { signal: stop.signal, onTable: () => stop.abort(new Error('enough')) }),
    )
    await expect(copying).rejects.toThrow('enough')
    expect(await installation.onServer()).toEqual(before)
  })

  test.each([
    ['source', () => source.name],
    ['target', (copy: string) => copy],
  ])('whose %s goes away in the middle fails with a code', async (_which, nameOf) => {
    await databases.withNewDatabase(2, (copy) =>
      // The copy waits for this lock when its connections are ended.
      withAdmin(async (locker) => {
        await locker.query('begin; lock table accounts')
        const copying = databases.copyInto(copy, source)
        const refused = expect(copying).rejects.toMatchObject({
          code: expect.stringMatching(/TENANCY_DATABASE_(UNAVAILABLE|COPY_FAILED)/),
        })
        // On a connection of its own: in a transaction, this view stays as it was first seen.
        await withAdmin(async (admin) => {
          await vi.waitFor(async () => {
            const { rowCount } = await admin.query(
              "select from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'",
              [copy.name],
            )
            expect(rowCount).toBeGreaterThan(0)
          }, 60_000)
          await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> $2', [
            nameOf(copy.name),
            (locker as unknown as { processID: number }).processID,
          ])
        })
        await locker.query('rollback')
        await refused
      }, copy.name),
    )
  })

  test('never leaves out rows that a policy hides from the account', async (context) => {
    if (!isPlainAdmin()) context.skip('needs T2F_PLAIN_ADMIN=1')
    await inside(source.name, 'alter table shielded force row level security')
    try {
      const copying = databases.withNewDatabase(2, (copy) => databases.copyInto(copy, source))
      await expect(copying).rejects.toMatchObject({
        code: 'TENANCY_DATABASE_COPY_REFUSED',
        message: expect.stringContaining('row-level security'),
      })
    } finally {
      await inside(source.name, 'alter table shielded no force row level security')
    }
  })
})

describe('a new database', () => {
  test('that a dead process leaves is dropped by the reconciler', async () => {
    let left: NewDatabase | undefined
    // As after kill -9: the row, the database and the role are there, and nobody holds the lock.
    await databases.withNewDatabase(2, async (made) => {
      left = made
      await withAdmin(async (admin) => {
        await admin.query(`create database "${made.name}x" template "${made.name}"`)
        const { rows } = await admin.query(
          'select rolname from pg_roles where oid = (select datdba from pg_database where datname = $1)',
          [made.name],
        )
        await admin.query(`alter database "${made.name}x" owner to "${rows[0].rolname}"`)
        await admin.query(`alter database "${made.name}x" rename to "${made.name.slice(0, -4)}dead"`)
      }, 'postgres')
    })
    const deadName = `${left?.name.slice(0, -4)}dead`
    const hex = deadName.slice(installation.prefix.length)
    const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    await installation.catalog.pool.query(
      `insert into tenant_databases (id, server_id, name, role_name, lease_owner, lease_expires_at)
       select $1, id, $2, $2, 'dead', now() + interval '1 hour' from database_servers`,
      [id, deadName],
    )
    expect((await databases.reconcile()).dropped).toEqual([id])
    expect((await installation.onServer()).databases).not.toContain(deadName)
  })
})
