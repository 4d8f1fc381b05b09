import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { runPrefix } from './run/run-context.js'

/** The server the tests run on, with the account that installations get: a superuser, or a plain one (T2F_PLAIN_ADMIN). */
export interface TestServer {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  /** Whether the run started this server itself, and therefore uses it alone. */
  readonly embedded: boolean
}

/** The running PostgreSQL server of this test run: embedded, or the one that TENANT_DATABASE_URL names. */
export async function testServer(): Promise<TestServer> {
  const { host, port, user, password, database, embedded } = inject('tenants2fast')
  return { url: urlOf(database), host, port, user, password, database, embedded }
}

/** Start of every name that a test gives to a database or role: `t2f_test_<run id>_`. Usable as TENANT_DB_PREFIX. */
export function testPrefix(): string {
  return runPrefix(inject('tenants2fast').runId)
}

/** A unique name for a database or a role. */
export function uniqueName(): string {
  return `${testPrefix()}${randomBytes(6).toString('hex')}`
}

/** Whether installations get an account that has CREATEDB and CREATEROLE only (T2F_PLAIN_ADMIN). */
export function isPlainAdmin(): boolean {
  const { user, superuser } = inject('tenants2fast')
  return user !== superuser.user
}

/** The address of `database` on the test server, as the account of {@link testServer}. */
export function urlOf(database: string): string {
  return addressOf(database, inject('tenants2fast'))
}

/** The address of `database` on the test server, as a superuser. */
export function superuserUrlOf(database: string): string {
  return addressOf(database, inject('tenants2fast').superuser)
}

function addressOf(database: string, { user, password }: { readonly user: string; readonly password: string }): string {
  const { host, port } = inject('tenants2fast')
  return `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/${encodeURIComponent(database)}`
}

/** Runs `work` on a connection of its own, as superuser, in the maintenance database unless another one is named. */
export async function withAdmin<Result>(
  work: (client: pg.Client) => Promise<Result>,
  database = inject('tenants2fast').database,
): Promise<Result> {
  return withClient(superuserUrlOf(database), work)
}

/** Runs `work` as the account of {@link testServer}, which owns what it makes. */
export async function withServerAccount<Result>(
  work: (client: pg.Client) => Promise<Result>,
  database = inject('tenants2fast').database,
): Promise<Result> {
  return withClient(urlOf(database), work)
}

async function withClient<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url, application_name: 't2f_test_admin' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
