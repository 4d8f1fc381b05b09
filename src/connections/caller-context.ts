import { AsyncResource } from 'node:async_hooks'

/**
 * Binds what `pg` calls on a submittable (a cursor, a stream) to the asynchronous context of now, and with it the
 * callbacks and events that follow from there. Unbound, they run in the context of the socket.
 */
export function bindSubmittable(query: object): void {
  const caller = new AsyncResource('tenants2fast.query')
  const target = query as Record<string, unknown>
  for (const name of handlers) {
    const handler = target[name]
    if (typeof handler !== 'function') continue
    target[name] = (...given: unknown[]): unknown =>
      caller.runInAsyncScope(handler as (...given: unknown[]) => unknown, query, ...given)
  }
}

/** Binds a callback to the asynchronous context of now; anything else is returned as it is. */
export function bindCallback(callback: unknown): unknown {
  return typeof callback === 'function' ? AsyncResource.bind(callback as () => void) : callback
}

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
