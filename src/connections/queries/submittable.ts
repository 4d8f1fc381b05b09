import { AsyncResource } from 'node:async_hooks'
import { EventEmitter } from 'node:events'

/** A query object of `pg`, such as a cursor or a stream. */
export interface Submittable {
  submit(connection: object): unknown
  handleError(error: unknown, connection?: object): void
  /** Set by streams. */
  readonly destroyed?: boolean
}

export function isSubmittable(query: unknown): query is Submittable {
  return typeof query === 'object' && query !== null && 'submit' in query && typeof query.submit === 'function'
}

/**
 * Puts a fence around a submittable before it is submitted.
 *
 * What `pg` calls on it, and the callbacks and events that follow, run in the current asynchronous context. Otherwise
 * they would run in the context of the socket. And it can write to the connection only until its query is over: a
 * stream that is destroyed in mid-read asks for rows of a portal that it has closed, and the answer would go to the
 * next user of the connection, as an error, or never come.
 */
export function bindToCaller(query: Submittable): SubmittableGuard {
  const caller = new AsyncResource('tenants2fast.query')
  const target = query as unknown as Record<string, Handler | undefined>
  const fence = new Guard()
  const call = (name: string, handler: Handler, given: readonly unknown[]): unknown => {
    const answer = caller.runInAsyncScope(handler, query, ...given.map((value) => fence.instead(value)))
    if (name === 'handleReadyForQuery' || name === 'handleError') fence.close()
    return answer
  }
  for (const name of handlers) {
    const handler = target[name]
    if (typeof handler !== 'function') continue
    target[name] = (...given) => {
      if (fence.isSilent) return undefined
      if (name === 'handleError') {
        if (query.destroyed === true) hearErrors(query)
        if (fence.abortError !== undefined) given = [fence.abortError, ...given.slice(1)]
      }
      const problem = name === 'handleReadyForQuery' ? fence.onReady?.() : undefined
      const onError = target['handleError']
      if (problem === undefined || onError === undefined) return call(name, handler, given)
      return onError.call(query, problem, ...given)
    }
  }
  const destroy = target['destroy']
  if (typeof destroy === 'function') {
    target['destroy'] = (...given) => {
      const answer: unknown = destroy.apply(query, given)
      fence.onDestroy?.()
      return answer
    }
  }
  const submit = query.submit.bind(query)
  query.submit = (connection) => caller.runInAsyncScope(submit, query, fence.open(connection))
  return fence
}

/**
 * Keeps an error event from ending the process: nobody listens to a stream that was destroyed, or whose request is gone.
 */
export function hearErrors(query: Submittable): void {
  if (query instanceof EventEmitter && query.listenerCount('error') === 0) query.once('error', () => {})
}

/** Controls a submittable that has been fenced in. */
export interface SubmittableGuard {
  /** Called when the server is done. The submittable fails with the error that it returns. */
  onReady: (() => Error | undefined) | undefined
  /** Called when the stream was destroyed, from whatever code. */
  onDestroy: (() => void) | undefined
  /** From now on, every error that the submittable is told is `error`. */
  abort(error: Error): void
  /** From now on, nothing is called on the submittable. */
  silence(): void
}

type Handler = (...given: unknown[]) => unknown

const handlers = [
  'handleCommandComplete',
  'handleCopyData',
  'handleCopyInResponse',
  'handleDataRow',
  'handleEmptyQuery',
  'handleError',
  'handlePortalSuspended',
  'handleReadyForQuery',
  'handleRowDescription',
]

/** Stands between a submittable and its connection. */
class Guard implements SubmittableGuard {
  onReady: (() => Error | undefined) | undefined
  onDestroy: (() => void) | undefined
  abortError: Error | undefined
  isSilent = false
  #connection: object | undefined
  #proxy: object | undefined
  #isOver = false
  #portalClosed = false

  open(connection: object): object {
    this.#connection = connection
    this.#proxy = new Proxy(connection, { get: (target, name) => this.#get(target, name) })
    return this.#proxy
  }

  abort(error: Error): void {
    this.abortError = error
  }

  silence(): void {
    this.isSilent = true
  }

  /** From now on, nothing that the submittable sends reaches the server. */
  close(): void {
    this.#isOver = this.#connection !== undefined
  }

  /** Shows the submittable the fence where it would see the connection. */
  instead(value: unknown): unknown {
    return value !== undefined && value === this.#connection ? this.#proxy : value
  }

  #get(target: object, name: string | symbol): unknown {
    const value: unknown = Reflect.get(target, name)
    if (typeof value !== 'function') return value
    const call = (value as Handler).bind(target)
    if (name === 'once') return (event: string, listener: () => void) => this.#once(call, event, listener)
    if (!sending.has(name)) return call
    return (...given: unknown[]) => {
      if (this.#isOver || (this.#portalClosed && name === 'execute')) return undefined
      if (name === 'close' && isPortal(given[0])) this.#portalClosed = true
      return call(...given)
    }
  }

  /** After the query is over, the connection's next "ready for query" is another query's. */
  #once(once: Handler, event: string, listener: () => void): void {
    if (this.#isOver && event === 'readyForQuery') setImmediate(listener)
    else once(event, listener)
  }
}

const sending = new Set<string | symbol>([
  ...['bind', 'close', 'describe', 'end', 'execute', 'flush', 'parse', 'query', 'sync'],
  ...['sendCopyFromChunk', 'endCopyFrom', 'sendCopyFail'],
])

function isPortal(message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'P'
}
