import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CheckResult } from '../../../src/cli/doctor/check.js'
import type { Diagnosis } from '../../../src/cli/doctor/run-checks.js'
import { startEmbeddedServer } from '../../../src/databases/embedded/supervisor.js'
import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { runCommandLine } from '../../support/processes/command-line.js'
import { redisUrl } from '../../support/redis/redis.js'
import { createTestAccount } from '../../support/account.js'
import { withAdmin } from '../../support/server.js'

let installation: Installation
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-doctor-'))
  installation = createInstallation()
  const tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
  await tenancy.createTenant({ slug: 'acme', name: 'Acme', owner: owner.id })
  await tenancy.close()
})

afterAll(async () => {
  await rm(folder, { recursive: true })
  await installation.drop()
})

/** Runs the doctor in an empty folder, with other settings over those of the installation. */
async function diagnose(
  env: Readonly<Record<string, string>> = {},
  ...args: string[]
): Promise<{ code: unknown; diagnosis: Diagnosis; output: string; of: (name: string) => CheckResult }> {
  const { code, stdout, stderr } = await runCommandLine(['doctor', '--json', ...args], {
    cwd: folder,
    env: { ...installation.env, ...env },
  })
  if (stdout === '') throw new Error(`no diagnosis: ${stderr}`)
  const diagnosis = JSON.parse(stdout) as Diagnosis
  const of = (name: string) => {
    const found = diagnosis.checks.find((check) => check.name === name)
    if (found === undefined) throw new Error(`no check ${name}`)
    return found
  }
  return { code, diagnosis, output: stdout + stderr, of }
}

describe('an installation that works', () => {
  test('has no problem but what the test server is like, and nothing is changed', async () => {
    const before = await installation.onServer()
    const { diagnosis, of } = await diagnose()
    const problems = diagnosis.checks.filter(({ status }) => status === 'problem').map(({ name }) => name)
    // The folder has no packages, and a test server may have few connections.
    expect(problems.filter((name) => !['packages', 'connection-budget', 'disk'].includes(name))).toEqual([])
    for (const name of [
      'server',
      'catalog',
      'secret-binding',
      'template',
      'leases-and-orphans',
      'tenant-roles',
      'tenants-behind',
      'clock',
    ]) {
      expect([name, of(name).status]).toEqual([name, 'ok'])
    }
    expect(diagnosis.counts.ok + diagnosis.counts.warning + diagnosis.counts.problem + diagnosis.counts.skipped).toBe(
      diagnosis.checks.length,
    )
    expect(await installation.onServer()).toEqual(before)
  })

  test('every warning and problem says what to do', async () => {
    const { diagnosis } = await diagnose()
    const silent = diagnosis.checks.filter(({ status, advice }) => /warning|problem/.test(status) && !advice)
    expect(silent).toEqual([])
  })

  test('with --deep, tenant databases are compared with the template', async () => {
    const { of } = await diagnose({}, '--deep', '--only', 'drift')
    expect(of('drift')).toMatchObject({ status: 'ok', what: expect.stringContaining('1 of 1') as string })
  })

  test('no output holds a secret', async () => {
    const secret = installation.env['TENANT_SECRET'] ?? ''
    const { output } = await diagnose({
      TENANT_REDIS_URL: 'redis://:very-secret-word@127.0.0.1:1',
      TENANT_MAIL__HOST: '127.0.0.1',
      TENANT_MAIL__PORT: '1',
      TENANT_MAIL__FROM: 'a@example.com',
      TENANT_MAIL__USERNAME: 'u',
      TENANT_MAIL__PASSWORD: 'another-secret-word',
    })
    expect(output).not.toContain(secret)
    expect(output).not.toContain('very-secret-word')
    expect(output).not.toContain('another-secret-word')
  })
})

