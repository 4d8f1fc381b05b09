import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { catalogSchemaText } from '../../scripts/catalog-schema-text.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'

/** Returns the text of schema.sql for a new catalog after `change`. */
async function textAfter(change: string): Promise<string> {
  const catalog: TestDatabase = await createTestCatalog()
  try {
    await catalog.pool.query(change)
    const client = await catalog.pool.connect()
    try {
      return await catalogSchemaText(client)
    } finally {
      client.release()
    }
  } finally {
    await catalog.drop()
  }
}

const committed = async () =>
  (await readFile(new URL('../../src/catalog/schema.sql', import.meta.url), 'utf8')).replaceAll('\r\n', '\n')

test('schema.sql matches a new catalog (to renew it: npm run build && node scripts/catalog-schema.js)', async () => {
  expect(await textAfter('')).toBe(await committed())
})

test.each([
  ['another column', 'alter table users add column nickname text'],
  ['another default of a column', "alter table users alter column name set default 'nobody'"],
  ['another constraint', "alter table users add constraint users_name_check check (name <> 'x')"],
  ['another index', 'create index users_name_idx on users (name)'],
  ['one trigger less', 'drop trigger users_updated_at on users'],
  ['a disabled trigger', 'alter table users disable trigger users_updated_at'],
  [
    'another body of a function',
    'create or replace function plain_address(address text) returns text language sql immutable as $$ select address $$',
  ],
  ['another setting of a function', 'alter function audit_field(text) set enable_seqscan = off'],
  ['another table', 'create table more (id int)'],
  ['another row', "insert into roles (name) values ('Guest')"],
])('schema.sql differs from a catalog with %s', async (_what, change) => {
  expect(await textAfter(change)).not.toBe(await committed())
})

test.each([
  ['a view', 'create view more as select 1', 'view more'],
  ['a sequence', 'create sequence more', 'sequence more'],
  ['a type', "create type more as enum ('a')", 'type more'],
  ['a domain', 'create domain more as text', 'type more'],
  ['an aggregate', 'create aggregate more (int) (sfunc = int4pl, stype = int)', 'function more(integer)'],
  ['a policy', 'create policy more on users', 'policy more on table users'],
  ['a rule', 'create rule more as on delete to users do nothing', 'rule more on table users'],
  ['privileges on a table', 'grant select on users to public', 'privileges on users'],
  [
    'privileges on a function',
    'revoke execute on function set_updated_at() from public',
    'privileges on set_updated_at',
  ],
  ['a comment', "comment on column users.name is 'x'", 'a comment on column name of table users'],
])('the script for schema.sql refuses a catalog with %s, which it does not show', async (_what, change, named) => {
  await expect(textAfter(change)).rejects.toThrow(`scripts/catalog-schema-text.js cannot show ${named}`)
})
