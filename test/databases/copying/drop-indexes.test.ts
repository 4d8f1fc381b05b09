import { Client } from 'pg'
import { expect, test } from 'vitest'
import { dropIndexes } from '../../../src/databases/copying/drop-indexes.js'
import { superuserUrlOf, uniqueName, withAdmin } from '../../support/server.js'

const schema = `
create extension if not exists btree_gist;
create table plain (id int primary key, a int not null, b text, c int, constraint a_once unique (a) deferrable initially deferred,
  constraint apart exclude using gist (c with =));
create index by_b on plain (lower(b)) include (a) with (fillfactor = 70) where a > 0;
create unique index distinct_b on plain (b) nulls not distinct;
comment on index by_b is 'it''s for names';
comment on index plain_pkey is 'the index';
comment on constraint plain_pkey on plain is 'the constraint';
create table "odd ""name" ("a b" int primary key);
create function shift(n int) returns int language sql immutable as 'select n + 1';
create table kept (id int primary key with (fillfactor = 50), a int not null, b int, c int);
create index kept_function on kept (shift(a));
create unique index kept_identity on kept (a);
alter table kept replica identity using index kept_identity;
create index kept_cluster on kept (b);
alter table kept cluster on kept_cluster;
create index kept_statistics on kept ((b + c));
alter index kept_statistics alter column 1 set statistics 500;
create table grouped (id int primary key, a int);
create view kept_by_view as select id, a from grouped group by id;
create table parts (id int, at date, primary key (id, at)) partition by range (at);
create table parts_one partition of parts for values from ('2020-01-01') to ('2021-01-01');
create index parts_at on parts (at);
create index parts_one_id on parts_one (id);`

const described = `
  select c.relname as name, pg_get_indexdef(c.oid) as definition, pg_get_constraintdef(k.oid) as "constraint", i.indisclustered, i.indisreplident,
    i.indisvalid, obj_description(c.oid, 'pg_class') as comment, obj_description(k.oid, 'pg_constraint') as "constraintComment",
    (select array_agg(attstattarget) from pg_attribute where attrelid = c.oid) as statistics,
    (select inhparent::regclass::text from pg_inherits where inhrelid = c.oid) as parent
  from pg_index i join pg_class c on c.oid = i.indexrelid left join pg_constraint k on k.conindid = c.oid and k.contype in ('p', 'u', 'x')
  where c.relnamespace = 'public'::regnamespace order by c.relname`

test('indexes are the same after they were dropped and made again; what has more than a definition is not dropped', async () => {
  const name = uniqueName()
  await withAdmin((admin) => admin.query(`create database ${name} template template0`))
  const client = new Client({ connectionString: superuserUrlOf(name) })
  try {
    await client.connect()
    await client.query(schema)
    const list = async () => (await client.query<{ name: string }>(described)).rows
    const before = await list()
    await client.query('begin')
    await client.query('set local search_path = pg_catalog')
    const statements = await dropIndexes(client)
    await client.query('set local search_path = public, pg_catalog')
    const kept = (await list()).map((index) => index.name)
    expect(kept).toEqual([
      ...['grouped_pkey', 'kept_cluster', 'kept_function', 'kept_identity', 'kept_pkey', 'kept_statistics'],
      ...['parts_at', 'parts_one_at_idx', 'parts_one_pkey', 'parts_pkey'],
    ])
    await client.query('set local search_path = pg_catalog')
    for (const statement of statements) await client.query(statement)
    await client.query('commit')
    await client.query('reset search_path')
    expect(await list()).toEqual(before)
  } finally {
    await client.end()
    await withAdmin((admin) => admin.query(`drop database ${name}`))
  }
})