describe('what is wrong is found', () => {
  test('a misspelled setting: exit code 1, and the setting that was meant', async () => {
    const { code, of, diagnosis } = await diagnose({ TENANT_MAX_CONECTIONS: '5' })
    expect(code).toBe(1)
    expect(of('configuration')).toMatchObject({ status: 'problem' })
    expect(of('configuration').advice).toContain('did you mean TENANT_MAX_CONNECTIONS')
    // What needs the settings is skipped, and nothing else is called a problem for it.
    expect(of('server').status).toBe('skipped')
    expect(diagnosis.counts.problem).toBe(1)
  })

  test('a prefix that nobody reads', async () => {
    const { of } = await diagnose({ TENANTS_MAX_CONNECTIONS: '5' })
    expect(of('configuration')).toMatchObject({ status: 'warning' })
  })

  test('a server that is down is one problem; what needs it is skipped', async () => {
    const { code, diagnosis, of } = await diagnose({
      TENANT_DATABASE_URL: 'postgres://postgres:a-long-password-here@127.0.0.1:1/postgres',
    })
    expect(code).toBe(1)
    expect(of('server').status).toBe('problem')
    expect(of('server').what).toContain('127.0.0.1:1')
    for (const name of ['privileges', 'catalog', 'tenant-roles', 'tenants-behind', 'clock', 'lock-table']) {
      expect([name, of(name).status]).toEqual([name, 'skipped'])
    }
    expect(diagnosis.checks.filter(({ what }) => what.startsWith('This check failed'))).toEqual([])
  })

  test('an address without a password, of a server that asks for one', async () => {
    const embedded = await startEmbeddedServer({ dataDir: join(folder, 'data') })
    try {
      const { port, user } = embedded.account
      const env = { TENANT_DATABASE_URL: `postgres://${user}@127.0.0.1:${port}/postgres`, TENANT_SECRET: '' }
      const { code, of } = await diagnose(env)
      expect(code).toBe(1)
      expect(of('server')).toMatchObject({
        status: 'problem',
        what: expect.stringContaining('asks for a password, and TENANT_DATABASE_URL has none'),
      })
      expect(of('secrets')).toMatchObject({ status: 'warning', what: expect.stringContaining('TENANT_SECRET is not') })
      expect(of('catalog')).toMatchObject({ status: 'skipped' })
    } finally {
      await embedded.stop()
    }
  }, 60_000)

  test('another secret than that of the catalog', async () => {
    const { of } = await diagnose(
      { TENANT_SECRET: '5e'.repeat(31) + 'ab' },
      '--only',
      'secret-binding',
      '--only',
      'secrets',
    )
    expect(of('secret-binding').status).toBe('problem')
    expect(of('secrets').status).toBe('problem')
  })

  test('a Redis and a mail server that do not answer', async () => {
    const { of } = await diagnose({
      TENANT_REDIS_URL: 'redis://127.0.0.1:1',
      TENANT_MAIL__HOST: '127.0.0.1',
      TENANT_MAIL__PORT: '1',
      TENANT_MAIL__FROM: 'a@example.com',
    })
    expect(of('redis').status).toBe('problem')
    expect(of('mail').status).toBe('problem')
    expect(of('clock').status).toBe('ok')
  })

  test('tenants that are behind', async () => {
    const schema = await mkdtemp(join(tmpdir(), 't2f-behind-'))
    await writeFile(join(schema, '0007_more.sql'), 'select 1;')
    const { of } = await diagnose({ TENANT_SCHEMA_DIR: schema }, '--only', 'tenants-behind')
    expect(of('tenants-behind')).toMatchObject({ status: 'warning', what: expect.stringContaining('acme') as string })
    await rm(schema, { recursive: true })
  })

  test('a database of a tenant that is gone, and a stranger with the mark of this installation', async () => {
    const other = createInstallation()
    const tenancy = await other.open()
    const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
    const tenant = await tenancy.createTenant({ slug: 'lost', name: 'Lost', owner: owner.id })
    await tenancy.close()
    const name = `${other.prefix}${(tenant.databaseId ?? '').replaceAll('-', '')}`
    await withAdmin((admin) => admin.query(`drop database ${quoteIdentifier(name)} with (force)`))
    const { of, code } = await diagnose({ ...other.env }, '--only', 'leases-and-orphans')
    expect(of('leases-and-orphans')).toMatchObject({ status: 'problem', what: expect.stringContaining(name) as string })
    expect(code).toBe(1)
    await other.drop()
  })

  test('a check that is not there is a mistake on the command line', async () => {
    const { code, stderr } = await runCommandLine(['doctor', '--only', 'nothing'], {
      cwd: folder,
      env: { ...installation.env },
    })
    expect(code).toBe(2)
    expect(stderr).toContain('connection-budget')
  })
})

