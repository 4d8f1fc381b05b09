import { channel } from 'node:diagnostics_channel'
import type { SharedResource } from './offenders.js'

/** A tenant's session was ended because it used up a resource that the server shares between its databases. */
export interface SessionEndedEvent {
  /** Id of the tenant database. */
  readonly databaseId: string
  /** Id of the tenant; undefined: the database belongs to no tenant, or the catalog could not be read. */
  readonly tenantId: string | undefined
  readonly slug: string | undefined
  /** The server process that was ended. */
  readonly pid: number
  readonly resource: SharedResource
  /** Entries of the lock table that all sessions of the role held, or the used share of the NOTIFY queue (0 to 1). */
  readonly used: number
  readonly limit: number
  /**
   * True when PostgreSQL had not named the session: the NOTIFY queue was full, and another session may be what kept it
   * full.
   */
  readonly isGuess: boolean
}

const sessionEnded = channel('tenants2fast:server:session-ended')

/** Publishes on `tenants2fast:server:session-ended` (`node:diagnostics_channel`). */
export function publishSessionEnded(event: SessionEndedEvent): void {
  if (sessionEnded.hasSubscribers) sessionEnded.publish(event)
}
