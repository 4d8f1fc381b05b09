import fc from 'fast-check'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { schemaEffectsQuery, type SchemaEffectsRow } from '../../../../src/connections/session/schema/schema-effects.js'
import {
  fingerprintOf,
  schemaFingerprintQueries,
} from '../../../../src/connections/session/schema/schema-fingerprint.js'
import { quoteIdentifier, quoteLiteral } from '../../../../src/postgres/text/quote.js'
import { testServer, uniqueName, withAdmin } from '../../../support/server.js'

/** Code of the application, tables without it, and of each kind of object one that the changes below refer to. */
const template = `
  create function code() returns int language sql as 'select 1';
  create function code_of(int) returns int language plpgsql immutable as 'begin return $1; end';
  create function code_row() returns trigger language plpgsql as 'begin return new; end';
  create function code_text(text, text) returns boolean language sql as 'select true';
  create function code_hash(text) returns int language sql immutable as 'select 1';
  create function code_estimate(internal, oid, internal, int) returns float8 language internal stable as 'eqsel';
  create table a (id int not null, other int, at timestamptz default now());
  create table b (id int primary key, a_id int, made int generated always as (a_id + 1) stored);
  create table c (id int primary key, b_id int references b on delete cascade);
  create table numbered (id int generated always as identity, name text);
  create table family (id int not null, name text) partition by range (id);
  create table child partition of family for values from (0) to (10);
  create table loner (id int, name text);
  create table heir () inherits (loner);
  create view seen as select id from a;
  create view through as select id from seen;
  create view settings as select name, setting from pg_settings;
  create materialized view kept as select id from b;
  create rule noted as on insert to loner do also nothing;
  create type pair as (x int, y int);
  create domain whole as int;
  create operator === (leftarg = text, rightarg = text, function = texteq);
  create trigger fired before insert on c for each row execute function code_row();
  create policy guarded on a using (id > 0);
  alter table a enable row level security;
  create sequence counted;
  create schema other_schema;
`

