import fc from 'fast-check'
import { expect, test } from 'vitest'
import { factsOf } from '../../../src/connections/session/statement-effects.js'

const leavesSessionClean = (text: string): boolean => factsOf(text).clean

const clean = [
  'select id, name from items where id = $1',
  'SELECT count(*), max("id") FROM "public"."items" WHERE id IN ($1, $2) AND (name = $3 OR name like $4);',
  'insert into "users" ("id", "email") values ($1, $2) returning "id"',
  'insert into "app"."users" ("id") values ($1) on conflict ("id") do update set ("a", "b") = ($2, $3)',
  'update items set name = lower($1), at = now() where id = $2',
  'with t ("a") as (select 1), u as (select 2) select * from t, u',
  "select * from (values (1, 'set_config(1)')) as v (a, b)",
  'select 1 -- set role x',
  'select /* from set_config( */ 1::numeric(10, 2)',
  'begin',
  'BEGIN ISOLATION LEVEL SERIALIZABLE;',
  'start transaction read only',
  'commit',
  'rollback to savepoint s1',
  'release savepoint s1',
  "set local statement_timeout = '1s'",
  'delete from items using other where (items.id = other.id)',
  'select pg_catalog.lower($1)',
  'select * from json_to_recordset($1) as x(a int, b text)',
  'select row_number() over (partition by a order by b) from t',
]

const unclean = [
  '',
  'set role other',
  'SET search_path = x',
  "select set_config('app.user', $1, false)",
  "select set_config/**/('app.user', $1, false)",
  "select set_config\n--x\n('app.user', $1, false)",
  `select "set_config"('app.user', $1, false)`,
  `select pg_catalog."set_config"('app.user', $1, false)`,
  'select pg_catalog.set_config($1, $2, false)',
  'select pg_advisory_lock(1)',
  'select pg_try_advisory_lock(1)',
  'select my_function()',
  'select app.lower($1)',
  'select x.my_function(lower($1))',
  'listen channel',
  'prepare p as select 1',
  'declare c cursor with hold for select 1',
  'create temp table t (id int)',
  'select * into temp t from items',
  'with x as (select 1) select * into temporary t from x',
  'do $$ begin perform 1; end $$',
  'select 1; set role other',
  "select 'a' ; set role other --",
  "select E'\\'', set_config('a', 'b', false) --'",
  "select 'a\\', set_config('a', 'b', false) --'",
  'select $x$ $x$, set_config($1, $2, false)',
  'select /* /* */ 1, set_config($1, $2, false) */ 2',
  'select U&"set\\005fconfig"($1, $2, false)',
  'explain analyze select my_function()',
  "commit prepared 'x'",
  'select setseed(0.5)',
  "select nextval('s')",
  'copy items to stdout',
  'call work()',
  'discard all',
  'insert into items select my_function(1)',
  'select * from my_function($1) as t (a)',
  // Found by attacks:
  "set local.x = 'a setting of the session called local.x'",
  `select U&"set!005fconfig" uescape '!' ('app.user', $1, false)`,
  `select u&"x" from items`,
  "update pg_settings set setting = $1 where name = 'search_path'",
  'update pg_catalog."pg_settings" set setting = $1',
  // To PostgreSQL, a no-break space is a letter, and the Kelvin sign is no k.
  'select 1 as\u00a0my_function ($1)',
  'select ran\u212a($1)',
  "select 'x' (1)",
  'select 1(1)',
  `select ${'x'.repeat(64)} from items`,
]

test.each(clean)('a statement is known to leave the session clean: %s', (text) =>
  expect(leavesSessionClean(text)).toBe(true),
)
test.each(unclean)('a statement is followed by a reset: %s', (text) => expect(leavesSessionClean(text)).toBe(false))

test('no text, however strange, hides a call of set_config outside literals and comments', () => {
  const noise = fc.constantFrom(
    'select ',
    "'a'",
    "''",
    '"x"',
    '/* c */',
    '-- l\n',
    '$1',
    '(',
    ')',
    ',',
    ' as ',
    ' into ',
    '.',
    ' ',
    '\n',
    'lower(',
    "E'\\''",
    '1',
  )
  const gap = fc.constantFrom('', ' ', '\n', '/**/', '--\n', '\t')
  fc.assert(
    fc.property(fc.array(noise, { maxLength: 12 }), gap, fc.array(noise, { maxLength: 6 }), (before, space, after) => {
      const text = `select 1, ${before.join(' ')} , set_config${space}($1, $2, false) ${after.join(' ')}`
      expect(leavesSessionClean(text)).toBe(false)
    }),
    { numRuns: 2000 },
  )
})

test('any text is judged without an error', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => void leavesSessionClean(text)),
    { numRuns: 3000 },
  )
})
