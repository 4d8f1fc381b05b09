import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createAccounts, type CreateAccountsOptions } from '../../../src/accounts/index.js'
import { createTenancy, findTenancyError } from '../../../src/index.js'
import { createTestAccount, type TestAccount } from '../../support/account.js'
import { createInstallation, type Installation, type OpenOptions } from '../../support/installation.js'
import { testServer, urlOf, withAdmin } from '../../support/server.js'
import { type ProxyMode, startTcpProxy } from '../../support/proxies/tcp-proxy.js'

let account: TestAccount
let installation: Installation
let schemaDir: string

beforeEach(async () => {
  account = await createTestAccount()
  installation = createInstallation({ TENANT_DATABASE_URL: account.url })
  schemaDir = await mkdtemp(join(tmpdir(), 't2f-schema-'))
})
afterEach(async () => {
  await installation.drop()
  await account.disconnected()
  await account.drop()
  await rm(schemaDir, { recursive: true })
})

/** Opens a tenancy that must fail and returns the error. Everything that was opened has been closed again. */
async function failure(options: OpenOptions): Promise<Error & { code: string }> {
  const error: unknown = await installation.open(options).catch((problem: unknown) => problem)
  const known = findTenancyError(error)
  if (known === undefined) throw new Error('This was to fail with a code', { cause: error })
  await account.disconnected()
  // As Node prints an uncaught error.
  const printed = inspect(error, { depth: null, showHidden: true })
  for (const secret of [account.password, installation.env['TENANT_SECRET']]) {
    if (secret !== undefined) expect(printed).not.toContain(secret)
  }
  return known
}

test('an option that nobody knows is refused by name, and the known ones are listed', async () => {
  const error = await failure({ schmaDir: schemaDir } as object)
  expect(error.code).toBe('TENANCY_CONFIG_INVALID')
  expect(error.message).toMatch(/createTenancy has no option "schmaDir"; it takes .*schemaDir/)
  const tenancy = await installation.open()
  await expect(createAccounts({ tenancy, browserOrigin: [] } as CreateAccountsOptions)).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_INVALID',
    message: expect.stringContaining('"browserOrigin"'),
  })
  await tenancy.close()
})

describe('the secret', () => {
  test('a secret other than the catalog’s is refused, everything is closed, and the right secret works again', async () => {
    await (await installation.open()).close()
    await account.disconnected()
    const wrong = 'f'.repeat(64)
    const error = await failure({ env: { TENANT_SECRET: wrong } })
    expect(error.code).toBe('TENANCY_CONFIG_SECRET_MISMATCH')
    expect(inspect(error)).not.toContain(wrong)
    await (await installation.open()).close()
  })

  test('the development secret is the same at every start, and is warned about but never shown', async () => {
    const env = { TENANT_SECRET: undefined }
    const tenancy = await installation.open({ env })
    const owner = await tenancy.createUser({ email: 'a@example.com', emailVerified: true })
    await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
    await tenancy.close()
    const again = await installation.open({ env })
    const pool = again.getTenantPool(await again.getTenant('acme'))
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    expect(installation.log).toContainEqual({
      level: 'warn',
      fields: {},
      message: expect.stringMatching('No TENANT_SECRET'),
    })
    // The development secret is derived from the superuser's password.
    await again.close()
    const other = await createTestAccount()
    try {
      expect((await failure({ env: { ...env, TENANT_DATABASE_URL: other.url } })).code).toBe(
        'TENANCY_CONFIG_SECRET_MISMATCH',
      )
      await other.disconnected()
    } finally {
      await other.drop()
    }
  })
})

