import type { EventEmitter } from 'node:events'
import { runInScope, tryGetScope } from './current.js'
import { TenancyError } from '../errors/errors.js'

type Listener = (...args: unknown[]) => unknown
/** What adds a listener, and whether it is removed when it is called. */
const adders = [
  ['on', 'on', false],
  ['addListener', 'on', false],
  ['prependListener', 'prependListener', false],
  ['once', 'on', true],
  ['prependOnceListener', 'prependListener', true],
] as const
const boundKey = Symbol('tenants2fast.bound')

/**
 * Binds a callback, or the listeners of an emitter, to the context of a request: its user, tenant and pool. For what runs
 * in the asynchronous context of a socket or a stream, where `getCurrentTenant()` finds nothing.
 *
 * A function: the same one, run in the context that is current now. An emitter: each listener that is added from now on
 * runs in the context that was current when it was added, so an emitter that requests share mixes nothing up; a listener
 * that is added outside of a request runs as ever. Listeners are removed by the function that was added.
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
      'bindContext() was called outside of a request: call it where the context is there, and hand on what it returns',
    )
  }
  return bound as unknown as Target
}

function boundTo(callback: Listener): Listener | undefined {
  const work = tryGetScope()
  if (work === undefined) return undefined
  return function (this: unknown, ...args) {
    return runInScope(work, () => Reflect.apply(callback, this, args))
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
      // By this property an emitter finds the listener that it is to remove.
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
