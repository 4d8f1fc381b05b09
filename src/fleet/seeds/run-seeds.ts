import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { FleetTenantName } from '../../core/fleet/run.js'
import type { SqlClient } from '../../core/sql-client.js'
import { retry } from '../../postgres/outages/retry.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import type { ReadSeed } from './read-seeds.js'

/** How seeds are run. */
export interface SeedRun {
  readonly tenant: FleetTenantName
  readonly statementTimeoutMs: number | undefined
}

const lockTimeoutMs = 2000
const maxAttempts = 5
const isLocked = (error: unknown) => hasSqlState(error, sqlStates.lockNotAvailable, sqlStates.deadlockDetected)

/**
 * Runs seeds on one connection of the owner of the application's objects, each in one transaction. One that does not get a
 * lock in time gives way and is tried again.
 *
 * @returns their names
 * @throws {@link TenancyError} TENANCY_DATABASE_SEED_FAILED naming tenant and seed; that one is rolled back
 */
export async function runSeeds(client: SqlClient, seeds: readonly ReadSeed[], run: SeedRun): Promise<string[]> {
  for (const seed of seeds) {
    await retry(() => runOne(client, seed, run), {
      mayRetry: (error, attempt) => isLocked(error) && attempt < maxAttempts,
      pauseMs: (attempt) => attempt * 200 * (0.5 + Math.random()),
    })
  }
  return seeds.map(({ name }) => name)
}

async function runOne(client: SqlClient, { name, work }: ReadSeed, { tenant, statementTimeoutMs }: SeedRun) {
  const fail = (reason: string, cause?: unknown): never => {
    throw new TenancyError('TENANCY_DATABASE_SEED_FAILED', `Tenant "${tenant.slug}": ${name}: ${reason}`, { cause })
  }
  try {
    // The application's own search path, as its requests have it; the connection begins with ours.
    await client.query(
      `begin read write; reset search_path; set local lock_timeout = ${lockTimeoutMs}; ` +
        `set local statement_timeout = ${statementTimeoutMs ?? 0}`,
    )
    const before = await transactionOf(client)
    if (typeof work === 'string') await client.query(work)
    else await work(client, tenant)
    if ((await transactionOf(client)) !== before) fail('it ends its transaction (commit or rollback)')
    await client.query('set constraints all immediate')
    await client.query('commit')
  } catch (error) {
    // A connection that is gone has rolled back already; the first error is the one that counts.
    await client.query('rollback').catch(() => {})
    if (findTenancyError(error, 'TENANCY_DATABASE_SEED_FAILED')) throw error
    fail(error instanceof Error ? error.message : String(error), error)
  }
}

async function transactionOf(client: SqlClient): Promise<string | undefined> {
  const { rows } = await client.query<{ id: string }>('select pg_catalog.pg_current_xact_id()::pg_catalog.text as id')
  return rows[0]?.id
}
