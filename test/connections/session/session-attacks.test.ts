import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { factsOf } from '../../../src/connections/session/statement-effects.js'
import { createTestDatabase, type TestDatabase } from '../../support/catalog.js'

// The judge and PostgreSQL read the same text. PostgreSQL shows what changes the session. The judge must not have called
// such a text clean.
let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  database = await createTestDatabase()
  client = new pg.Client(database.url)
  await client.connect()
  await client.query(`create table t (a int, b text); insert into t values (1, 'x')`)
})
afterAll(async () => {
  await client.end()
  await database.drop()
})
beforeEach(() => client.query('discard all'))

async function changesSession(text: string): Promise<boolean> {
  await client.query(text).catch(() => {})
  const { rows } = await client
    .query<{ changed: boolean }>(
      `select coalesce(current_setting('app.x', true), '') <> '' or coalesce(current_setting('local.x', true), '') <> '' or current_setting('statement_timeout') <> '0'
       or current_setting('work_mem') <> '4MB'
       or exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())
       or exists (select from pg_listening_channels())
       or exists (select from pg_class where relnamespace = pg_my_temp_schema())
       or exists (select from pg_prepared_statements) or exists (select from pg_cursors where name <> '') as changed`,
    )
    .catch(async () => {
      await client.query('rollback')
      return { rows: [{ changed: false }] }
    })
  const changed = rows[0]?.changed === true
  if (changed) await client.query('rollback; discard all').catch(() => client.query('discard all'))
  return changed
}

const gaps = ['', ' ', '\n', '\t', '\f', '/**/', '/* ( */', '--(\n', '--\r', ' /* a */ -- b\n ']
const spellings = [
  'set_config',
  'SET_CONFIG',
  '"set_config"',
  'pg_catalog.set_config',
  'pg_catalog . "set_config"',
  '"pg_catalog"./**/set_config',
  'PG_Catalog.Set_Config',
  `U&"set!005fconfig" uescape '!'`,
  `u&"set_config"`,
  'pg_advisory_lock',
  'pg_try_advisory_lock_shared',
]
const callSites = [
  'select CALL',
  'select 1, CALL as lower',
  'values (CALL)',
  '(select CALL)',
  'with lower as (select CALL) select * from lower',
  'with recursive r (a) as materialized (select CALL) table r',
  'select * from CALL as lower (a)',
  'select * from t where CALL is not null',
  'select * from t order by CALL',
  'select * from t limit length(CALL::text)',
  'select a from t group by a having CALL is not null',
  'select case when a = 1 then CALL end from t',
  'insert into t (b) select CALL',
  'insert into t (a) values (1) returning CALL',
  'update t set b = CALL',
  'delete from t where CALL is null',
  'merge into t using (select CALL as c) as s on false when matched then delete',
  'select * from rows from (CALL) as f (a)',
  'select * from t, lateral CALL as f (a)',
  'select count(*) filter (where CALL is not null) from t',
  'select row_number() over (order by CALL) from t',
  'select array(select CALL)',
  'select * from t join t as u on (CALL is not null)',
  `select 'a' 'b', CALL`,
  `select e'\\'', CALL`,
  `select 'lower(', CALL`,
  'select "a" from t where CALL is not null',
  'select coalesce(null, CALL)',
  'select (CALL)::text',
  'select exists (select CALL)',
]

test(
  'a function that keeps session state is recognised wherever it stands and however it is spelled',
  { timeout: 120_000 },
  async () => {
    let changed = 0
    for (const callSite of callSites) {
      for (const spelling of spellings) {
        for (const gap of gaps) {
          const values = /lock/i.test(spelling) ? '(7)' : `('app.x', 'y', false)`
          const text = callSite.replace('CALL', () => `${spelling}${gap}${values}`)
          // A judgement costs nothing. PostgreSQL runs only some of the texts.
          const clean = factsOf(text).clean
          expect(clean, text).toBe(false)
          if ((gap === '' || gap === '/* ( */') && (await changesSession(text))) changed += 1
        }
      }
    }
    // Otherwise the call sites would prove nothing.
    expect(changed).toBeGreaterThan(300)
  },
)

const bases = [
  `select set_config('app.x', 'y', false)`,
  `select lower(set_config('app.x', 'y', false)) as set_config`,
  `set app.x = 'y'`,
  `set local.x = 'y'`,
  `set session statement_timeout = '7s'`,
  `set local statement_timeout = '7s'`,
  `update pg_settings set setting = '7s' where name = 'statement_timeout'`,
  'select * into temp q from t',
  'with a as (select 1) select * into temp q from a',
  'select pg_advisory_lock(1), pg_catalog.pg_advisory_lock_shared(2)',
  'listen news',
  'prepare p as select lower($1)',
  'declare c cursor with hold for select 1',
  'create temp table q (a int)',
  `do $$ begin perform set_config('app.x', 'y', false); end $$`,
  `insert into t (b) select set_config('app.x', 'y', false)`,
  `merge into t using (select pg_advisory_lock(3) is null as c) as s on s.c when matched then delete`,
  `begin; set app.x = 'y'; commit`,
]
const spares = [
  ...[
    '',
    ' ',
    '/**/',
    '--\n',
    '\n',
    '(',
    ')',
    ',',
    ';',
    '.',
    '*',
    '1',
    'local',
    'session',
    'lower',
    '"lower"',
    'as',
    'into',
    'with',
  ],
  ...[
    'select',
    'table',
    'values',
    'insert into',
    'temp',
    'begin',
    'commit',
    `'a'`,
    `''`,
    `e'\\''`,
    '$$',
    'u&',
    `uescape '!'`,
    '\u00a0',
    'x',
    '::',
  ],
]

/** A slightly changed statement that keeps something in the session. */
const almost = fc
  .tuple(
    fc.constantFrom(...bases),
    fc.array(
      fc.tuple(fc.nat(60), fc.constantFrom('put', 'replace', 'drop', 'upper', 'quote'), fc.constantFrom(...spares)),
      { maxLength: 3 },
    ),
  )
  .map(([base, changes]) => {
    const parts = base.split(/(\s+|[(),;.*])/)
    for (const [at, change, spare] of changes) {
      const index = at % parts.length
      const part = parts[index] ?? ''
      if (change === 'put') parts.splice(index, 0, spare)
      else if (change === 'replace') parts[index] = spare
      else if (change === 'drop') parts.splice(index, 1)
      else parts[index] = change === 'upper' ? part.toUpperCase() : `"${part}"`
    }
    return parts.join('')
  })

test(
  'a statement that keeps session state is never called clean, however it is changed',
  { timeout: 120_000 },
  async () => {
    let changed = 0
    await fc.assert(
      fc.asyncProperty(almost, async (text) => {
        const { clean } = factsOf(text)
        if (!(await changesSession(text))) return
        changed += 1
        expect(clean, text).toBe(false)
      }),
      { numRuns: 1500 },
    )
    expect(changed).toBeGreaterThan(150)
  },
)
