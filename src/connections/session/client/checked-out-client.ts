import { AsyncResource } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import type pg from 'pg'
import { TenancyError } from '../../../core/errors/errors.js'
import { isSubmittable } from '../../queries/submittable.js'
import { descendantOf, type PgCopy } from './pg-copy.js'
import type { SessionClient } from './session-client.js'

type Listener = (...given: unknown[]) => void

/**
 * The client that `connect()` hands out. It works while it is checked out, and never after that. Code that keeps it
 * longer, and queries, listens or releases again, reaches this object only, not the connection that another caller uses
 * by then. Listeners and type parsers that were set through it go with it.
 */
export class CheckedOutClient {
  readonly #client: SessionClient
  readonly #forwarded = new Map<string | symbol, Listener>()
  #isReleased = false
  #stopOverridingTypes: (() => void) | undefined
  /**
   * Gives the connection back, or closes it if there is an error. A property, because callers detach it from its object.
   */
  readonly release: (error?: Error | boolean) => void

  constructor(client: SessionClient, giveBack: (error: Error | boolean | undefined) => void) {
    this.#client = client
    this.release = (error) => {
      if (this.#isReleased) throw new Error('Release called on client which has already been released to the pool.')
      this.#isReleased = true
      for (const [event, forward] of this.#forwarded) client.removeListener(event, forward)
      this.#stopOverridingTypes?.()
      giveBack(error)
    }
  }

  query(query: unknown, values?: unknown, callback?: unknown): unknown {
    if (!this.#isReleased) return this.#client.query(query, values, callback)
    if (!isSubmittable(query)) return refuse([callback, values])
    process.nextTick(() => query.handleError(releasedError()))
    return query
  }

  /** As `pg` does: closes the connection, which the pool notices. */
  end(callback?: () => void): Promise<void> | undefined {
    if (!this.#isReleased) return this.#client.end(callback as () => void) as Promise<void> | undefined
    if (callback === undefined) return Promise.resolve()
    callback()
    return undefined
  }

  connect(callback?: (error: Error) => void): Promise<never> | undefined {
    const error = new Error('Client has already been connected. You cannot reuse a client.')
    if (callback === undefined) return Promise.reject(error)
    process.nextTick(callback, error)
    return undefined
  }

  setTypeParser(...given: Parameters<pg.Client['setTypeParser']>): void {
    if (this.#isReleased) return
    this.#stopOverridingTypes ??= this.#client.overrideTypes()
    this.#client.setTypeParser(...given)
  }

  getTypeParser(...given: Parameters<pg.Client['getTypeParser']>): unknown {
    return this.#client.getTypeParser(...given) as unknown
  }

  getTransactionStatus(): unknown {
    return this.#isReleased ? null : this.#client.getTransactionStatus()
  }

  get processID(): number | null {
    return this.#isReleased ? null : this.#client.backendPid
  }

  get host(): string {
    return this.#client.host
  }

  get port(): number {
    return this.#client.port
  }

  get user(): string | undefined {
    return this.#client.user
  }

  get database(): string | undefined {
    return this.#client.database
  }

  ref(): void {}

  unref(): void {}

  on(event: string | symbol, listener: Listener): this {
    this.#forward(event)
    return emitter.on.call(this as unknown as EventEmitter, event, listener) as unknown as this
  }

  addListener(event: string | symbol, listener: Listener): this {
    return this.on(event, listener)
  }

  prependListener(event: string | symbol, listener: Listener): this {
    this.#forward(event)
    return emitter.prependListener.call(this as unknown as EventEmitter, event, listener) as unknown as this
  }

  /** Passes the connection's events of that name on, until the release. */
  #forward(event: string | symbol): void {
    if (this.#isReleased || this.#forwarded.has(event)) return
    const own = this as unknown as EventEmitter
    const forward: Listener = AsyncResource.bind((...given: unknown[]) => {
      if (own.listenerCount(event) > 0) own.emit(event, ...given)
    })
    this.#forwarded.set(event, forward)
    this.#client.on(event as 'drain', forward)
  }
}

const emitter = EventEmitter.prototype
const classes = new WeakMap<PgCopy['Client'], typeof CheckedOutClient>()

/**
 * Makes the class of checked-out clients of one copy of `pg`. They are instances of its `Client`, as `instanceof` sees
 * it, with an emitter of their own, and without the constructor that makes a connection.
 */
export function checkedOutClientClass({ Client }: PgCopy): typeof CheckedOutClient {
  const known = classes.get(Client)
  if (known !== undefined) return known
  const made = descendantOf(CheckedOutClient, Client, 'TenantClient')
  classes.set(Client, made)
  return made
}

function releasedError(): TenancyError {
  const message = 'A query was sent through a client that had been released: await every query before release()'
  return new TenancyError('TENANCY_CONNECTION_RELEASED', message)
}

function refuse(callbacks: readonly unknown[]): Promise<never> | undefined {
  const callback = callbacks.find((given) => typeof given === 'function') as ((error: Error) => void) | undefined
  if (callback === undefined) return Promise.reject(releasedError())
  process.nextTick(callback, releasedError())
  return undefined
}
