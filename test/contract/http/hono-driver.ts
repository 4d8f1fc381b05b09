import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono, type MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { stream } from 'hono/streaming'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import {
  assertGuarded,
  needs as needsOf,
  requirePermission,
  requireRole,
  requireSchema,
  tenancyErrorHandler,
  tenancyMiddleware,
  type TenancyEnv,
} from '../../../src/adapters/hono/index.js'
import type { ApplicationSpec, FrameworkDriver, GuardSpec, LogLine, RouteSpec, ScopeSpec } from './driver.js'

/** Hono on `@hono/node-server` with `tenants2fast/hono`. */
export const honoDriver: FrameworkDriver = {
  name: 'Hono',
  async serve(spec) {
    const app = new Hono<TenancyEnv>()
    const { onError, corsOrigin, tenancy, accounts, api, tenantParameter } = spec
    if (corsOrigin !== undefined) app.use(cors({ origin: corsOrigin }))
    app.use(tenancyMiddleware({ tenancy, accounts, api, tenantParameter, logger: loggerTo(spec.log) }))
    app.onError((error, c) => {
      const answer = onError?.(error)
      return answer === undefined
        ? tenancyErrorHandler(error, c)
        : c.text(answer.text, answer.status as ContentfulStatusCode)
    })
    mount(app, spec)
    assertGuarded(app)
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    if (!server.listening) await new Promise((resolve) => void server.once('listening', resolve))
    return {
      port: (server.address() as AddressInfo).port,
      close: () =>
        new Promise<void>((resolve, reject) => {
          server.close((error) => (error === undefined ? resolve() : reject(error)))
          if ('closeAllConnections' in server) server.closeAllConnections()
        }),
    }
  },
}

function mount(app: Hono<TenancyEnv>, { guards = [], routes = [], scopes = [] }: ScopeSpec): void {
  for (const guard of guards) app.use(guardOf(guard))
  for (const route of routes) addRoute(app, route)
  for (const scope of scopes) {
    const child = new Hono<TenancyEnv>()
    mount(child, scope)
    app.route(scope.prefix ?? '/', child)
  }
}

function addRoute(app: Hono<TenancyEnv>, { methods = ['GET'], url, needs, guards = [], handler }: RouteSpec): void {
  const before: MiddlewareHandler[] = [...(needs === undefined ? [] : [needsOf(needs)]), ...guards.map(guardOf)]
  app.on([...methods], [url], ...before, async (c) => {
    const answer = await handler({
      user: c.get('user'),
      tenant: c.get('tenant'),
      param: (name) => c.req.param(name),
      json: () => c.req.json(),
    })
    if (isIterable(answer)) {
      return stream(c, async (out) => {
        for await (const chunk of answer) await out.write(chunk)
      })
    }
    return typeof answer === 'string' ? c.text(answer) : c.json(answer as object)
  })
}

function guardOf(guard: GuardSpec): MiddlewareHandler {
  if ('role' in guard) return requireRole(guard.role)
  if ('schema' in guard) return requireSchema(guard.schema)
  const [name, method] = guard.permission
  if (name === undefined) return requirePermission()
  return method === undefined ? requirePermission(name) : requirePermission(name, method)
}

function isIterable(value: unknown): value is AsyncIterable<string> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function loggerTo(log: ApplicationSpec['log']) {
  const write = (level: LogLine['level']) => (fields: object, message: string) => {
    const err = (fields as { readonly err?: unknown }).err
    const text = JSON.stringify({ ...fields, err: err instanceof Error ? err.stack : err, message })
    log?.({ level, ...(fields as Partial<LogLine>), text })
  }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
