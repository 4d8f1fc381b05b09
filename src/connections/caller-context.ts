import { AsyncResource } from 'node:async_hooks'

/** Binds a callback to the asynchronous context of now; anything else is returned as it is. */
export function bindCallback(callback: unknown): unknown {
  return typeof callback === 'function' ? AsyncResource.bind(callback as () => void) : callback
}