/** Changes of every kind of object that may run code, by two names each, so that some undo and repeat others. */
const changes: readonly string[] = [
  // Functions.
  "create function f() returns int language sql as 'select 1'",
  "create or replace function f() returns int language sql as 'select 2'",
  'create or replace function f() returns int language sql begin atomic select 3; end',
  'drop function f()',
  'drop function f() cascade',
  'alter function f() rename to g',
  'alter function g() rename to f',
  'alter function code() volatile',
  'alter function code() immutable',
  'alter function code() set schema other_schema',
  'alter function other_schema.code() set schema public',
  "create function lower(bytea) returns text language sql as 'select null::text'",
  'drop function lower(bytea)',
  "create procedure p() language sql as 'select 1'",
  'drop procedure p()',
  'create aggregate total(int) (sfunc = int4pl, stype = int)',
  'drop aggregate total(int)',
  'grant execute on function code() to public',
  // Triggers.
  'create trigger t before insert on a for each row execute function code_row()',
  'create or replace trigger t after update on a for each row execute function code_row()',
  'create trigger t before insert on b for each row execute function code_row()',
  'create or replace trigger t before delete on c for each row execute function suppress_redundant_updates_trigger()',
  'create trigger t after insert on family for each row execute function code_row()',
  'alter trigger t on a rename to u',
  'alter table c disable trigger fired',
  'drop trigger u on a',
  'drop trigger t on a',
  'drop trigger t on b',
  'drop trigger t on family',
  'drop trigger if exists fired on c',
  'create trigger fired before update on c for each row execute function code_row()',
  // Views and rules.
  'create or replace view seen as select id from b',
  'create or replace view seen as select id from a',
  'create or replace view seen as select code() as id',
  'create or replace view seen as select id from numbered',
  "create or replace view seen as select set_config('app.x', 'y', false)::int as id",
  'create or replace view seen as select random()::int as id',
  'create view v as select code() as spoiled',
  'create or replace view v as select 1 as spoiled',
  "create or replace view v as select nextval('counted')::int as spoiled",
  'drop view v',
  'alter view seen rename to looked_at',
  'alter view looked_at rename to seen',
  'create materialized view m as select code() as spoiled',
  'refresh materialized view m',
  'drop materialized view m',
  'create or replace rule noted as on insert to loner do also select code()',
  'create or replace rule noted as on update to loner do instead nothing',
  "create or replace rule noted as on delete to loner do also update settings set setting = '1'",
  'create or replace rule noted as on insert to loner do also nothing',
  'create or replace rule noted as on insert to loner do also insert into numbered (name) values (new.name)',
  'drop rule noted on loner',
  'alter rule noted on loner rename to remarked',
  // Policies.
  'create policy q on b using (code() = 1)',
  "create policy q on b using (set_config('app.x', 'y', false) = 'y')",
  'alter policy q on b using (true)',
  'alter policy q on b using (code() = 2)',
  'alter policy guarded on a using (code() = 1)',
  "alter policy guarded on a with check (nextval('counted') > 0)",
  'alter policy guarded on a using (id > 0) with check (true)',
  'drop policy q on b',
  // Defaults, identity, generated columns.
  'alter table a alter other set default code()',
  "alter table a alter other set default nextval('counted')",
  'alter table a alter other set default 7',
  'alter table a alter other drop default',
  'alter table a alter id add generated by default as identity',
  'alter table a alter id set generated always',
  'alter table a alter id drop identity',
  'alter table numbered alter id drop identity',
  'alter table numbered alter id add generated always as identity',
  'alter table family alter id add generated always as identity',
  'alter table family alter id drop identity',
  'alter table b add spoiled int generated always as (code_of(a_id)) stored',
  'alter table b alter spoiled drop expression',
  'alter table b drop spoiled',
  'alter table b alter made drop expression',
  'create table serials (id serial, name text)',
  'alter table serials alter id drop default',
  'drop table serials',
  'alter sequence counted restart with 5',
  // Constraints and indexes.
  'alter table a add constraint k check (code() = 1 or id is null)',
  "alter table a add constraint k check (nextval('counted') > 0) not valid",
  'alter table a validate constraint k',
  'alter table a drop constraint k',
  'alter table a add constraint k check (id > -5)',
  'alter table c drop constraint c_b_id_fkey',
  'alter table c add constraint c_b_id_fkey foreign key (b_id) references b on update set null',
  'alter table c add constraint c_b_id_fkey foreign key (b_id) references b',
  'create index i on b (code_of(a_id))',
  'create index i on loner (id) where code_of(id) > 0',
  'create index concurrently i on b (code_of(id))',
  'reindex index i',
  'drop index i',
  'alter table loner add constraint x exclude using btree (code_of(id) with =)',
  'alter table loner drop constraint x',
  'create statistics s on code_of(a_id), id from b',
  'drop statistics s',
  // Partitions and inheritance.
  'create table part partition of family for values from (10) to (20)',
  'alter table family detach partition part',
  'alter table family detach partition child',
  'alter table family attach partition child for values from (0) to (10)',
  'drop table part',
  'create table routed (id int) partition by range (code_of(id))',
  'drop table routed',
  'alter table heir no inherit loner',
  'alter table heir inherit loner',
  'create trigger h before update on heir for each row execute function code_row()',
  'drop trigger h on heir',
  'create trigger h before update on child for each row execute function code_row()',
  'drop trigger h on child',
  // Types, domains, operators, casts and their kin.
  'create domain checked_int as int check (value <> code())',
  'drop domain checked_int',
  'alter domain whole add constraint w check (value <> code())',
  'alter domain whole drop constraint w',
  'alter domain whole set default code()',
  'alter domain whole drop default',
  'create operator !== (leftarg = text, rightarg = text, function = code_text)',
  'drop operator !== (text, text)',
  'alter operator === (text, text) set (restrict = code_estimate)',
  'alter operator === (text, text) set (restrict = none)',
  "create function pair_int(pair) returns int language sql as 'select 1'",
  'create cast (pair as int) with function pair_int(pair)',
  'drop cast (pair as int)',
  'drop function pair_int(pair) cascade',
  'create operator family fam using hash',
  'alter operator family fam using hash add function 1 (text, text) code_hash(text)',
  'alter operator family fam using hash drop function 1 (text, text)',
  'drop operator family fam using hash',
  "create function diff(int, int) returns float8 language sql immutable as 'select 1.0::float8'",
  'create type span as range (subtype = int, subtype_diff = diff)',
  'drop type span',
  "create function eventful() returns event_trigger language plpgsql as 'begin end'",
  'create event trigger e on ddl_command_end execute function eventful()',
  'drop event trigger e',
  // Names, schemas, tables.
  'alter table a rename to renamed',
  'alter table renamed rename to a',
  'alter table c rename to d',
  'alter table d rename to c',
  'alter table numbered rename to counters',
  'alter table counters rename to numbered',
  'alter table a set schema other_schema',
  'alter table other_schema.a set schema public',
  'alter table c alter b_id type bigint',
  'alter table a add extra int default code()',
  'alter table a drop extra',
  'drop table c',
  'create table c (id int primary key, b_id int references b on delete cascade)',
  'drop table numbered cascade',
  'create table numbered (id int generated always as identity, name text)',
  'truncate loner',
  'vacuum full loner',
  // Extensions.
  'create extension tcn',
  'alter extension tcn add function code()',
  'alter extension tcn drop function code()',
  'create trigger n after insert on b for each row execute function triggered_change_notification()',
  'drop extension tcn cascade',
  // Several in one transaction, and what a transaction undoes.
  'begin; create or replace view seen as select code() as id; create or replace view seen as select id from b; commit',
  'begin; drop trigger if exists fired on c; create trigger fired after delete on c for each row execute function code_row(); commit',
  'begin; alter table a alter other set default code(); rollback',
  'begin; savepoint s; alter table a alter other set default code(); rollback to s; alter table b add late int default code(); commit',
  'alter table b drop late',
  // What databases do without being told to.
  'vacuum freeze',
  'vacuum full pg_catalog.pg_class',
  'analyze',
]

