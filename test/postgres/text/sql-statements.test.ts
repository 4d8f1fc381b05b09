import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SqlLexer } from '../../../src/postgres/text/sql-lexer.js'
import { statementLines, statementsOf } from '../../../src/postgres/text/sql-statements.js'
import { createTestDatabase, type TestDatabase } from '../../support/catalog.js'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** How many statements PostgreSQL finds in a script that it can run. */
async function countOf(script: string): Promise<number> {
  const client = await database.pool.connect()
  let count = 0
  const counting = () => {
    count += 1
  }
  const { connection } = client as unknown as {
    connection: { on(event: string, listener: () => void): void; off(event: string, listener: () => void): void }
  }
  connection.on('commandComplete', counting)
  try {
    await client.query(script)
    return count
  } finally {
    connection.off('commandComplete', counting)
    client.release()
  }
}

// Each is one statement, or none; with whatever could be taken for the end of one.
const pieces = [
  'select 1',
  "select 'it''s; here'",
  String.raw`select E'\';', e'\\'`,
  'select 1 as "a;""b"',
  'select $$ ; $$, $a$ $$ ; $b$ $a$',
  '/* a; /* nested; */ still; */ select 2',
  '-- a comment; only',
  'select 1 -- ; behind it',
  'select /* ; */ 3',
  '',
  '  ',
  'select $1$1',
  'create or replace function f(a int default (1)) returns int language sql begin atomic select case when a = 1 then 1 end; select 2; end',
  'create or replace procedure p() language sql begin atomic select 1; select 2; end',
  'create or replace procedure p2() language sql begin atomic select 1 as end; select 2 end; select 3 as case; end',
  'create or replace function f2() returns int language sql begin atomic; select a.end from (select 1 as "end") as a; end',
  'create or replace function f3(begin int) returns int language sql return case when begin = 1 then 1 end',
  'create or replace function g() returns int language plpgsql as $$ begin return 1; end $$',
  "create or replace function h() returns text language sql as 'select '';''; select ''x'' '",
  'do $x$ begin perform 1; end $x$',
  'create temp table if not exists t (a int); create or replace rule r as on insert to t do instead (select 1; select 2)',
  'begin',
  'commit',
  'select 1 as "case", 2 as "end"',
  "select U&'d\\0061t;a'",
  'values (1, (2)), (3, 4)',
].filter((piece) => piece !== 'select $1$1')

test('statements are counted as PostgreSQL counts them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...pieces), { maxLength: 8 }), async (chosen) => {
      // A comment to the end of the line needs one.
      const script = chosen.map((piece) => `${piece}\n`).join(';')
      const lines = statementLines(script)
      if (lines.length === 0) return
      expect([script, lines.length]).toEqual([script, await countOf(script)])
    }),
    { numRuns: 150 },
  )
})

test('a statement begins in the line of its first word', () => {
  const script = `-- a comment

create table a (
  id int
); insert into a values (1);

/* about b;
   two lines */ create table b (id int);
create function f() returns int language sql
begin atomic
  select 1;
  select case when true then 2 end;
end;
  select f()`
  expect(statementLines(script)).toEqual([3, 5, 8, 9, 14])
  expect([statementLines(''), statementLines(';;'), statementLines('-- nothing')]).toEqual([[], [], []])
})

test('a text that is no SQL, or has no end, is read to its end', () => {
  for (const script of ["select 'open", 'select "open', '$$ open', '/* open', '/* /* */', ')))((', "E'\\"]) {
    expect(statementLines(script).length).toBeLessThanOrEqual(2)
  }
  const long = `select '${'x'.repeat(5_000_000)}';\nselect $$${'y;'.repeat(1_000_000)}$$; select 3`
  expect(statementLines(long)).toEqual([1, 2, 2])
  const comment = `/*${' *'.repeat(1_000_000)} */ select 1`
  expect(statementLines(comment)).toEqual([1])
})

/** The tokens of a text, as it has them. */
function tokensOf(text: string): string[] {
  const lexer = new SqlLexer(text)
  const tokens: string[] = []
  while (lexer.next()) tokens.push(lexer.text)
  return tokens
}

const openings = ['/*', '*/', "'", "e'", '"', '$$', '$a$', '--', '\n', ';', '(', 'a', '\\', ' ', '1', 'begin atomic ']

test('every character of a text belongs to exactly one token', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...openings), fc.string()), { maxLength: 30 }), (parts) => {
      const text = parts.join('')
      const tokens = tokensOf(text)
      expect(tokens.join('')).toBe(text)
      expect(tokens.every((token) => token !== '')).toBe(true)
    }),
  )
})

test('a token that does not end reaches to the end of the text, so that thousands of openings are not each read to it', () => {
  const others: Readonly<Record<string, string>> = {
    '/*': '/* \' " $$ -- ; ',
    "'": '/* " $$ -- ; ',
    "e'": '/* " $$ \\\' -- ; ',
    '"': "/* ' $$ -- ; ",
    $$: '/* \' " $a$ -- ; ',
    $a$: '/* \' " $$ -- ; ',
  }
  for (const [opening, other] of Object.entries(others)) {
    const text = `${opening} ${other.repeat(20_000)}`
    expect([opening, tokensOf(text).length]).toEqual([opening, 1])
    expect([opening, statementsOf(`select 1;select ${text}`).length]).toEqual([opening, 2])
  }
})
