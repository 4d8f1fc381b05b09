import type { FastifyInstance, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import { runInScope } from '../../core/context/request-scope.js'
import { scopeKey } from './request-state.js'

interface Hookable {
  addHook: (this: FastifyInstance, name: string, hook: unknown) => FastifyInstance
}

/**
 * Makes hooks at `onRequestAbort` run in the context of their request, which the socket's event that causes them does not have.
 * A hook of ours goes before each of the application's. One for all routes would cost every request a listener, and most
 * applications have no such hook.
 */
export function bindAbortHooks(app: FastifyInstance): void {
  const { addHook } = app as unknown as Hookable
  const changes: Hookable = {
    addHook(name, hook) {
      if (name === 'onRequestAbort') addHook.call(this, name, enterScope)
      return addHook.call(this, name, hook)
    },
  }
  Object.assign(app, changes)
}

/** Does the same for the hooks that a route has of its own. */
export function bindAbortHooksOf(route: RouteOptions): void {
  const { onRequestAbort: hooks } = route
  if (hooks === undefined) return
  // Fastify checks the hooks of an array more strictly than one alone, which therefore stays alone.
  route.onRequestAbort = Array.isArray(hooks) ? [enterScope, ...hooks] : inScope(hooks)
}

function enterScope(request: FastifyRequest, done: HookHandlerDoneFunction): void {
  const scope = request[scopeKey]
  if (scope === null) done()
  else runInScope(scope, done)
}

type AbortHook = (
  this: FastifyInstance,
  request: FastifyRequest,
  done: HookHandlerDoneFunction,
) => void | Promise<unknown>

function inScope(hook: AbortHook): AbortHook {
  return function abortHook(request, done) {
    const scope = request[scopeKey]
    const run = () => hook.call(this, request, done)
    return scope === null ? run() : runInScope(scope, run)
  }
}
