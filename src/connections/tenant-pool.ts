import { EventEmitter } from 'node:events'
import type pg from 'pg'
import { tryGetScope, type RequestScope } from '../core/context/current.js'
import type { TenantDatabaseTarget } from '../core/tenants/database-target.js'
import { inCallerContext } from './caller-context.js'
import { abortedError } from './connection-errors.js'
import { checkedOutClientClass } from './session/checked-out-client.js'
import { ControlClient, foreignUse, poolOptionsMark } from './session/control-client.js'
import { type Lease, type ConnectionDispatcher, settleTimeoutMs } from './connection-dispatcher.js'
import type { CheckoutCallback } from './checkout-waiter.js'
import { descendantOf, type PgCopy } from './session/pg-copy.js'
import { textOf } from './queries/query-text.js'
import { fenceIn, hearErrors, isSubmittable, type Submittable } from './queries/submittable.js'
import { SubmittedQuery } from './queries/submitted-query.js'
import { transactionLeftOpen, transactionMisuseOf, transactionRefused } from './queries/transaction-control.js'
import { refuseQuery } from './queries/transaction-pooling.js'

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

/** What `pool.query` was asked to do since the last `end()`, or between two of them. */
interface Round {
  pending: number
  onDone: (() => void) | undefined
}

/**
 * A tenant's pool: a `pg.Pool`, also to `instanceof`, on connections of the scheduler. Holds nothing but its key and its
 * listeners.
 *
 * Differences to `pg.Pool`: a failed `query` keeps its connection; `query(submittable)` returns the submittable, as the
 * types of `pg` have always said; callbacks and listeners of cursors run in the asynchronous context of the caller;
 * `query` takes no part of a transaction; `end` ends nothing, because others have the same pool.
 *
 * What is made of it by another copy of `pg` (`new Pool(pool)`) reads the fields of its own below as options: none of
 * them says where to connect, and `Client` and `stream` refuse to.
 */
export class TenantPgPool extends EventEmitter {
  readonly options: object
  readonly log = (): void => {}
  readonly Promise = Promise
  /** Makes control clients: Kysely cancels by one. */
  readonly Client: new (options?: unknown) => ControlClient
  readonly stream = refuseStream
  readonly #key: string
  #label: string
  #resolveTarget: () => Promise<TenantDatabaseTarget>
  readonly #office: ConnectionDispatcher
  #round: Round = { pending: 0, onDone: undefined }
  #lastEnd: Promise<unknown> = Promise.resolve()

  constructor(
    key: string,
    resolveTarget: () => Promise<TenantDatabaseTarget>,
    office: ConnectionDispatcher,
    label: string = key,
  ) {
    super()
    const control = {
      cancelBackend: (pid: number) => office.cancelBackend(key, pid),
      terminateBackend: (pid: number) => office.terminateBackend(key, pid),
    }
    // A function, not a class of its own for each pool: an arrow cannot be called with `new`.
    this.Client = function Client(options?: unknown) {
      return new ControlClient(control, options)
    } as unknown as new (options?: unknown) => ControlClient
    const limits = { min: 0, maxUses: Infinity, allowExitOnIdle: false }
    this.options = {
      ...limits,
      ...office.poolOptions,
      Client: this.Client,
      stream: refuseStream,
      [poolOptionsMark]: true,
    }
    this.#key = key
    this.#label = label
    this.#resolveTarget = resolveTarget
    this.#office = office
  }

  get key(): string {
    return this.#key
  }

  /** For people. */
  get label(): string {
    return this.#label
  }

  /** Where the pool's next connections go, and what it is called. */
  point(resolveTarget: () => Promise<TenantDatabaseTarget>, label: string): void {
    this.#resolveTarget = resolveTarget
    this.#label = label
  }

  resolveTarget(): Promise<TenantDatabaseTarget> {
    return this.#resolveTarget()
  }

  get ending(): boolean {
    return this.#office.isClosing
  }

  get ended(): boolean {
    return this.#office.isClosed
  }

  get totalCount(): number {
    return this.#office.counts(this.#key).total
  }

  get idleCount(): number {
    return this.#office.counts(this.#key).idle
  }

