import { channel } from 'node:diagnostics_channel'
import type { SharedResource } from './verdict.js'

/** A tenant's session was ended, because it used up what the server shares between its databases. */
export interface SessionEndedEvent {
  /** Id of the tenant database. */
  readonly databaseId: string
  /** The tenant; undefined: the database belongs to nobody, or the catalog could not be asked. */
  readonly tenantId: string | undefined
  readonly slug: string | undefined
  /** The server process that was ended. */
  readonly pid: number
  readonly resource: SharedResource
  /** Entries of the lock table that all sessions of the role held, or the used share of the NOTIFY queue (0 to 1). */
  readonly used: number
  readonly limit: number
  /**
   * Whether the session was chosen without being named by PostgreSQL: the NOTIFY queue was full, and another session may
   * be what kept it so.
   */
  readonly isGuess: boolean
}

const sessionEnded = channel('tenants2fast:server:session-ended')

/** Publishes on `tenants2fast:server:session-ended` (`node:diagnostics_channel`). */
export function publishSessionEnded(event: SessionEndedEvent): void {
  if (sessionEnded.hasSubscribers) sessionEnded.publish(event)
}
