import type { EventEmitter } from 'node:events'
import pg from 'pg'
import { tryGetWork, type Work } from '../core/context.js'
import type { TenantDatabaseTarget } from '../core/database-target.js'
import { TenancyError } from '../core/errors.js'
import { inCallerContext } from './caller-context.js'
import { CheckedOutClient } from './checked-out-client.js'
import { type Lease, type LeaseOffice, settleTimeoutMs } from './lease-office.js'
import type { LeaseCallback } from './lease-waiter.js'
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

/** No code of `pg-pool` opens a connection here: it would know neither the tenant nor the budget. */
function refuseClient(): never {
  throw new TenancyError('TENANCY_CLOSED', 'Connections of a tenant come from the connection scheduler only')
}

/** `pg.Pool` without its types: each of its methods is overridden, its getters and overloads fit no subclass. */
const Pool = pg.Pool as unknown as new (config: object) => EventEmitter

/**
 * A tenant's pool: a `pg.Pool`, also to `instanceof`, on connections of the scheduler. Holds nothing but its key and its
 * listeners.
 *
 * Differences to `pg.Pool`: a failed `query` keeps its connection; `query(submittable)` returns the submittable, as the
 * types of `pg` have always said; callbacks and listeners of cursors run in the asynchronous context of the caller.
 */
export class SchedulerPool extends Pool {
  readonly key: string
  /** For people. */
  label: string
  resolveTarget: () => Promise<TenantDatabaseTarget>
  readonly #office: LeaseOffice
  #ending: Promise<void> | undefined
  #hasEnded = false

  constructor(
    key: string,
    resolveTarget: () => Promise<TenantDatabaseTarget>,
    office: LeaseOffice,
    label: string = key,
  ) {
    super({ ...office.poolOptions, Client: refuseClient })
    // pg.Pool sets these two as properties of its own.
    Object.defineProperty(this, 'ending', { get: () => this.#ending !== undefined })
    Object.defineProperty(this, 'ended', { get: () => this.#hasEnded })
    this.key = key
    this.label = label
    this.resolveTarget = resolveTarget
    this.#office = office
  }

  declare readonly ending: boolean
  declare readonly ended: boolean

  get totalCount(): number {
    return this.#office.counts(this.key).total
  }

  get idleCount(): number {
    return this.#office.counts(this.key).idle
  }

  get waitingCount(): number {
    return this.#office.counts(this.key).waiting
  }

  /** Connections past their lifetime are closed when they come back: none is counted. */
  get expiredCount(): number {
    return 0
  }

  query(query: unknown, values?: unknown, callback?: unknown): unknown {
    const givenValues = typeof values === 'function' ? undefined : values
    const given = typeof values === 'function' ? values : callback
    if (isSubmittable(query)) return this.#submit(query, givenValues, given as QueryCallback | undefined)
    if (typeof query === 'function') {
      const message = 'Passing a function as the first parameter to pool.query is not supported'
      process.nextTick(query, new TypeError(message))
      return undefined
    }
    if (typeof given !== 'function') return this.#promised(query, givenValues)
    this.#run(query, givenValues, inCallerContext(given as QueryCallback))
    return undefined
  }

  connect(options?: ConnectOptions | ConnectCallback): Promise<pg.PoolClient> | undefined {
    if (typeof options === 'function') {
      const callback = inCallerContext(options)
      const work = tryGetWork()
      this.#lease(undefined, (error, lease) => {
        if (lease === undefined) return process.nextTick(callback, error, undefined, () => {})
        const client = this.#checkOut(lease, work)
        process.nextTick(callback, undefined, client, (reason?: Error | boolean) => client.release(reason))
      })
      return undefined
    }
    const work = tryGetWork()
    return new Promise((resolve, reject) => {
      this.#lease(options?.signal, (error, lease) => {
        if (lease === undefined) reject(error)
        else resolve(this.#checkOut(lease, work))
      })
    })
  }

  /** Serves who waits already, closes the tenant's connections as they come back, and refuses whoever comes after. */
  end(callback?: (error?: Error) => void): Promise<void> | undefined {
    const again = this.#ending !== undefined
    this.#ending ??= this.#office.retire(this.key).finally(() => {
      this.#hasEnded = true
    })
    const ended = again ? Promise.reject(new Error('Called end on pool more than once')) : this.#ending
    if (callback === undefined) return ended
    const told = inCallerContext(callback)
    ended.then(
      () => process.nextTick(told),
      (error: Error) => process.nextTick(told, error),
    )
    return undefined
  }

  /** Emits; a listener that throws does so in a turn of its own and leaves the connection and its slot alone. */
  announce(event: 'connect' | 'acquire' | 'release' | 'remove' | 'error', ...values: unknown[]): void {
    if (this.listenerCount(event) === 0) return
    try {
      this.emit(event, ...values)
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
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
      this.announce('acquire', client)
      let answered = false
      // pg calls back twice when the values of a query can't be serialized.
      const answer: QueryCallback = (error, result) => {
        if (answered) return
        answered = true
        const finish = (): void => {
          this.announce('release', undefined, client)
          this.#office.giveBack(lease, false)
          if (error) callback(error)
          else callback(undefined, result)
        }
        // An error comes before the connection is ready again: a caller who retries at once shall find it idle.
        if (client.ready || client.running || !client.usable) finish()
        else void client.settled(settleTimeoutMs).then(() => process.nextTick(finish))
      }
      try {
        client.run(query, values, answer)
      } catch (error) {
        process.nextTick(answer, error instanceof Error ? error : new TypeError(String(error)))
      }
    })
  }

  #submit(query: Submittable, values: unknown, callback: QueryCallback | undefined): Submittable {
    fenceIn(query)
    const work = tryGetWork()
    this.#lease(undefined, (error, lease) => {
      const client = lease?.connection
      if (lease === undefined || client === undefined) return query.handleError(error)
      lease.holder = work
      this.announce('acquire', client)
      const giveBack = (broken: boolean): void => {
        this.announce('release', undefined, client)
        this.#office.giveBack(lease, broken)
      }
      if (query.destroyed === true) return giveBack(false)
      try {
        client.run(query, values, callback)
      } catch (failure) {
        giveBack(true)
        return query.handleError(failure)
      }
      void client.settled().then(() => giveBack(false))
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

  /** `work` keeps the client for as long as it likes. */
  #checkOut(lease: Lease, work: Work | undefined): pg.PoolClient {
    const { connection } = lease
    if (connection === undefined) throw new TypeError('A granted lease has a connection')
    lease.holder = work
    const client = new CheckedOutClient(connection, (error) => {
      this.announce('release', error, client)
      this.#office.giveBack(lease, Boolean(error))
    }) as unknown as pg.PoolClient
    this.announce('acquire', client)
    return client
  }
}

function signalOf(query: unknown): AbortSignal | undefined {
  const signal = typeof query === 'object' && query !== null && 'signal' in query ? query.signal : undefined
  return signal instanceof AbortSignal ? signal : undefined
}
