import type { RequestContext } from '../core/context/request-scope.js'

/** Connections of one process to one server at this moment. From `opened` on, counts since the start. */
export interface SchedulerStats {
  readonly maxConnections: number
  /** Connections that the server may hold for this process, including those that are being opened or closed. */
  readonly open: number
  readonly inUse: number
  readonly idle: number
  readonly connecting: number
  readonly waiting: number
  readonly opened: number
  readonly closed: number
  /** Connections closed to make room for another tenant. */
  readonly evictions: number
  /** Callers refused because of a full queue, a deadline, or a deadlock. */
  readonly rejected: number
  readonly identityMismatches: number
  /** Connections that could not be opened. */
  readonly connectFailures: number
  /** How often a tenant's role had changed its own password or settings, and was restored. */
  readonly rolesRestored: number
}

/** A request that uses a connection of this process now. */
export interface ConnectionUser {
  /** Process id of the backend. */
  readonly pid: number
  readonly context: RequestContext
}
