import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { migrateCatalog } from '../../../src/catalog/migrate.js'
import { quoteIdentifier, quoteLiteral } from '../../../src/postgres/text/quote.js'
import { startEmbeddedServer } from '../../../src/databases/embedded/index.js'
import { leakedObjects, listServerObjects, removeLeaked } from './leak-check.js'
import { runPrefix } from './run-context.js'

type Account = Pick<pg.ClientConfig, 'host' | 'port' | 'user' | 'password' | 'database'>

/** Finds or starts the server, builds the template catalog; the teardown fails the run over what tests left behind. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redisUrl = await checkedRedisUrl()
  const runId = randomBytes(3).toString('hex')
  const catalogTemplate = `${runPrefix(runId)}template`
  const server = await openServer()
  const superuser = server.account
  try {
    const before = await withClient(superuser, listServerObjects)
    const plainName = process.env['T2F_PLAIN_ADMIN'] === '1' ? `${runPrefix(runId)}admin` : undefined
    const account = plainName === undefined ? superuser : await createPlainAdmin(superuser, plainName)
    const catalogProblem = await buildTemplate(account, catalogTemplate)
    project.provide('tenants2fast', {
      runId,
      ...account,
      superuser: { user: superuser.user, password: superuser.password },
      embedded: server.embedded,
      catalogTemplate,
      catalogProblem,
      redisUrl,
    })
    return async () => {
      try {
        const leaked = await withClient(superuser, async (admin) => {
          await admin.query(`drop database if exists ${quoteIdentifier(catalogTemplate)} with (force)`)
          const after = await listServerObjects(admin)
          if (plainName !== undefined) after.roles.delete(plainName)
          const found = leakedObjects(before, after, runId, !server.embedded)
          await removeLeaked(admin, found)
          if (plainName !== undefined) await dropPlainAdmin(admin, plainName)
          return found
        })
        if (leaked.databases.size + leaked.roles.size > 0) {
          process.exitCode = 1
          throw new Error(
            `Tests left behind databases [${[...leaked.databases].join(', ')}] and roles [${[...leaked.roles].join(', ')}]`,
          )
        }
      } finally {
        await server.close()
      }
    }
  } catch (error) {
    await server.close()
    throw error
  }
}

/**
 * Creates an account as on managed PostgreSQL: it may create databases and roles, and nothing else. Installations of the run
 * use it; tests themselves act as a superuser.
 */
async function createPlainAdmin(superuser: OpenServer['account'], name: string): Promise<OpenServer['account']> {
  const password = randomBytes(12).toString('hex')
  await withClient(superuser, (admin) =>
    admin.query(
      `create role ${quoteIdentifier(name)} login createdb createrole password ${quoteLiteral(password)};
       grant connect on database ${quoteIdentifier(superuser.database)} to ${quoteIdentifier(name)}`,
    ),
  )
  return { ...superuser, user: name, password }
}

async function dropPlainAdmin(admin: pg.Client, name: string): Promise<void> {
  await admin.query(`drop owned by ${quoteIdentifier(name)}`)
  await admin.query(`drop role ${quoteIdentifier(name)}`)
}

interface OpenServer {
  readonly account: { host: string; port: number; user: string; password: string; database: string }
  readonly embedded: boolean
  close(): Promise<void>
}

async function openServer(): Promise<OpenServer> {
  const url = process.env['TENANT_DATABASE_URL']
  if (url !== undefined && url !== '') return { account: accountOf(url), embedded: false, close: async () => {} }
  const dataDir = await mkdtemp(join(tmpdir(), 't2f-test-'))
  const remove = () => rm(dataDir, { recursive: true, force: true })
  try {
    const server = await startEmbeddedServer({
      dataDir,
      settings: {
        fsync: 'off',
        synchronous_commit: 'off',
        full_page_writes: 'off',
        max_connections: '300',
        // A client that stops in the middle of its login delays every DROP DATABASE of the server for that long.
        authentication_timeout: '10s',
      },
    })
    return {
      account: server.account,
      embedded: true,
      close: async () => {
        await server.stop()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

function accountOf(text: string): OpenServer['account'] {
  const url = new URL(text)
  return {
    host: url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
  }
}

/** Builds the catalog that tests clone; returns why it failed, so that only the tests that need it fail. */
async function buildTemplate(account: OpenServer['account'], database: string): Promise<string | undefined> {
  await withClient(account, (admin) => admin.query(`create database ${quoteIdentifier(database)} template template0`))
  const pool = new pg.Pool({ ...account, database })
  try {
    await migrateCatalog(pool)
    return undefined
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  } finally {
    await pool.end()
  }
}

async function withClient<Result>(account: Account, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ ...account, application_name: 't2f_test_setup' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Checks that TENANT_REDIS_URL answers; without it, fails a run that promises a Redis. */
async function checkedRedisUrl(): Promise<string | undefined> {
  const url = process.env['TENANT_REDIS_URL'] || undefined
  if (url === undefined) {
    if (process.env['CI'] && process.env['T2F_EXPECT_REDIS'] === '1') {
      throw new Error('This run is meant to have a Redis (T2F_EXPECT_REDIS=1): set TENANT_REDIS_URL')
    }
    return undefined
  }
  const { hostname, port } = new URL(url)
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port || 6379), timeout: 5000 })
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
    socket.once('timeout', () => {
      socket.destroy(new Error('timed out'))
    })
    socket.once('error', (error) =>
      reject(new Error(`TENANT_REDIS_URL is set, but ${hostname}:${port || 6379} does not answer: ${error.message}`)),
    )
  })
  return url
}
