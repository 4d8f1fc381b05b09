import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'

/**
 * Runs code that belongs to no request. A socket keeps the asynchronous context in which it was opened. Opened in a
 * request's context, it would show that request's user in callbacks and events to all later users of the connection.
 */
export const outsideOfRequests: <Result>(callback: () => Result) => Result = AsyncLocalStorage.snapshot()

/** Binds a callback to the asynchronous context of the code that calls this. */
export function inCallerContext<Callback extends (...args: never[]) => unknown>(callback: Callback): Callback {
  return AsyncResource.bind(callback as unknown as (...args: unknown[]) => unknown) as unknown as Callback
}
