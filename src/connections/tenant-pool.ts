import { EventEmitter } from 'node:events'
import type pg from 'pg'
import { type RequestScope, tryGetScope } from '../core/context/request-scope.js'
import type { ServerAccount, TenantDatabaseTarget } from '../core/tenants/database-target.js'
import { inCallerContext } from './caller-context.js'
import type { Checkout, CheckoutCallback, CheckoutPool } from './checkout.js'
import type { ConnectionDispatcher } from './connection-dispatcher.js'
import { settleTimeoutMs } from './connection-restorer.js'
import { textOf } from './queries/query-text.js'
import { isSubmittable, type Submittable } from './queries/submittable.js'
import { transactionLeftOpen, transactionMisuseOf, transactionRefused } from './queries/transaction-control.js'
import { refuseQuery } from './queries/transaction-pooling.js'
import { checkedOutClientClass } from './session/client/checked-out-client.js'
import { ControlClient, foreignUse, poolOptionsMark } from './session/client/control-client.js'
import { descendantOf, type PgCopy } from './session/client/pg-copy.js'
import { submitToPool } from './submit-to-pool.js'

type QueryCallback = (error: Error | undefined | null, result?: pg.QueryResult) => void
type ConnectCallback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  release: (error?: Error | boolean) => void,
) => void

/** Options of `connect`. */
interface ConnectOptions {
  /** The caller leaves the queue when it is aborted. */
  readonly signal?: AbortSignal
}

/** The calls of `pool.query` between two calls of `end()`. */
interface Round {
  pending: number
  onDone: (() => void) | undefined
}

/**
 * A tenant's pool: a `pg.Pool`, also to `instanceof`, on connections of the scheduler. It holds nothing but its key and
 * its listeners.
 *
 * It differs from `pg.Pool`: a failed `query` keeps its connection; `query(submittable)` returns the submittable, as the
 * types of `pg` have always said; callbacks and listeners of cursors run in the asynchronous context of the caller;
 * `query` accepts no part of a transaction; `end` ends nothing, because others have the same pool.
 *
 * Another copy of `pg` that takes it for options (`new Pool(pool)`) reads the public fields below. None of them says
 * where to connect, and `Client` and `stream` refuse to.
 */
export class TenantPgPool extends EventEmitter implements CheckoutPool {
  readonly options: object
  readonly log = (): void => {}
  readonly Promise = Promise
  /** Makes control clients, by which Kysely cancels queries. */
  readonly Client: new (options?: unknown) => ControlClient
  readonly stream = refuseStream
  readonly #key: string
  #label: string
  #resolveTarget: () => Promise<TenantDatabaseTarget>
  #expectedAccount: (() => ServerAccount) | undefined
  readonly #dispatcher: ConnectionDispatcher
  #round: Round = { pending: 0, onDone: undefined }
  #lastEnd: Promise<unknown> = Promise.resolve()

  constructor(
    key: string,
    resolveTarget: () => Promise<TenantDatabaseTarget>,
    dispatcher: ConnectionDispatcher,
    label: string = key,
    expectedAccount?: () => ServerAccount,
  ) {
    super()
    const control = {
      cancelBackend: (pid: number) => dispatcher.cancelBackend(key, pid),
      terminateBackend: (pid: number) => dispatcher.terminateBackend(key, pid),
    }
    // A function, not a class of its own for each pool: an arrow cannot be called with `new`.
    this.Client = function Client(options?: unknown) {
      return new ControlClient(control, options)
    } as unknown as new (options?: unknown) => ControlClient
    const limits = { min: 0, maxUses: Infinity, allowExitOnIdle: false }
    this.options = {
      ...limits,
      ...dispatcher.poolOptions,
      Client: this.Client,
      stream: refuseStream,
      [poolOptionsMark]: true,
    }
    this.#key = key
    this.#label = label
    this.#resolveTarget = resolveTarget
    this.#expectedAccount = expectedAccount
    this.#dispatcher = dispatcher
  }

  get key(): string {
    return this.#key
  }

  /** For people. */
  get label(): string {
    return this.#label
  }

  /** Sets where the pool's next connections go, and its label. */
  point(
    resolveTarget: () => Promise<TenantDatabaseTarget>,
    label: string,
    expectedAccount?: () => ServerAccount,
  ): void {
    this.#resolveTarget = resolveTarget
    this.#expectedAccount = expectedAccount
    this.#label = label
  }

  resolveTarget(): Promise<TenantDatabaseTarget> {
    return this.#resolveTarget()
  }

  expectedAccount(): ServerAccount | undefined {
    return this.#expectedAccount?.()
  }

  get ending(): boolean {
    return this.#dispatcher.isClosing
  }

