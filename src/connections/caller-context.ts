import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'

/**
 * Runs what belongs to no request. A socket keeps the asynchronous context that it is opened in: opened in a request's,
 * it would show that request's user to everybody who uses the connection later by callbacks and events.
 */
export const outsideOfRequests: <Result>(callback: () => Result) => Result = AsyncLocalStorage.snapshot()

/** The callback, to be called in the context of whoever calls this. */
export function inCallerContext<Callback extends (...args: never[]) => unknown>(callback: Callback): Callback {
  return AsyncResource.bind(callback as unknown as (...args: unknown[]) => unknown) as unknown as Callback
}