  get waitingCount(): number {
    return this.#office.counts(this.#key).waiting
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
      const work = tryGetScope()
      this.#lease(undefined, (error, lease) => {
        if (lease === undefined) return process.nextTick(callback, error, undefined, () => {})
        const client = this.#checkOut(lease, work)
        process.nextTick(callback, undefined, client, (reason?: Error | boolean) => client.release(reason))
      })
      return undefined
    }
    const work = tryGetScope()
    return new Promise((resolve, reject) => {
      this.#lease(options?.signal, (error, lease) => {
        if (lease === undefined) reject(error)
        else resolve(this.#checkOut(lease, work))
      })
    })
  }

  /**
   * Resolves when what `query` was asked before is answered, and ends nothing: the pool is that of everybody who works for
   * the tenant, and its connections are the scheduler's, who closes them. Clients that are checked out stay with their users.
   */
  end(callback?: (error?: Error) => void): Promise<void> | undefined {
    this.#office.warnOfEnd(this.label)
    const ended = this.#endRound()
    if (callback === undefined) return ended
    const told = inCallerContext(callback)
    void ended.then(() => process.nextTick(told))
    return undefined
  }

  async #endRound(): Promise<void> {
    const round = this.#round
    this.#round = { pending: 0, onDone: undefined }
    const before = this.#lastEnd
    const done = round.pending === 0 ? undefined : new Promise<void>((resolve) => (round.onDone = resolve))
    this.#lastEnd = Promise.all([before, done])
    await this.#lastEnd
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
    const misuse = transactionMisuseOf(textOf(query))
    if (misuse !== undefined) return void refuseQuery(query, callback, transactionRefused(misuse))
    const round = this.#round
    round.pending += 1
    this.#lease(signalOf(query), (leaseError, lease) => {
      const client = lease?.connection
      if (lease === undefined || client === undefined) {
        answeredIn(round)
        return callback(leaseError)
      }
      this.announce('acquire', client)
      let answered = false
      // pg calls back twice when the values of a query can't be serialized.
      const answer: QueryCallback = (error, result) => {
        if (answered) return
        answered = true
        // What the text did not show: the server knows whether a transaction is open, and the reset ends it.
        if (!error && !client.outsideTransaction && client.usable) error = transactionLeftOpen()
        const finish = (): void => {
          this.announce('release', undefined, client)
          this.#office.giveBack(lease, false)
          try {
            if (error) callback(error)
            else callback(undefined, result)
          } finally {
            answeredIn(round)
          }
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
    const target = query as { callback?: unknown }
    if (callback !== undefined && !target.callback) target.callback = callback
    const fence = fenceIn(query)
    const misuse = transactionMisuseOf(textOf(query))
    if (misuse !== undefined) {
      process.nextTick(() => query.handleError(transactionRefused(misuse)))
      return query
    }
    const work = tryGetScope()
    const round = this.#round
    round.pending += 1
    this.#lease(undefined, (error, lease) => {
      const client = lease?.connection
      if (lease === undefined || client === undefined) {
        answeredIn(round)
        if (work?.isAborted === true) hearErrors(query)
        return query.handleError(error)
      }
      lease.holder = work
      this.announce('acquire', client)
      const end = (give: () => void): void => {
        answeredIn(round)
        this.announce('release', undefined, client)
        give()
      }
      const giveBack = (): void => end(() => this.#office.giveBack(lease, false))
      if (query.destroyed === true) return giveBack()
      fence.onReady = () => (client.outsideTransaction ? undefined : transactionLeftOpen())
      try {
        client.run(query, values, callback)
      } catch (failure) {
        end(() => this.#office.giveBack(lease, true))
        return query.handleError(failure)
      }
      const breakOff = (): void => end(() => this.#office.breakOff(lease))
      const submitted = new SubmittedQuery(query, fence, client, work, { giveBack, breakOff })
      if (work?.isAborted === true) submitted.abort(abortedError(undefined))
      else this.#office.streams.watch(submitted)
    })
    return query
  }

  #lease(signal: AbortSignal | undefined, done: CheckoutCallback): void {
    const lease = this.#office.takeIdle(this.#key)
    if (lease === undefined) this.#office.wait(this, signal, done)
    else done(undefined, lease)
  }

  /** `work` keeps the client for as long as it likes. */
  #checkOut(lease: Lease, work: RequestScope | undefined): pg.PoolClient {
    const { connection } = lease
    if (connection === undefined) throw new TypeError('A granted lease has a connection')
    lease.holder = work
    const CheckedOut = checkedOutClientClass(this.#office.copy)
    const client = new CheckedOut(connection, (error) => {
      this.announce('release', error, client)
      this.#office.giveBack(lease, Boolean(error))
    }) as unknown as pg.PoolClient
    this.announce('acquire', client)
    return client
  }
}

/** The class of tenants' pools that are pools of `copy`. A minifier renames classes; Drizzle goes by the name. */
export function tenantPgPoolClass(copy: PgCopy): typeof TenantPgPool {
  return descendantOf(TenantPgPool, copy.Pool, 'TenantPool')
}

/** `pg` makes the sockets of a client by its option `stream`. */
function refuseStream(): never {
  throw foreignUse()
}

function answeredIn(round: Round): void {
  round.pending -= 1
  if (round.pending === 0) round.onDone?.()
}

function signalOf(query: unknown): AbortSignal | undefined {
  const signal = typeof query === 'object' && query !== null && 'signal' in query ? query.signal : undefined
  return signal instanceof AbortSignal ? signal : undefined
}