  get ended(): boolean {
    return this.#dispatcher.isClosed
  }

  get totalCount(): number {
    return this.#dispatcher.counts(this.#key).total
  }

  get idleCount(): number {
    return this.#dispatcher.counts(this.#key).idle
  }

  get waitingCount(): number {
    return this.#dispatcher.counts(this.#key).waiting
  }

  /** Always 0: connections past their lifetime are closed when they come back. */
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
      const scope = tryGetScope()
      this.#acquire(undefined, (error, checkout) => {
        if (checkout === undefined) return process.nextTick(callback, error, undefined, () => {})
        const client = this.#clientOf(checkout, scope)
        process.nextTick(callback, undefined, client, (reason?: Error | boolean) => client.release(reason))
      })
      return undefined
    }
    const scope = tryGetScope()
    return new Promise((resolve, reject) => {
      this.#acquire(options?.signal, (error, checkout) => {
        if (checkout === undefined) reject(error)
        else resolve(this.#clientOf(checkout, scope))
      })
    })
  }

  /**
   * Resolves when the earlier calls of `query` are answered, and ends nothing. All code that works for the tenant
   * shares the pool, and the scheduler closes the connections. Clients that are checked out stay with their users.
   */
  end(callback?: (error?: Error) => void): Promise<void> | undefined {
    this.#dispatcher.warnOfEnd(this.label)
    const ended = this.#endRound()
    if (callback === undefined) return ended
    const boundCallback = inCallerContext(callback)
    void ended.then(() => process.nextTick(boundCallback))
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

  /** Emits an event. A listener's exception is thrown in a tick of its own, and does not affect the connection. */
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
      // The stack of the driver's error ends in the socket. This one leads to the code that sent the query.
      if (error instanceof Error) Error.captureStackTrace(error)
      throw error
    }
  }

  #run(query: unknown, values: unknown, callback: QueryCallback): void {
    const misuse = transactionMisuseOf(textOf(query))
    if (misuse !== undefined) return void refuseQuery(query, callback, transactionRefused(misuse))
    const round = this.#round
    round.pending += 1
    this.#acquire(signalOf(query), (acquireError, checkout) => {
      const client = checkout?.connection
      if (checkout === undefined || client === undefined) {
        answeredIn(round)
        return callback(acquireError)
      }
      this.announce('acquire', client)
      let answered = false
      // pg calls back twice when the values of a query can't be serialized.
      const answer: QueryCallback = (error, result) => {
        if (answered) return
        answered = true
        // The text may not have shown it: the server knows whether a transaction is open, and the reset ends it.
        if (!error && !client.outsideTransaction && client.usable) error = transactionLeftOpen()
        const finish = (): void => {
          this.announce('release', undefined, client)
          this.#dispatcher.giveBack(checkout, false)
          try {
            if (error) callback(error)
            else callback(undefined, result)
          } finally {
            answeredIn(round)
          }
        }
        // An error comes before the connection is ready again. A caller that retries at once is to find it idle.
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
    const parts = {
      dispatcher: this.#dispatcher,
      announce: (event: 'acquire' | 'release', ...given: unknown[]) => this.announce(event, ...given),
      acquire: (done: CheckoutCallback) => this.#acquire(undefined, done),
      begin: () => {
        const round = this.#round
        round.pending += 1
        return () => answeredIn(round)
      },
    }
    return submitToPool(parts, query, values, callback)
  }

  #acquire(signal: AbortSignal | undefined, done: CheckoutCallback): void {
    const checkout = this.#dispatcher.takeIdle(this.#key)
    if (checkout === undefined) this.#dispatcher.wait(this, signal, done)
    else done(undefined, checkout)
  }

  /** Makes the client that `scope` keeps for as long as it likes. */
  #clientOf(checkout: Checkout, scope: RequestScope | undefined): pg.PoolClient {
    const { connection } = checkout
    if (connection === undefined) throw new TypeError('A checkout has a connection')
    checkout.holder = scope
    const CheckedOut = checkedOutClientClass(this.#dispatcher.copy)
    const client = new CheckedOut(connection, (error) => {
      this.announce('release', error, client)
      this.#dispatcher.giveBack(checkout, Boolean(error))
    }) as unknown as pg.PoolClient
    this.announce('acquire', client)
    return client
  }
}

/**
 * Makes the class of tenants' pools that are pools of `copy`. Drizzle goes by its name, which a minifier must not
 * change.
 */
export function tenantPgPoolClass(copy: PgCopy): typeof TenantPgPool {
  return descendantOf(TenantPgPool, copy.Pool, 'TenantPool')
}

/** Stands in the option `stream`, by which `pg` makes the sockets of a client. */
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