/** What a tenant's role makes that may create temporary objects only. */
const temporary = [
  'create temporary table passing (id serial, name text)',
  'create temporary table passing_too (id int generated always as identity)',
  "create function pg_temp.passing() returns int language sql as 'select 1'",
  'create temporary view passing_view as select pg_temp.passing() as id',
  'create trigger passing before insert on passing for each row execute function suppress_redundant_updates_trigger()',
  'discard temp',
]

const role = uniqueName()
const origin = uniqueName()
const names: string[] = []

beforeAll(async () => {
  await withAdmin(async (admin) => {
    await admin.query(`create role ${quoteIdentifier(role)} login password ${quoteLiteral(role)}`)
    await admin.query(`create database ${quoteIdentifier(origin)} template template0`)
  })
  await withAdmin((admin) => admin.query(template), origin)
})

afterEach(() => dropClones())

afterAll(async () => {
  await withAdmin(async (admin) => {
    await admin.query(`drop database ${quoteIdentifier(origin)}`)
    await admin.query(`drop role ${quoteIdentifier(role)}`)
  })
})

/** Makes a database as the builder does, and returns its name. */
async function clone(): Promise<string> {
  const name = uniqueName()
  const id = quoteIdentifier(name)
  names.push(name)
  await withAdmin(async (admin) => {
    await admin.query(`create database ${id} template ${quoteIdentifier(origin)} strategy wal_log`)
    await admin.query(`grant connect, temporary on database ${id} to ${quoteIdentifier(role)}`)
  })
  return name
}

async function dropClones(): Promise<void> {
  await withAdmin(async (admin) => {
    for (const name of names.splice(0)) await admin.query(`drop database ${quoteIdentifier(name)} with (force)`)
  })
}

