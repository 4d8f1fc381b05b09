import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { lintMigration, lintMigrations } from '../../../src/fleet/lint/lint-migrations.js'

const places = (findings: readonly { readonly file: string; readonly line: number; readonly rule: string }[]) =>
  findings.map(({ file, line, rule }) => `${file}:${line} ${rule}`)

describe('a lint-ignore comment', () => {
  const index = 'create index i on orders (a);'

  test('before a statement allows its rule there, and the reason is reported', async () => {
    const sql = `-- lint-ignore index-not-concurrent: forty rows: a minute at most\n${index}\ncreate index j on orders (b);`
    const { findings, ignored } = await lintMigration({ name: 'a.sql', sql })
    expect(places(findings)).toEqual(['a.sql:3 index-not-concurrent'])
    expect(ignored).toEqual([
      expect.objectContaining({ line: 2, rule: 'index-not-concurrent', reason: 'forty rows: a minute at most' }),
    ])
  })

  test('works behind a statement on the same line, and inside of one', async () => {
    const sql = `${index} -- lint-ignore index-not-concurrent: small\ncreate index j\n  -- lint-ignore index-not-concurrent: small\n  on orders (b);`
    const { findings, ignored } = await lintMigration({ name: 'a.sql', sql })
    expect(findings).toEqual([])
    expect(ignored.map(({ line }) => line)).toEqual([1, 2])
  })

  test.for([
    ['-- lint-ignore index-not-concurrent', 'Ignoring index-not-concurrent needs a reason'],
    ['-- lint-ignore index-not-concurrent:  ', 'Ignoring index-not-concurrent needs a reason'],
    ['-- lint-ignore: because', 'There is no rule "" to ignore'],
    ['-- lint-ignore no-such-rule: because', 'There is no rule "no-such-rule" to ignore'],
    ['/* lint-ignore index-not-concurrent: because */', 'There is no rule "" to ignore'],
  ] as const)('that is wrong allows nothing: %s', async ([comment, message]) => {
    const { findings } = await lintMigration({ name: 'a.sql', sql: `${comment}\n${index}` })
    expect(places(findings)).toEqual(['a.sql:1 ignore-comment', 'a.sql:2 index-not-concurrent'])
    expect(findings[0]).toMatchObject({ severity: 'error', message })
  })

  test('that allows nothing is a warning', async () => {
    const { findings } = await lintMigration({ name: 'a.sql', sql: '-- lint-ignore truncate: old\nselect 1;' })
    expect(findings).toEqual([expect.objectContaining({ rule: 'ignore-comment', severity: 'warning', line: 1 })])
  })

  test('in a string is none', async () => {
    const sql = `select '-- lint-ignore index-not-concurrent: x'; ${index}`
    expect(places((await lintMigration({ name: 'a.sql', sql })).findings)).toEqual(['a.sql:1 index-not-concurrent'])
  })
})

test('a file that cannot be parsed is an error with its line', async () => {
  const sql = "select 'é日本';\nselect 1;\n\nalter table orders ad column a int;"
  const { findings } = await lintMigration({ name: 'a.sql', sql })
  expect(places(findings)).toEqual(['a.sql:4 syntax-error'])
  expect(findings[0]?.message).toContain('syntax error at or near')
})

test('lines are right behind characters of several bytes', async () => {
  const sql = '-- Größe: 日本\n\n/* é\n */ create index i on "Übersicht" ("Straße");'
  expect(places((await lintMigration({ name: 'a.sql', sql })).findings)).toEqual(['a.sql:4 index-not-concurrent'])
})

test('a function is a note and no pass', async () => {
  const report = await lintMigrations({ files: [{ name: 'a.ts' }] })
  expect(report).toEqual({
    findings: [],
    ignored: [],
    notes: [{ file: 'a.ts', line: undefined, message: 'A function cannot be linted: rehearse it' }],
  })
})

test('what a DO block makes at run time is a note; what it says is linted', async () => {
  const sql = `select 1;
do $$
begin
  execute 'drop table orders';
  execute format('drop table %I', 'x');
  perform set_config('lock_timeout', '0', true);
end $$;`
  const { findings, notes } = await lintMigration({ name: 'a.sql', sql })
  expect(places(findings)).toEqual(['a.sql:4 drop-table', 'a.sql:6 set-lock-timeout'])
  expect(notes).toEqual([expect.objectContaining({ file: 'a.sql', line: 5 })])
})

test('a first line `-- no-transaction` counts', async () => {
  const sql = '-- no-transaction\ncreate index concurrently i on orders (a);'
  expect((await lintMigration({ name: 'a.sql', sql })).findings).toEqual([])
})

describe('of several files', () => {
  const files = [
    { name: '1.sql', sql: 'create table a (id int); create index on a (id);' },
    { name: '2.sql', sql: 'create table b (id int); create index on a (id);' },
    { name: '3.sql', sql: 'create index on b (id);' },
  ]

  test('each is judged as if tenants had those before it', async () => {
    const { findings } = await lintMigrations({ files })
    expect(places(findings)).toEqual(['2.sql:1 index-not-concurrent', '3.sql:1 index-not-concurrent'])
  })

  test('those that no tenant has are one run', async () => {
    const { findings } = await lintMigrations({ files, firstPending: '2.sql' })
    expect(places(findings)).toEqual(['2.sql:1 index-not-concurrent'])
  })

  test('an unknown first one is refused', async () => {
    await expect(lintMigrations({ files, firstPending: '9.sql' })).rejects.toMatchObject({
      code: 'TENANCY_REQUEST_INVALID',
    })
  })
})

test('wrong options are refused', async () => {
  await expect(lintMigrations({ files: 'a' } as never)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  await expect(lintMigration({ name: '' })).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
})

test('any text gives a report', async () => {
  const words = [
    'alter table a',
    'add column',
    'b int',
    ';',
    "'",
    '$$',
    'do',
    'begin',
    '--',
    '/*',
    '\0',
    'é',
    '"',
    'drop',
    '(',
    ')',
  ]
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(fc.constantFrom(...words), fc.string())), async (parts) => {
      const { findings } = await lintMigration({ name: 'a.sql', sql: parts.join(' ') })
      expect(Array.isArray(findings)).toBe(true)
    }),
    { numRuns: 300 },
  )
})
