import { isTenancyError, type TenancyError } from '../../core/errors/errors.js'
import type { Allocator } from '../allocation/allocator.js'
import type { CheckoutPool, SessionEntry } from '../checkout.js'
import { connectFailure, isFull, isFullForAll } from '../connection-errors.js'
import { connectionEvents } from '../connection-events.js'
import type { SchedulerSettings } from '../options.js'
import { closeSession } from '../session/open-session.js'
import type { SchemaEffectsCache } from '../session/schema/schema-effects-cache.js'
import type { SessionClient } from '../session/client/session-client.js'
import { Connector } from './connector.js'

/** A server without room is asked again after this time, which doubles with each try up to the maximum. */
const minRoomWaitMs = 20
const maxRoomWaitMs = 500

/**
 * Up to so many connections that are opened at a time, each is begun ahead of the catalog's answer. When more are opened,
 * the server's processors are what they wait for, and so do the queries of tenants that have a connection.
 */
const mostHurried = 2

/** The parts that {@link OpenConnections} uses. */
export interface OpenConnectionsParts {
  readonly allocator: Allocator<SessionClient, CheckoutPool>
  readonly schemaEffects: SchemaEffectsCache
  /** Called when a connection has been closed, or a try to open one has failed. */
  readonly onChange: () => void
}

/** Opens and closes connections as the allocator asks for it, and notices when one is lost. */
export class OpenConnections {
  /** Every entry with a connection. */
  readonly entries = new Set<SessionEntry>()
  readonly #options: SchedulerSettings
  readonly #parts: OpenConnectionsParts
  readonly #connector: Connector
  readonly #counters = { opened: 0, closed: 0, identityMismatches: 0, connectFailures: 0 }
  /** Why the last try to open a connection of a tenant found no room. */
  readonly #full = new WeakMap<CheckoutPool, TenancyError>()

  constructor(options: SchedulerSettings, parts: OpenConnectionsParts) {
    this.#options = options
    this.#parts = parts
    this.#connector = new Connector(options)
  }

  /** Counts since the start. */
  get counters(): Readonly<
    Record<'opened' | 'closed' | 'identityMismatches' | 'connectFailures' | 'rolesRestored', number>
  > {
    return { ...this.#counters, rolesRestored: this.#connector.rolesRestored }
  }

  /** Why there is no connection for the tenant, if the last try found the server full. */
  fullError(pool: CheckoutPool): TenancyError | undefined {
    return this.#full.get(pool)
  }

  /** Waits until no role is being restored. */
  settled(): Promise<void> {
    return this.#connector.settled()
  }

  async open(entry: SessionEntry): Promise<void> {
    const { allocator, schemaEffects, onChange } = this.#parts
    const pool = entry.tenant.owner
    try {
      if (pool === undefined) throw new TypeError('A tenant with waiters has a pool')
      const client = await this.#connector.connect(pool, allocator.budget.opening <= mostHurried)
      if (!client.usable) throw new Error('The connection broke before it was used')
      this.#counters.opened += 1
      this.#full.delete(pool)
      connectionEvents.open(pool, performance.now() - entry.sinceMs)
      this.entries.add(entry)
      schemaEffects.tell(entry.tenant.key, client, performance.now())
      entry.expiresAtMs = performance.now() + this.#options.connectionLifetimeMs * (0.9 + Math.random() * 0.2)
      client.onLost = (error) => this.#lost(entry, client, pool, error)
      client.once('end', () => this.#ended(entry, client, pool))
      pool.announce('connect', client)
      allocator.opened(entry, client, performance.now())
    } catch (cause) {
      const error = connectFailure(cause)
      this.#counters.connectFailures += 1
      if (pool !== undefined && isFull(cause)) return this.#defer(entry, pool, cause, error)
      if (isTenancyError(error, 'TENANCY_DATABASE_IDENTITY_MISMATCH')) this.#alarm(entry, error)
      else connectionEvents.connectFailed(entry.tenant, error)
      allocator.openFailed(entry, performance.now())?.reject(error)
      onChange()
    }
  }

  async close({ connection, tenant, successor }: SessionEntry): Promise<void> {
    if (successor !== undefined) connectionEvents.eviction(tenant, successor.tenant)
    if (connection !== undefined) await closeSession(connection)
  }

  /** The server is full. Waiters are refused at their deadline only: there may be room again before. */
  #defer(entry: SessionEntry, pool: CheckoutPool, cause: unknown, error: TenancyError): void {
    const { allocator, onChange } = this.#parts
    this.#full.set(pool, error)
    connectionEvents.connectFailed(entry.tenant, error)
    const nowMs = performance.now()
    const scope = isFullForAll(cause) ? 'server' : 'tenant'
    const { deferrals } = scope === 'server' ? allocator.server : entry.tenant
    const waitMs = Math.min(minRoomWaitMs * 2 ** deferrals, maxRoomWaitMs) * (0.75 + Math.random() / 4)
    allocator.openDeferred(entry, scope, nowMs + waitMs, nowMs)
    onChange()
  }

  #alarm(entry: SessionEntry, error: TenancyError): void {
    this.#counters.identityMismatches += 1
    this.#options.logger.error({ tenant: entry.tenant.key, code: error.code }, error.message)
    connectionEvents.identityMismatch(entry.tenant, error)
  }

  #lost(entry: SessionEntry, client: SessionClient, pool: CheckoutPool, error: Error): void {
    if (entry.state === 'idle') {
      if (pool.listenerCount('error') > 0) pool.announce('error', error, client)
      else this.#options.logger.warn({ tenant: pool.key }, 'An idle tenant connection was lost')
    }
    this.#parts.allocator.discard(entry)
  }

  #ended(entry: SessionEntry, client: SessionClient, pool: CheckoutPool): void {
    this.#counters.closed += 1
    connectionEvents.close(pool)
    this.entries.delete(entry)
    this.#parts.allocator.closed(entry, performance.now())
    pool.announce('remove', client)
    this.#parts.onChange()
  }
}
