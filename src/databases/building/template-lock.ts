import type { SqlClient } from '../../core/sql-client.js'
import { takeHeartbeatLock } from '../server/lock-heartbeat.js'

/** Longest wait for a process that builds a template. Long, for large schemas. */
const templateWaitMs = 600_000

/**
 * Takes the lock under which templates are built and dropped. The end of the connection releases it.
 *
 * @param admin a connection of the provisioning account to the catalog database
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function lockTemplates(admin: SqlClient, key: string, timeoutMs = templateWaitMs): Promise<void> {
  await takeHeartbeatLock(admin, { key, timeoutMs, what: 'the templates of tenant databases' })
}
