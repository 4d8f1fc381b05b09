import type { EventEmitter } from 'node:events'
import { runInScope, tryGetScope } from './request-scope.js'
import { TenancyError } from '../errors/errors.js'

type Listener = (...args: unknown[]) => unknown
/** The methods that add a listener, the one that each builds on, and whether it removes the listener once it was called. */
const adders = [
  ['on', 'on', false],
  ['addListener', 'on', false],
  ['prependListener', 'prependListener', false],
  ['once', 'on', true],
  ['prependOnceListener', 'prependListener', true],
] as const
const boundKey = Symbol('tenants2fast.bound')

/**
 * Binds a callback, or the listeners of an emitter, to the context of a request: its user, tenant and pool. For code that
 * runs in the asynchronous context of a socket or a stream, where `getCurrentTenant()` finds nothing.
 *
 * A function is returned bound to the context that is current now. An emitter runs each listener that is added from now on
 * in the context that was current when it was added, so requests may share an emitter; a listener that is added outside of
 * a request stays unbound. A listener is removed by the function that was added.
 *
 * @returns the bound function; the same emitter
 * @throws {@link TenancyError} TENANCY_CONTEXT_MISSING: a function, and no context is current
 * @example
 * request.raw.socket.once('close', bindContext(() => log(getCurrentTenant().slug)))
 * bindContext(part.file).on('data', (chunk) => count(getTenantPool(), chunk))
 */
export function bindContext<Target extends ((...args: never[]) => unknown) | EventEmitter>(target: Target): Target {
  if (typeof target !== 'function') {
    bindListeners(target)
    return target
  }
  const bound = boundTo(target as unknown as Listener)
  if (bound === undefined) {
    throw new TenancyError(
      'TENANCY_CONTEXT_MISSING',
      'bindContext() was called outside of a request: call it inside of one, and pass on the function that it returns',
    )
  }
  return bound as unknown as Target
}

function boundTo(callback: Listener): Listener | undefined {
  const scope = tryGetScope()
  if (scope === undefined) return undefined
  return function (this: unknown, ...args) {
    return runInScope(scope, () => Reflect.apply(callback, this, args))
  }
}

function bindListeners(emitter: EventEmitter & { [boundKey]?: true }): void {
  if (emitter[boundKey] === true) return
  const changes: Record<string | symbol, unknown> = { [boundKey]: true }
  for (const [name, base, isOnce] of adders) {
    const add = emitter[base].bind(emitter) as (event: string | symbol, listener: Listener) => EventEmitter
    const addUnbound = emitter[name].bind(emitter) as typeof add
    changes[name] = (event: string | symbol, listener: Listener) => {
      const bound = boundTo(listener)
      if (bound === undefined) return addUnbound(event, listener)
      const added = isOnce ? once(emitter, event, bound) : bound
      // An emitter finds the listener that it is to remove by this property.
      return add(event, Object.assign(added, { listener }))
    }
  }
  for (const key of Reflect.ownKeys(changes)) {
    Object.defineProperty(emitter, key, { value: changes[key], configurable: true, writable: true })
  }
}

function once(emitter: EventEmitter, event: string | symbol, listener: Listener): Listener {
  let isCalled = false
  return function call(this: unknown, ...args) {
    if (isCalled) return undefined
    isCalled = true
    emitter.removeListener(event, call)
    return Reflect.apply(listener, this, args)
  }
}
