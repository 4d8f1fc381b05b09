import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { splitStatements } from '../../src/postgres/text/sql-statements.js'
import { prepareSql } from '../../src/schema/sql-text.js'
import { fixture } from './schema-database.js'

const problemsOf = (text: string) => prepareSql(text).problems

test('commands of psql are refused with their line, wherever they stand', () => {
  expect(problemsOf('select 1;\n\\connect other\nselect 2;\n  \\i more.sql')).toEqual([
    'line 2: \\connect is a command of psql and no SQL: remove it',
    'line 4: \\i is a command of psql and no SQL: remove it',
  ])
  expect(problemsOf('select 1 \\gset\n')).toEqual(['line 1: \\gset is a command of psql and no SQL: remove it'])
  expect(problemsOf('\\.')).toEqual(['line 1: \\ is a command of psql and no SQL: remove it'])
})

test('a backslash in a string, a comment, a name or a body is no command', () => {
  const text = String.raw`select E'\\connect', '\i', "\d", $$ \copy $$; -- \x
/* \restrict */ select 1`
  expect(prepareSql(text)).toMatchObject({ sql: text, problems: [] })
})

test('the two lines that pg_dump writes for psql are left out, and lines keep their numbers', () => {
  const text = '--\n\\restrict abC123\n\nselect 1;\n\\unrestrict abC123\n\nselect 2;'
  expect(prepareSql(text)).toMatchObject({ sql: '--\n\n\nselect 1;\n\n\nselect 2;', problems: [] })
  for (const command of [
    '\\restrict',
    '\\restrict a b',
    '\\restricted abc',
    ' \\restrict abc',
    '\\restrict abc; \\! ls',
  ]) {
    expect([command, problemsOf(command).length]).toEqual([command, 1])
  }
})

test('COPY from stdin is refused, and its data is not taken for SQL', () => {
  const text = 'create table t (a text);\n\nCOPY public.t (a, "from") FROM stdin;\nit\'s \\N; \\connect\n\\.\nbegin;'
  expect(problemsOf(text)).toEqual(['line 3: COPY from stdin or to stdout is for psql: use INSERT'])
  expect(problemsOf('copy (select 1) to stdout')).toHaveLength(1)
  expect(problemsOf("copy t from '/tmp/file'; copy t to program 'cat'")).toEqual([])
})

test('a file that begins or ends a transaction is refused, savepoints and bodies are not', () => {
  for (const statement of [
    'BEGIN',
    'begin work',
    'start transaction',
    'commit',
    'END',
    'rollback',
    'abort',
    'rollback and chain',
  ]) {
    expect([statement, problemsOf(`select 1;\n${statement};`)]).toEqual([
      statement,
      [expect.stringMatching(/^line 2: \w+ begins or ends a transaction/)],
    ])
  }
  const fine = `savepoint a; rollback to a; rollback to savepoint a; rollback work to savepoint a; release a;
    do $$ begin perform 1; end $$;
    create function f() returns int language sql begin atomic select 1; end;`
  expect(problemsOf(fine)).toEqual([])
})

test('what cannot run in a transaction needs the first line, and the first line counts only there', () => {
  const index = 'create index concurrently i on t (a)'
  expect(problemsOf(`select 1;\n${index}`)).toEqual([
    'line 2: CREATE INDEX CONCURRENTLY cannot run in a transaction: make "-- no-transaction" the first line of the file',
  ])
  expect(prepareSql(`-- no-transaction\n${index}`)).toMatchObject({ inTransaction: false, problems: [] })
  expect(prepareSql(index)).toMatchObject({ inTransaction: true })
  expect(prepareSql(index, { sendsSingleStatements: true })).toMatchObject({ inTransaction: false, problems: [] })
  for (const marker of [
    '\n-- no-transaction',
    'select 1;\n-- no-transaction',
    '-- NO-TRANSACTION',
    '-- no transaction',
  ]) {
    expect([marker, problemsOf(`${marker}\n`).length]).toEqual([marker, 1])
  }
  expect(problemsOf('-- no-transaction\ncreate unique index concurrently if not exists on t (a)')).toEqual([
    'line 2: CREATE INDEX CONCURRENTLY without a name: give it one, so that an unfinished index is found again',
  ])
})

test('a breakpoint of drizzle-kit ends a statement, in a comment only', () => {
  const text = "create table a ()\n--> statement-breakpoint\nselect '--> statement-breakpoint'"
  const { sql } = prepareSql(text, { hasBreakpoints: true })
  expect(splitStatements(sql)).toHaveLength(2)
  expect(sql.replace(';', '')).toBe(text)
})

test('the schema that every database has is made only where it is missing', () => {
  expect(prepareSql('select 1;\nCREATE SCHEMA public;').sql).toBe('select 1;\nCREATE SCHEMA if not exists public;')
  expect(prepareSql("select '\nCREATE SCHEMA public;'").sql).toBe("select '\nCREATE SCHEMA public;'")
})

test('the output of pg_dump has no problem', () => {
  const { problems, sql } = prepareSql(readFileSync(fixture('pg_dump.sql'), 'utf8'))
  expect(problems).toEqual([])
  expect(sql).not.toMatch(/^\\/m)
})

const pieces = [
  'select 1',
  "'it''s'",
  '$$ ; \\x $$',
  '-- c\n',
  '/* ; */',
  ';',
  '\n',
  ' ',
  '"q;"',
  "E'\\''",
  'begin',
  'copy t from stdin',
  '\\r',
  'x',
]

test('preparing a text of any kind keeps its lines, and never reads a part of it twice', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string()), { maxLength: 30 }), (parts) => {
      const text = parts.join('')
      const { sql, problems } = prepareSql(text, { hasBreakpoints: true })
      expect(sql.split('\n').length).toBe(text.split('\n').length)
      const lines = problems.map((problem) => Number(/^line (\d+): /.exec(problem)?.[1]))
      expect(lines.every((line) => line >= 1 && line <= text.split('\n').length)).toBe(true)
    }),
  )
  const long = `${'insert into t values ($$;$$);\n'.repeat(50_000)}\\connect x`
  expect(problemsOf(long)).toEqual([expect.stringContaining('line 50001: \\connect')])
})