describe('the schema folder', () => {
  test.each([
    ['is missing', {}, 'TENANCY_DATABASE_SCHEMA_INVALID', /no-such-folder/],
    ['has a badly named file', { 'notes.sql': 'select 1' }, 'TENANCY_DATABASE_SCHEMA_INVALID', /notes\.sql/],
    [
      'has a number twice',
      { '0001_a.sql': 'select 1', '0001_b.sql': 'select 1' },
      'TENANCY_DATABASE_SCHEMA_INVALID',
      /0001_a\.sql and 0001_b\.sql/,
    ],
    [
      'has SQL that PostgreSQL refuses',
      { '0001_ok.sql': 'create table ok ()', '0002_bad.sql': 'select 1;\n  create tabel x ()' },
      'TENANCY_DATABASE_SCHEMA_FAILED',
      /0002_bad\.sql, line 2, column 10: syntax error/,
    ],
    [
      'ends its own transaction',
      { '0001_commit.sql': 'create table ok (); commit' },
      'TENANCY_DATABASE_SCHEMA_INVALID',
      /0001_commit\.sql/,
    ],
  ])('a schema folder that %s fails the start cleanly, and the next start works', async (_name, files, code, text) => {
    for (const [name, sql] of Object.entries(files)) await writeFile(join(schemaDir, name), sql)
    const folder = Object.keys(files).length === 0 ? join(schemaDir, 'no-such-folder') : schemaDir
    const error = await failure({ schemaDir: folder })
    expect(error.code).toBe(code)
    expect(error.message).toMatch(text)
    // Only a complete catalog and the group roles, which have no rights, are left.
    const left = await installation.onServer()
    expect(left.databases).toEqual([installation.catalogName])
    const groups = [`${installation.prefix}members`, `${installation.prefix}owners`]
    expect(left.roles.filter((name) => !groups.includes(name))).toEqual([])

    await Promise.all(Object.keys(files).map((name) => rm(join(schemaDir, name))))
    await writeFile(join(schemaDir, '0001_fixed.sql'), 'create table fixed ()')
    const tenancy = await installation.open({ schemaDir })
    const owner = await tenancy.createUser({ email: 'a@example.com', emailVerified: true })
    const tenant = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
    const pool = tenancy.getTenantPool(tenant)
    expect((await pool.query('select * from fixed')).rows).toEqual([])
    await tenancy.close()
  })

  test('a catalog that a failed start has created is complete, and nothing is in it twice', async () => {
    await failure({ schemaDir: join(schemaDir, 'no-such-folder') })
    await failure({ schemaDir: join(schemaDir, 'no-such-folder') })
    const tenancy = await installation.open()
    expect(await tenancy.listTenants()).toEqual([])
    expect(tenancy.rules.knows({ kind: 'permission', name: 'reports:read' })).toBe(true)
    await tenancy.close()
  })
})

describe('the server', () => {
  test.each<ProxyMode>(['refuse', 'reset', 'silence'])(
    'a server that does not answer (%s) gives an error with a code that names it',
    async (mode) => {
      const proxy = await startTcpProxy(await testServer())
      const url = new URL(account.url)
      url.port = String(proxy.port)
      await proxy.set(mode)
      try {
        const env = { TENANT_DATABASE_URL: url.href }
        const errors = await Promise.all([failure({ env }), failure({ env: { ...env, TENANT_SECRET: undefined } })])
        for (const error of errors) {
          expect(error.code).toBe('TENANCY_CATALOG_UNAVAILABLE')
          expect(error.message).toContain(`127.0.0.1:${proxy.port}`)
        }
      } finally {
        await proxy.close()
      }
    },
  )

  const changed = (change: (url: URL) => void): OpenOptions => {
    const url = new URL(account.url)
    change(url)
    return { env: { TENANT_DATABASE_URL: url.href } }
  }

  test('a wrong password or an unknown account gives an error with a code', async ({ skip }) => {
    const wrong = 'wrong-and-secret-as-well'
    const { host, port } = await testServer()
    const client = new pg.Client({ host, port, user: account.name, password: wrong, database: 'postgres' })
    const asksForPasswords = await client.connect().then(
      () => false,
      () => true,
    )
    await client.end()
    if (!asksForPasswords) skip('needs a server that asks for passwords: its pg_hba.conf trusts this machine')
    for (const options of [
      changed((url) => (url.password = wrong)),
      changed((url) => (url.username = 'nobody_here')),
    ]) {
      const error = await failure(options)
      expect(error.code).toBe('TENANCY_CATALOG_UNAVAILABLE')
      expect(error.message).toContain('password authentication failed')
      expect(inspect(error, { depth: null })).not.toContain(wrong)
    }
  })

  test('a database or host that does not exist gives an error with a code', async () => {
    for (const [options, text] of [
      [changed((url) => (url.pathname = '/no_such_database')), /"no_such_database" does not exist/],
      [changed((url) => (url.hostname = 'no-such-host.invalid')), /ENOTFOUND|EAI_AGAIN/],
    ] as const) {
      const error = await failure(options)
      expect(error.code).toBe('TENANCY_CATALOG_UNAVAILABLE')
      expect(error.message).toMatch(text)
    }
  })

  test.each(['nosuperuser', 'createdb', 'createrole'])(
    'an account that may not create databases and roles (%s) is reported before anything is created',
    async (attributes) => {
      const weak = await createTestAccount(attributes)
      try {
        const error = await failure({ env: { TENANT_DATABASE_URL: weak.url } })
        expect(error.code).toBe('TENANCY_CONFIG_INVALID')
        expect(error.message).toMatch(`The account "${weak.name}"`)
        expect(error.message).toMatch('may not create databases and roles')
        expect(await installation.onServer()).toEqual({ databases: [], roles: [] })
        await weak.disconnected()
      } finally {
        await weak.drop()
      }
    },
  )

  test('an account that may create databases and roles is enough without being superuser', async () => {
    const modest = await createTestAccount('createdb createrole')
    const own = createInstallation({ TENANT_DATABASE_URL: modest.url, TENANT_READY_DATABASES: '1' })
    try {
      const tenancy = await own.open()
      const owner = await tenancy.createUser({ email: 'a@example.com', emailVerified: true })
      const acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
      const { rows } = await tenancy.getTenantPool(acme).query('select current_user = current_database() as own')
      expect(rows).toEqual([{ own: true }])
      await writeFile(join(schemaDir, '0001_more.sql'), 'create table more ()')
      await tenancy.fillStock()
      await tenancy.deleteTenant({ tenant: 'acme' })
      await tenancy.reconcile()
      await tenancy.close()
      expect(own.log.filter((line) => line.level === 'error')).toEqual([])
    } finally {
      await own.drop()
      await modest.disconnected()
      await modest.drop()
    }
  })
})

