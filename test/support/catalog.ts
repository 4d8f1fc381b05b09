import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { inject } from 'vitest'
import { quoteIdentifier } from '../../src/postgres/text/quote.js'
import { uniqueName, urlOf, withAdmin, withServerAccount } from './server.js'

/** A database that belongs to one test or test file. */
export interface TestDatabase {
  readonly pool: pg.Pool
  readonly databaseName: string
  readonly url: string
  /**
   * Ends `pool` and drops the database. Throws when a connection to it is still open: a test that leaks a
   * connection fails.
   */
  drop(): Promise<void>
}

/** A fresh clone of the migrated catalog. Call `drop()` when done. */
export async function createTestCatalog(): Promise<TestDatabase> {
  const { catalogTemplate, catalogProblem } = inject('tenants2fast')
  if (catalogProblem !== undefined) throw new Error(`The template catalog could not be built: ${catalogProblem}`)
  return createFrom(catalogTemplate)
}

/** A fresh, empty database. Call `drop()` when done. */
export async function createTestDatabase(): Promise<TestDatabase> {
  return createFrom('template0')
}

async function createFrom(template: string): Promise<TestDatabase> {
  const databaseName = uniqueName()
  const name = quoteIdentifier(databaseName)
  await withServerAccount(async (admin) => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await admin.query(`create database ${name} template ${quoteIdentifier(template)}`)
        return
      } catch (error) {
        if (codeOf(error) !== objectInUse || attempt === 5) throw error
        await sleep(50 * attempt)
      }
    }
  })
  const url = urlOf(databaseName)
  const pool = new pg.Pool({ connectionString: url, max: 10, application_name: databaseName })
  // A backend that is terminated while idle must not end the test process; the test sees it on its next query.
  pool.on('error', () => {})
  return {
    pool,
    databaseName,
    url,
    async drop() {
      if (!pool.ended) await pool.end()
      await withAdmin((admin) => dropDatabase(admin, databaseName))
    },
  }
}

/** Drops a database; throws, after dropping it, when a connection to it was still open. */
export async function dropDatabase(admin: pg.Client, databaseName: string): Promise<void> {
  const name = quoteIdentifier(databaseName)
  try {
    // PostgreSQL itself waits up to 5 s for backends that are about to end.
    await admin.query(`drop database if exists ${name}`)
  } catch (error) {
    if (codeOf(error) !== objectInUse) throw error
    const { rows } = await admin.query<{ session: string }>(
      `select format('%s as %s (%s): %s', application_name, usename, state, left(query, 100)) as session
         from pg_stat_activity where datname = $1`,
      [databaseName],
    )
    await admin.query(`drop database if exists ${name} with (force)`)
    throw new Error(`Connections leaked into ${databaseName}:\n  ${rows.map((row) => row.session).join('\n  ')}`, {
      cause: error,
    })
  }
}

const objectInUse = '55006'

function codeOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}