/** Runs `work` on a connection as the role of the tenant, which owns nothing. */
async function asTenant<Result>(database: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const { host, port } = await testServer()
  const client = new pg.Client({ host, port, user: role, password: role, database })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Asks as `SessionClient.read` does: the answer is that of the message's last statement. */
async function ask<Row>(client: pg.Client, text: string): Promise<Row> {
  const results = (await client.query(text)) as unknown as readonly { readonly rows: readonly Row[] }[]
  const row = results.at(-1)?.rows[0]
  if (row === undefined) throw new Error('No answer')
  return row
}

async function askFingerprint(client: pg.Client): Promise<string> {
  const parts: string[] = []
  for (const query of schemaFingerprintQueries) parts.push((await ask<{ readonly part: string }>(client, query)).part)
  return fingerprintOf(parts)
}

/** Whether a change could be made to the schema as it is. */
async function didChange(client: pg.Client, text: string): Promise<boolean> {
  try {
    await client.query(text)
    return true
  } catch {
    await client.query('rollback')
    return false
  }
}

test(
  'databases with one fingerprint have the same schema effects, whatever was changed in them',
  { timeout: 300_000 },
  async () => {
    const answers = new Map<string, string>()
    const made = new Set<string>()
    const check = async (client: pg.Client): Promise<void> => {
      const { fingerprint_parts: parts, ...effects } = await ask<SchemaEffectsRow>(client, schemaEffectsQuery)
      const fingerprint = fingerprintOf(parts)
      expect(await askFingerprint(client)).toBe(fingerprint)
      const answer = JSON.stringify(effects)
      expect(answer).toBe(answers.get(fingerprint) ?? answer)
      answers.set(fingerprint, answer)
    }
    const run = async (steps: readonly string[]): Promise<void> => {
      const database = await clone()
      await withAdmin(
        (admin) =>
          asTenant(database, async (tenant) => {
            await check(admin)
            for (const text of steps) {
              if (!(await didChange(temporary.includes(text) ? tenant : admin, text))) continue
              made.add(text)
              await check(admin)
            }
          }),
        database,
      )
      await dropClones()
    }
    // In order, most of them find what they change.
    await run([...changes, ...temporary])
    const change = fc.oneof({ weight: 15, arbitrary: fc.constantFrom(...changes) }, fc.constantFrom(...temporary))
    await fc.assert(fc.asyncProperty(fc.array(change, { minLength: 10, maxLength: 60 }), run), { numRuns: 25 })
    expect(new Set(answers.values()).size).toBeGreaterThan(100)
    expect(made.size).toBeGreaterThan(140)
  },
)

test('clones of one template have one fingerprint until one of them is changed by hand', async () => {
  const [one, other] = [await clone(), await clone()]
  const original = await withAdmin(askFingerprint, one)
  expect(original).toMatch(/^[\w+/]{43}=$/)
  expect(await asTenant(other, askFingerprint)).toBe(original)
  const change = 'create trigger late before update on a for each row execute function code_row()'
  await withAdmin((admin) => admin.query(change), one)
  await withAdmin((admin) => admin.query(change), other)
  const changed = await Promise.all([one, other].map((name) => withAdmin(askFingerprint, name)))
  expect(new Set([original, ...changed]).size).toBe(3)
})

test('neither data nor the server’s own maintenance changes a fingerprint', async () => {
  const database = await clone()
  await withAdmin(async (admin) => {
    const original = await askFingerprint(admin)
    await admin.query('insert into b (id, a_id) select i, i from generate_series(1, 2000) i')
    await admin.query("select nextval('counted')")
    for (const text of ['vacuum', 'vacuum freeze', 'analyze', 'vacuum full pg_catalog.pg_class', 'reindex table b'])
      await admin.query(text)
    expect(await askFingerprint(admin)).toBe(original)
  }, database)
})

test('an operator of a tenant that may make objects has no part in its answers', async () => {
  const database = await clone()
  await withAdmin(async (admin) => {
    await admin.query(`grant create on schema public to ${quoteIdentifier(role)}`)
    await admin.query(`alter database ${quoteIdentifier(database)} set search_path = public, pg_catalog`)
  }, database)
  await asTenant(database, async (tenant) => {
    for (const [name, left, right] of [
      ['>=', 'oid', 'oid'],
      ['>=', 'oid', 'int'],
      ['=', 'oid', 'oid'],
      ['=', 'oid', 'regclass'],
      ['=', '"char"', '"char"'],
      ['=', 'name', 'text'],
    ])
      await tenant.query(
        `create or replace function lie(${left}, ${right}) returns boolean language plpgsql as $$
           begin raise exception 'an operator of the tenant ran'; end $$;
         create operator ${name} (leftarg = ${left}, rightarg = ${right}, function = lie)`,
      )
  })
  await asTenant(database, async (tenant) => {
    await expect(tenant.query('select 1::oid = 1::oid')).rejects.toThrow('an operator of the tenant ran')
    const { fingerprint_parts: parts, everywhere } = await ask<SchemaEffectsRow>(tenant, schemaEffectsQuery)
    expect(everywhere).toBe(true)
    expect(await askFingerprint(tenant)).toBe(fingerprintOf(parts))
    expect((await tenant.query('show search_path')).rows).toEqual([{ search_path: 'public, pg_catalog' }])
  })
})
