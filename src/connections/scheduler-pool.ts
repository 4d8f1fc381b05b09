import { EventEmitter } from 'node:events'
import type pg from 'pg'
import type { TenantDatabaseTarget } from '../core/database-target.js'
import { TenancyError } from '../core/errors.js'
import { bindCallback } from './caller-context.js'
import { CheckedOutClient } from './checked-out-client.js'
import { type Lease, type LeaseCallback, type LeaseOffice, settleTimeoutMs } from './lease-office.js'
import type { SessionClient } from './session-client.js'
import { fenceIn, isSubmittable, type Submittable } from './submittable.js'

type QueryCallback = (error: Error | undefined | null, result?: pg.QueryResult) => void
type ConnectCallback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  release: (error?: Error | boolean) => void,
) => void

/** What `connect` takes besides a callback. */
interface ConnectOptions {
  /** Leaves the queue when it is aborted. */
  readonly signal?: AbortSignal
}

/**
 * A tenant's pool: the interface of `pg.Pool` on connections of the scheduler. Holds nothing but its key.
 *
 * Differences to `pg.Pool`: a failed `query` keeps its connection; `query(submittable)` returns the submittable, as the
 * types of `pg` have always said; `end` closes the tenant's connections, of whichever pool object.
 */
export class SchedulerPool extends EventEmitter {
  readonly key: string
  readonly resolveTarget: () => Promise<TenantDatabaseTarget>
  readonly #office: LeaseOffice
  #ending: Promise<void> | undefined

  constructor(key: string, resolveTarget: () => Promise<TenantDatabaseTarget>, office: LeaseOffice) {
    super()
    this.key = key
    this.resolveTarget = resolveTarget
    this.#office = office
  }

  get totalCount(): number {
    return this.#office.counts(this.key).total
  }

  get idleCount(): number {
    return this.#office.counts(this.key).idle
  }

  get waitingCount(): number {
    return this.#office.counts(this.key).waiting
  }

  query(query: unknown, values?: unknown, callback?: unknown): unknown {
    const givenValues = typeof values === 'function' ? undefined : values
    const given = bindCallback(typeof values === 'function' ? values : callback)
    if (isSubmittable(query)) return this.#submit(query, givenValues, given as QueryCallback | undefined)
    if (typeof given !== 'function') return this.#promised(query, givenValues)
    this.#run(query, givenValues, given as QueryCallback)
    return undefined
  }

  connect(options?: ConnectOptions | ConnectCallback): Promise<pg.PoolClient> | undefined {
    if (typeof options === 'function') {
      this.#lease(undefined, (error, lease) => {
        if (lease === undefined) return options(error, undefined, () => {})
        const client = this.#checkOut(lease)
        return options(undefined, client, (reason) => client.release(reason))
      })
      return undefined
    }
    return new Promise((resolve, reject) => {
      this.#lease(options?.signal, (error, lease) => {
        if (lease === undefined) reject(error)
        else resolve(this.#checkOut(lease))
      })
    })
  }

  end(callback?: () => void): Promise<void> | undefined {
    const again = this.#ending !== undefined
    this.#ending ??= this.#office.retire(this.key)
    const ended = again ? Promise.reject(new Error('Called end on pool more than once')) : this.#ending
    if (callback === undefined) return ended
    ended.then(callback, callback)
    return undefined
  }

  async #promised(query: unknown, values: unknown): Promise<pg.QueryResult> {
    try {
      return await new Promise<pg.QueryResult>((resolve, reject) => {
        this.#run(query, values, (error, result) => (result === undefined ? reject(error) : resolve(result)))
      })
    } catch (error) {
      // The stack of the driver's error ends in the socket; this one leads to whoever sent the query.
      if (error instanceof Error) Error.captureStackTrace(error)
      throw error
    }
  }

  #run(query: unknown, values: unknown, callback: QueryCallback): void {
    this.#lease(signalOf(query), (leaseError, lease) => {
      const client = lease?.connection
      if (lease === undefined || client === undefined) return callback(leaseError)
      let answered = false
      // pg calls back twice when the values of a query can't be serialized.
      const answer: QueryCallback = (error, result) => {
        if (answered) return
        answered = true
        const finish = (): void => {
          this.#office.giveBack(lease, false)
          if (error) callback(error)
          else callback(undefined, result)
        }
        // An error comes before the connection is ready again: a caller who retries at once shall find it idle.
        if (client.ready || client.running || !client.usable) finish()
        else void client.settled(settleTimeoutMs).then(finish)
      }
      try {
        send(client, query, values, answer)
      } catch (error) {
        answer(error instanceof Error ? error : new TypeError(String(error)))
      }
    })
  }

  #submit(query: Submittable, values: unknown, callback: QueryCallback | undefined): Submittable {
    fenceIn(query)
    this.#lease(undefined, (error, lease) => {
      const client = lease?.connection
      if (lease === undefined || client === undefined) {
        query.handleError(error)
        return
      }
      if (query.destroyed === true) return this.#office.giveBack(lease, false)
      send(client, query, values, callback)
      void client.settled().then(() => this.#office.giveBack(lease, false))
    })
    return query
  }

  #lease(signal: AbortSignal | undefined, done: LeaseCallback): void {
    if (this.#ending !== undefined) {
      const message = 'Cannot use a pool after calling end on the pool'
      queueMicrotask(() => done(new TenancyError('TENANCY_CLOSED', message)))
      return
    }
    const lease = this.#office.takeIdle(this.key)
    if (lease === undefined) this.#office.wait(this, signal, done)
    else done(undefined, lease)
  }

  #checkOut(lease: Lease): pg.PoolClient {
    const { connection } = lease
    if (connection === undefined) throw new TypeError('A granted lease has a connection')
    const client = new CheckedOutClient(connection, (error) => {
      this.emit('release', error, client)
      this.#office.giveBack(lease, Boolean(error))
    }) as unknown as pg.PoolClient
    this.emit('acquire', client)
    return client
  }
}

function signalOf(query: unknown): AbortSignal | undefined {
  const signal = typeof query === 'object' && query !== null && 'signal' in query ? query.signal : undefined
  return signal instanceof AbortSignal ? signal : undefined
}

function send(client: SessionClient, query: unknown, values: unknown, callback: QueryCallback | undefined): void {
  client.query(query, values, callback)
}
