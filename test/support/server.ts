import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { runPrefix } from './run-context.js'

/** The server the tests run on, with its superuser. */
export interface TestServer {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  /** Whether the run started this server itself (then nobody else is on it). */
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

/** A name nobody else uses, for a database or a role. */
export function uniqueName(): string {
  return `${testPrefix()}${randomBytes(6).toString('hex')}`
}

/** The address of `database` on the test server, as its superuser. */
export function urlOf(database: string): string {
  const { host, port, user, password } = inject('tenants2fast')
  return `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/${encodeURIComponent(database)}`
}

/** Runs `work` on a connection of its own, as superuser, in the maintenance database unless another one is named. */
export async function withAdmin<Result>(
  work: (client: pg.Client) => Promise<Result>,
  database = inject('tenants2fast').database,
): Promise<Result> {
  const client = new pg.Client({ connectionString: urlOf(database), application_name: 't2f_test_admin' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
