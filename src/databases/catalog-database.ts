import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerAccount } from '../core/database-target.js'
import { TenancyError } from '../core/errors.js'
import { quoteIdentifier } from '../core/sql.js'
import { sqlStateOf, withConnection } from './admin-connection.js'

// Somebody else created it between look and create: as a name that exists, or as a row of pg_database.
const lostRace = new Set(['42P04', '23505'])
// Someone else is using template0 for a moment, or alters the same row of pg_database.
const busy = new Set(['55006', 'XX000'])

/**
 * Creates the catalog database if it is missing and closes it to PUBLIC; safe when several processes start at once.
 *
 * @param account may create databases; its `database` is connected to for that
 * @returns the account with the catalog as its database
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
 */
export async function ensureCatalogDatabase(account: ServerAccount, name: string): Promise<ServerAccount> {
  try {
    await withConnection(account, async (admin) => {
      const { rowCount } = await admin.query('select from pg_database where datname = $1', [name])
      if (rowCount === 0) {
        await retryWhenBusy(() => admin.query(`create database ${quoteIdentifier(name)} template template0`)).catch(
          (error: unknown) => {
            if (!lostRace.has(sqlStateOf(error) ?? '')) throw error
          },
        )
      }
      await retryWhenBusy(() => admin.query(`revoke all on database ${quoteIdentifier(name)} from public`))
    })
  } catch (cause) {
    throw new TenancyError(
      'TENANCY_CATALOG_UNAVAILABLE',
      `The catalog database ${JSON.stringify(name)} cannot be reached or created on ${account.host}:${account.port}: ` +
        (cause instanceof Error ? cause.message : String(cause)),
      { cause },
    )
  }
  return { ...account, database: name }
}

async function retryWhenBusy(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work()
      return
    } catch (error) {
      if (attempt === 5 || !busy.has(sqlStateOf(error) ?? '')) throw error
      await sleep(20 * attempt)
    }
  }
}
