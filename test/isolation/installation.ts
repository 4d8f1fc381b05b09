import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { expect } from 'vitest'
import { loadConfig } from '../../src/core/config/load-config.js'
import type { ServerAccount } from '../../src/core/tenants/database-target.js'
import type { Logger } from '../../src/core/logger.js'
import type { Tenant, User } from '../../src/core/model.js'
import { quoteIdentifier } from '../../src/postgres/text/quote.js'
import { deriveRolePassword } from '../../src/databases/server/role-password.js'
import type { Tenancy } from '../../src/tenancy-interface.js'
import { createTenancy } from '../../src/tenancy.js'
import { testPrefix, testServer, withAdmin } from '../support/server.js'

/** A tenant, its owner, and the account of its role, which only tenants2fast should know. */
export interface TestTenant {
  readonly tenant: Tenant
  readonly owner: User
  /** Access token of the owner. */
  readonly token: string
  readonly account: ServerAccount
}

/** A whole installation on the test server: catalog, template, tenants with databases. */
export interface TestInstallation {
  readonly tenancy: Tenancy
  readonly tenants: readonly TestTenant[]
  readonly prefix: string
  readonly catalogDatabase: string
  /** An access token of the tenant's owner that is valid for minutes: a soak takes longer than a token lives. */
  tokenOf(tenant: TestTenant): Promise<string>
  /** Level and message of what was logged. */
  readonly log: string[]
  /** Closes the installation and drops everything that it made. */
  close(): Promise<void>
}

/** Opens an installation through the real `createTenancy`, with `count` tenants; `seed` fills each database as superuser. */
export async function openInstallation(options: {
  readonly count: number
  readonly schema: string
  readonly env?: Readonly<Record<string, string>>
  readonly seed?: (tenant: Tenant) => string
}): Promise<TestInstallation> {
  const { count, schema, env = {}, seed } = options
  const prefix = `${testPrefix()}${randomBytes(3).toString('hex')}_`
  const catalogDatabase = `${prefix}catalog`
  const schemaDir = await mkdtemp(join(tmpdir(), 't2f-isolation-'))
  await writeFile(join(schemaDir, '0001_schema.sql'), schema)
  const log: string[] = []
  const logged = (level: string) => (_: object, message: string) => void log.push(`${level}: ${message}`)
  const logger: Logger = { debug: () => {}, info: () => {}, warn: logged('warn'), error: logged('error') }
  const server = await testServer()
  const secret = randomBytes(32)
  const config = loadConfig({
    TENANT_DATABASE_URL: server.url,
    TENANT_CATALOG_DB: catalogDatabase,
    TENANT_DB_PREFIX: prefix,
    TENANT_SECRET: secret.toString('hex'),
    TENANT_READY_DATABASES: '0',
    ...env,
  })
  const drop = async () => {
    await rm(schemaDir, { recursive: true, force: true })
    await withAdmin((admin) => dropAll(admin, prefix))
  }
  try {
    const tenancy = await createTenancy({ config, schemaDir, logger })
    const close = async () => {
      await tenancy.close()
      await drop()
    }
    try {
      const numbers = Array.from({ length: count }, (_, index) => index)
      const created: { tenant: Tenant; owner: User; token: string }[] = []
      await Promise.all(
        Array.from({ length: 4 }, async () => {
          for (let index = numbers.pop(); index !== undefined; index = numbers.pop()) {
            const owner = await tenancy.createUser({
              email: `owner-${index}@example.com`,
              name: `Owner ${index}`,
              emailVerified: true,
            })
            const tenant = await tenancy.createTenant({
              name: `Tenant ${index}`,
              slug: `tenant-${index}`,
              owner: owner.id,
            })
            created.push({ tenant, owner, token: (await tenancy.issueAccessToken({ user: owner.id })).token })
          }
        }),
      )
      const names = await withAdmin((admin) => readNames(admin), catalogDatabase)
      const tenants = created.map(({ tenant, owner, token }) => {
        const name = names.get(tenant.databaseId ?? '') ?? ''
        const password = deriveRolePassword(secret, tenant.databaseId ?? '')
        const { host, port } = server
        return { tenant, owner, token, account: { host, port, user: name, password, database: name } }
      })
      if (seed !== undefined) {
        for (const { tenant, account } of tenants)
          await withAdmin((admin) => admin.query(seed(tenant)), account.database)
      }
      const renewed = new Map<TestTenant, { token: string; sinceMs: number }>()
      const tokenOf = async (who: TestTenant) => {
        const known = renewed.get(who)
        if (known !== undefined && performance.now() - known.sinceMs < 300_000) return known.token
        const { token } = await tenancy.issueAccessToken({ user: who.owner.id })
        renewed.set(who, { token, sinceMs: performance.now() })
        return token
      }
      return { tenancy, tenants, prefix, catalogDatabase, tokenOf, log, close }
    } catch (error) {
      await close()
      throw error
    }
  } catch (error) {
    await drop()
    throw error
  }
}

/** Name of database and role, by the database's id. */
async function readNames(catalog: pg.Client): Promise<Map<string, string>> {
  const { rows } = await catalog.query<{ id: string; name: string }>('select id, name from tenant_databases')
  return new Map(rows.map(({ id, name }) => [id, name]))
}

async function dropAll(admin: pg.Client, prefix: string): Promise<void> {
  const databases = await admin.query<{ name: string }>(
    'select datname as name from pg_database where starts_with(datname, $1)',
    [prefix],
  )
  for (const { name } of databases.rows) {
    await admin.query(`alter database ${quoteIdentifier(name)} is_template false`)
    await admin.query(`drop database ${quoteIdentifier(name)} with (force)`)
  }
  const roles = await admin.query<{ name: string }>(
    'select rolname as name from pg_roles where starts_with(rolname, $1)',
    [prefix],
  )
  for (const { name } of roles.rows) await admin.query(`drop role ${quoteIdentifier(name)}`)
}

/** Ends the connections to a tenant's database on the server, and waits until the process has noticed. */
export async function endConnections(tenancy: Tenancy, { tenant, account }: TestTenant): Promise<void> {
  const pool = tenancy.getTenantPool(tenant)
  const end = 'select pg_terminate_backend(pid) from pg_stat_activity where usename = $1'
  await expect
    .poll(async () => {
      // Again each time: one of them may have been on its way.
      const { rowCount } = await withAdmin((admin) => admin.query(end, [account.user]))
      return [rowCount, pool.totalCount]
    })
    .toEqual([0, 0])
}