describe('--fix', () => {
  test('tightens the permissions of .env', async () => {
    const path = join(folder, '.env')
    await writeFile(path, `TENANT_SECRET=${installation.env['TENANT_SECRET'] ?? ''}\n`)
    await chmod(path, 0o644)
    const before = await diagnose({}, '--only', 'env-file')
    expect(before.of('env-file')).toMatchObject({ status: 'problem', fix: expect.stringContaining('600') as string })
    const after = await diagnose({}, '--only', 'env-file', '--fix')
    expect(after.of('env-file')).toMatchObject({ status: 'ok', fixed: expect.stringContaining('600') as string })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    await rm(path)
  })

  test('applies the migrations of a catalog that is behind', async () => {
    const other = createInstallation()
    await withAdmin((admin) => admin.query(`create database ${quoteIdentifier(other.catalogName)}`))
    const before = await diagnose({ ...other.env }, '--only', 'catalog')
    expect(before.of('catalog')).toMatchObject({
      status: 'problem',
      what: expect.stringContaining('0001_baseline.sql') as string,
    })
    const after = await diagnose({ ...other.env }, '--only', 'catalog', '--fix')
    expect(after.of('catalog')).toMatchObject({
      status: 'ok',
      fixed: expect.stringContaining('0001_baseline.sql') as string,
    })
    await other.drop()
  })

  test('restores the privileges of a tenant’s role', async () => {
    const { databases } = await installation.onServer()
    const name = databases.find((database) => /_[0-9a-f]{32}$/.test(database)) ?? ''
    await withAdmin((admin) =>
      admin.query(`revoke connect on database ${quoteIdentifier(name)} from ${quoteIdentifier(name)}`),
    )
    const before = await diagnose({}, '--only', 'tenant-roles')
    expect(before.of('tenant-roles')).toMatchObject({
      status: 'warning',
      what: expect.stringContaining('acme') as string,
    })
    const after = await diagnose({}, '--only', 'tenant-roles', '--fix')
    expect(after.of('tenant-roles')).toMatchObject({
      status: 'ok',
      fixed: expect.stringContaining('1 tenant') as string,
    })
  })
})

describe('without a server of its own', () => {
  test('an empty folder has no data yet, which is no problem', async () => {
    const { code, of, diagnosis } = await diagnose({ TENANT_DATABASE_URL: '' }, '--only', 'server', '--only', 'catalog')
    expect(of('server').status).toBe('skipped')
    expect(of('catalog').status).toBe('skipped')
    expect(code).toBe(0)
    expect(diagnosis.status).toBe('ok')
  })
})

test('a Redis that answers is fine', async (context) => {
  const url = redisUrl()
  if (url === undefined) context.skip('needs Redis: set TENANT_REDIS_URL')
  const { of } = await diagnose({ TENANT_REDIS_URL: url ?? '' }, '--only', 'redis', '--only', 'clock')
  expect(['ok', 'warning']).toContain(of('redis').status)
  expect(of('clock').what).toContain('Redis')
})

test('an account with CREATEDB and CREATEROLE alone is told what else to grant', async () => {
  const account = await createTestAccount('createdb createrole')
  const { of } = await diagnose({ TENANT_DATABASE_URL: account.url }, '--only', 'privileges')
  expect(of('privileges').status).toBe('warning')
  expect(of('privileges').advice).toContain('pg_read_all_stats')
  await account.disconnected()
  await account.drop()
})
