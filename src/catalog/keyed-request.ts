import { tryGetScope } from '../core/context/request-scope.js'
import { TenancyError } from '../core/errors/errors.js'
import type { SqlClient } from '../core/sql-client.js'
import { hasSqlState, sqlStates } from '../postgres/outages/sql-states.js'

/**
 * Notes, in the transaction of a change, what the current request with an `Idempotency-Key` has made. If the process ends before
 * it has answered, a retry finds the change by this. Does nothing for other requests, and for other changes.
 *
 * @returns undefined: there is nothing to note
 * @throws {@link TenancyError} TENANCY_REQUEST_IN_PROGRESS: the request counts as lost meanwhile, and a retry does its work
 */
export function noteChange(client: SqlClient, action: string, subject: string | null): Promise<unknown> | undefined {
  const keyed = tryGetScope()?.keyed
  if (keyed === undefined || keyed.action !== action) return undefined
  // No row, no commit: nothing that is sent in the same message is run after an error.
  const noted = client.query(
    `with noted as (
       update idempotent_requests set body = jsonb_build_object('subject', $3::text)
       where key = $1 and created_at = $2::timestamptz and status is null returning true
     ) select 1 / count(*) from noted`,
    [keyed.key, keyed.begunAt, subject],
  )
  return noted.catch((error: unknown) => {
    if (!hasSqlState(error, sqlStates.divisionByZero)) throw error
    throw new TenancyError('TENANCY_REQUEST_IN_PROGRESS', undefined, { cause: error })
  })
}
