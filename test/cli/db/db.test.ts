import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectionVariables } from '../../../src/cli/db/psql.js'
import { sizeText } from '../../../src/cli/db/list.js'
import type { Tenancy } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { installed } from '../../support/installed-program.js'
import { runCommandLine } from '../../support/processes/command-line.js'
import { startInTerminal } from '../../support/processes/pseudo-terminal.js'
import { describeWith, linux, testWith } from '../../support/requirements.js'

const run = promisify(execFile)
let installation: Installation
let tenancy: Tenancy
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-db-'))
  installation = createInstallation()
  tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
  for (const slug of ['acme', 'globex']) await tenancy.createTenant({ slug, name: slug, owner: owner.id })
  await tenancy.createTenantDatabase()
})

afterAll(async () => {
  await rm(folder, { recursive: true })
  await installation.drop()
})

function db(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return runCommandLine(['db', ...args], { cwd: folder, env: { ...installation.env, ...env } })
}

describe('db list', () => {
  test('shows state, tenant, schema version and size', async () => {
    const { code, stdout } = await db(['list', '--json'])
    expect(code).toBe(0)
    const { databases } = JSON.parse(stdout) as { databases: { state: string; slug: string | null; bytes: number }[] }
    expect(databases.map(({ state, slug }) => `${state} ${slug}`).toSorted((a, b) => a.localeCompare(b))).toEqual([
      'assigned acme',
      'assigned globex',
      'ready null',
    ])
    for (const { bytes } of databases) expect(bytes).toBeGreaterThan(1_000_000)
  })

  test('in pages, by state', async () => {
    const first = JSON.parse((await db(['list', '--json', '--limit', '2'])).stdout) as {
      next: string
      databases: unknown[]
    }
    const second = JSON.parse(
      (await db(['list', '--json', '--limit', '2', '--after', first.next])).stdout,
    ) as typeof first
    expect([first.databases.length, second.databases.length, second.next]).toEqual([2, 1, null])
    const ready = JSON.parse((await db(['list', '--json', '--state', 'ready'])).stdout) as typeof first
    expect(ready.databases.length).toBe(1)
  })

  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [7_969_000, '7.6 MB'],
    [1024 ** 4 * 12, '12 TB'],
  ])('%d bytes are written as %s', (bytes, text) => expect(sizeText(bytes)).toBe(text))
})