describe('settings', () => {
  test('createTenancy() reads the environment, an unknown TENANT_ variable fails the start, and every problem is named at once', async () => {
    vi.stubEnv('TENANT_DATABASE_URL', account.url)
    vi.stubEnv('TENANT_CATALOG_DB', installation.catalogName)
    vi.stubEnv('TENANT_TOKEN_TLL', '900')
    vi.stubEnv('TENANT_MAX_CONNECTIONS', 'many')
    vi.stubEnv('TENANT_SECRET', 'too-short-and-secret')
    try {
      const error: unknown = await createTenancy().catch((problem: unknown) => problem)
      expect(error).toMatchObject({ code: 'TENANCY_CONFIG_INVALID' })
      const printed = inspect(error)
      for (const name of ['TENANT_TOKEN_TLL', 'TENANT_MAX_CONNECTIONS', 'TENANT_SECRET']) {
        expect(printed).toContain(name)
      }
      expect(printed).not.toMatch(/too-short-and-secret/)
      expect(printed).not.toContain(account.password)
      expect(await installation.onServer()).toEqual({ databases: [], roles: [] })
    } finally {
      vi.unstubAllEnvs()
    }
  })

  test('an issuer without a safe address for its keys fails the start, and everything is closed', async () => {
    const error = await failure({
      env: { TENANT_OIDC_ISSUERS: JSON.stringify([{ issuer: 'http://idp.example.com', audience: 'api' }]) },
    })
    expect(error.code).toBe('TENANCY_CONFIG_INVALID')
    expect(error.message).toContain('http://idp.example.com')
  })

  test('a catalog of the next version serves a process of this version, but one that removed what this version needs refuses the start', async () => {
    await (await installation.open()).close()
    const ledger = 'insert into schema_migrations (version, name, checksum) values ($1, $2, $2)'
    await withAdmin((admin) => admin.query(ledger, [9998, '9998_more.sql']), installation.catalogName)
    const tenancy = await installation.open()
    expect(await tenancy.findUserByEmail('nobody@example.com')).toBeUndefined()
    await tenancy.close()
    await withAdmin((admin) => admin.query(ledger, [9999, '9999_future_after_9998.sql']), installation.catalogName)
    const error = await failure({})
    expect(error.code).toBe('TENANCY_CATALOG_NEWER')
    expect(error.message).toContain('9999_future_after_9998.sql')
  })

  test('messages show the address of the server without its account', async () => {
    const tenancy = await installation.open()
    const { hostname, port } = new URL(urlOf('postgres'))
    expect(tenancy.serverDescription).toBe(`PostgreSQL on ${hostname}:${port}`)
    await tenancy.close()
  })
})
