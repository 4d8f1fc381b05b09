import type { ServerAccount } from '../../core/tenants/database-target.js'
import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import { retry } from '../../postgres/outages/retry.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { withConnection } from './admin-connection.js'

// Another process created it after the check: the name exists, or the row of pg_database does.
const lostRace = [sqlStates.duplicateDatabase, sqlStates.uniqueViolation]
// Another session uses template0 for a moment, or alters the same row of pg_database.
const busy = [sqlStates.objectInUse, sqlStates.internalError]

/**
 * Creates the catalog database if it is missing and closes it to PUBLIC; safe when several processes start at once.
 *
 * @param account may create databases and roles; its `database` is the one that this function connects to
 * @returns the account with the catalog as its database
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE, TENANCY_CONFIG_INVALID (the account may not do that)
 */
export async function ensureCatalogDatabase(account: ServerAccount, name: string): Promise<ServerAccount> {
  try {
    await withConnection(account, async (admin) => {
      const { rows } = await admin.query<{ isThere: boolean; mayBuild: boolean }>(
        `select exists (select from pg_database where datname = $1) as "isThere",
           rolsuper or (rolcreatedb and rolcreaterole) as "mayBuild"
         from pg_roles where rolname = current_user`,
        [name],
      )
      if (!rows[0]?.mayBuild) {
        throw new TenancyError(
          'TENANCY_CONFIG_INVALID',
          `The account ${JSON.stringify(account.user)} on ${account.host}:${account.port} may not create databases and ` +
            'roles: let it ("alter role … createdb createrole"), or configure another one',
        )
      }
      if (!rows[0].isThere) {
        await retryWhenBusy(() => admin.query(`create database ${quoteIdentifier(name)} template template0`)).catch(
          (error: unknown) => {
            if (!hasSqlState(error, ...lostRace)) throw error
          },
        )
      }
      await retryWhenBusy(() => admin.query(`revoke all on database ${quoteIdentifier(name)} from public`))
    })
  } catch (cause) {
    if (isTenancyError(cause)) throw cause
    throw new TenancyError(
      'TENANCY_CATALOG_UNAVAILABLE',
      `The catalog database ${JSON.stringify(name)} cannot be reached or created on ${account.host}:${account.port}: ` +
        (cause instanceof Error ? cause.message : String(cause)),
      { cause },
    )
  }
  return { ...account, database: name }
}

function retryWhenBusy(work: () => Promise<unknown>): Promise<unknown> {
  return retry(work, {
    mayRetry: (error, attempt) => attempt < 5 && hasSqlState(error, ...busy),
    pauseMs: (attempt) => 20 * attempt,
  })
}