describe('db reconcile and db activity', () => {
  test('nothing to do is said, and exit code 0', async () => {
    const { code, stdout } = await db(['reconcile', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({ dropped: [], purged: [], templates: [], failed: [], missing: [], unknown: [] })
  })

  test('a connection of another process is shown with its tenant', async () => {
    const tenant = await tenancy.getTenant('acme')
    await tenancy.getTenantPool(tenant).query('select 1')
    const { backends } = JSON.parse((await db(['activity', '--json'])).stdout) as {
      backends: { slug: string; query?: string }[]
    }
    expect(backends.map(({ slug }) => slug)).toContain('acme')
    expect(backends.every(({ query }) => query === undefined)).toBe(true)
  })
})

describeWith(installed('psql'), 'db shell', () => {
  async function isRunning(statement: string): Promise<boolean> {
    const backends = await tenancy.activity({ withQueries: true })
    return backends.some(({ query, state }) => state === 'active' && query?.includes(statement))
  }

  test('is the tenant’s role in the tenant’s database', async () => {
    const { code, stdout } = await db([
      'shell',
      'acme',
      '--',
      '-AtX',
      '-c',
      'select current_user = current_database(), current_database()',
    ])
    const tenant = await tenancy.getTenant('acme')
    expect([code, stdout]).toEqual([0, `t|${installation.prefix}${(tenant.databaseId ?? '').replaceAll('-', '')}\n`])
  })

  test('cannot reach another tenant’s database', async () => {
    const globex = await tenancy.getTenant('globex')
    const name = `${installation.prefix}${(globex.databaseId ?? '').replaceAll('-', '')}`
    const { code, stderr } = await db(['shell', 'acme', '--', '-X', '-c', `\\c ${name}`])
    expect(code).toBe(1)
    expect(stderr).toContain('permission denied')
  })

  test('with --owner it may change objects, and reaches no other database', async () => {
    const statement = 'create table made_by_hand (id int); drop table made_by_hand'
    const asTenant = await db(['shell', 'acme', '--', '-X', '-c', statement])
    expect([asTenant.code, asTenant.stderr]).toEqual([1, expect.stringContaining('permission denied')])
    const asOwner = await db(['shell', 'acme', '--owner', '--', '-X', '-c', statement])
    expect([asOwner.code, asOwner.stdout]).toEqual([0, expect.stringContaining('DROP TABLE')])
    const entries = await tenancy.audit.list({ tenant: 'acme' })
    expect(entries.filter(({ action }) => action === 'database.shell').at(-1)?.after).toEqual({ as: 'owner' })
    const globex = await tenancy.getTenant('globex')
    const name = `${installation.prefix}${(globex.databaseId ?? '').replaceAll('-', '')}`
    expect((await db(['shell', 'acme', '--owner', '--', '-X', '-c', `\\c ${name}`])).stderr).toContain(
      'permission denied',
    )
  })

  test('leaves an entry in the tenant’s chain of the audit log', async () => {
    await db(['shell', 'globex', '--', '-X', '-c', 'select 1'])
    const entries = await tenancy.audit.list({ tenant: 'globex' })
    expect(entries.filter(({ action }) => action === 'database.shell')).toHaveLength(1)
    expect(await tenancy.audit.verify({ tenant: 'globex' })).toMatchObject({ problems: [] })
  })

  test('a statement that fails is exit code 1, a tenant that is not there 3', async () => {
    expect((await db(['shell', 'acme', '--', '-X', '-c', 'select broken'])).code).toBe(1)
    expect((await db(['shell', 'nobody'])).code).toBe(3)
  })

  test('Ctrl-C ends a query and not the shell', async () => {
    const terminal = startInTerminal(['db', 'shell', 'acme', '--', '-X'], {
      cwd: folder,
      env: { ...installation.env, PAGER: '' },
    })
    await terminal.shows('acme=>')
    terminal.type('select pg_sleep(60);\r')
    // The statement is there when the server works on it.
    await expect.poll(async () => isRunning('pg_sleep(60)')).toBe(true)
    terminal.type('\x03')
    await terminal.shows('canceling statement due to user request')
    // A second one, which would end this program if it were ours.
    terminal.type('select pg_sleep(61);\r')
    await expect.poll(async () => isRunning('pg_sleep(61)')).toBe(true)
    terminal.type('\x03')
    await terminal.shows(/canceling[^]*canceling/)
    terminal.type("select 'still ' || 'here';\r")
    await terminal.shows('still here')
    terminal.type('\\q\r')
    expect(await terminal.ended).toBe(0)
  })
})

testWith(linux, 'the password is in no list of processes, and psql gets none of our settings', async () => {
  // A program in the place of psql, which shows how it was started.
  const path = join(folder, 'psql')
  await writeFile(
    path,
    `#!/bin/sh\ntr '\\0' ' ' < /proc/$PPID/cmdline > ${folder}/parent\ntr '\\0' ' ' < /proc/$$/cmdline > ${folder}/own\nenv > ${folder}/env\n`,
  )
  await chmod(path, 0o755)
  const { code } = await db(['shell', 'acme', '--', '-X'], {
    PATH: `${folder}:${process.env['PATH'] ?? ''}`,
    PGOPTIONS: '-c statement_timeout=12345',
  })
  expect(code).toBe(0)
  const [parent, own, env] = await Promise.all(
    ['parent', 'own', 'env'].map((name) => readFile(join(folder, name), 'utf8')),
  )
  const password = /^PGPASSWORD=(.+)$/m.exec(env ?? '')?.[1] ?? ''
  expect(password.length).toBeGreaterThan(40)
  expect(`${parent}${own}`).not.toContain(password)
  expect(env).not.toMatch(/^TENANT_/m)
  expect(env).not.toMatch(/^PGOPTIONS/m)
})

test('without psql the error says how to get it', async () => {
  const { stdout: node } = await run('sh', ['-c', 'dirname "$(command -v node)"'])
  const { code, stderr } = await db(['shell', 'acme'], { PATH: join(folder, 'nothing'), NODE: node })
  expect(code).toBe(1)
  expect(stderr).toContain('postgresql-client')
})

test('settings of TLS reach psql as libpq’s variables', () => {
  const account = { host: 'db.example.com', port: 5433, user: 'u', password: 'p', database: 'd', ssl: {} }
  expect(
    connectionVariables(
      account,
      'postgres://a:b@db.example.com/x?sslmode=verify-full&sslrootcert=/ca.pem&channel_binding=require',
    ),
  ).toMatchObject({
    ...{ PGHOST: 'db.example.com', PGPORT: '5433', PGUSER: 'u', PGDATABASE: 'd', PGSSLMODE: 'verify-full' },
    ...{ PGSSLROOTCERT: '/ca.pem', PGCHANNELBINDING: 'require' },
  })
  expect(connectionVariables({ ...account, ssl: { rejectUnauthorized: false } }, undefined)['PGSSLMODE']).toBe(
    'require',
  )
})
