import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import cors from '@fastify/cors'
import Fastify, { type FastifyInstance, type HTTPMethods } from 'fastify'
import {
  requirePermission,
  requireRole,
  requireSchema,
  tenancyErrorHandler,
  tenancyPlugin,
} from '../../../src/adapters/fastify/index.js'
import type { ApplicationSpec, FrameworkDriver, GuardSpec, LogLine, RouteSpec, ScopeSpec } from './driver.js'

const levels: Readonly<Record<number, LogLine['level']>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' }

/** Fastify with `tenants2fast/fastify`. */
export const fastifyDriver: FrameworkDriver = {
  name: 'Fastify',
  async serve(spec) {
    const app = Fastify(spec.log === undefined ? {} : { logger: { level: 'debug', stream: streamTo(spec.log) } })
    const { onError, corsOrigin, tenantParameter } = spec
    if (corsOrigin !== undefined) await app.register(cors, { origin: corsOrigin })
    await app.register(tenancyPlugin, {
      tenancy: spec.tenancy,
      accounts: spec.accounts,
      api: spec.api,
      ...(tenantParameter === undefined ? {} : { tenantParameter }),
    })
    if (onError !== undefined) {
      app.setErrorHandler((error, request, reply) => {
        const answer = onError(error)
        if (answer === undefined) return tenancyErrorHandler(error, request, reply)
        return reply.code(answer.status).send(answer.text)
      })
    }
    await mount(app, spec)
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { port: (app.server.address() as AddressInfo).port, close: () => app.close() }
  },
}

async function mount(app: FastifyInstance, { guards = [], routes = [], scopes = [] }: ScopeSpec): Promise<void> {
  for (const guard of guards) app.addHook('preHandler', guardOf(guard))
  for (const route of routes) addRoute(app, route)
  for (const scope of scopes) {
    const { prefix } = scope
    await app.register(async (child) => mount(child, scope), prefix === undefined ? {} : { prefix })
  }
}

function addRoute(app: FastifyInstance, { methods = ['GET'], url, needs, guards = [], handler }: RouteSpec): void {
  app.route({
    method: [...methods] as HTTPMethods[],
    url,
    config: needs === undefined ? {} : { tenancy: needs },
    preHandler: guards.map(guardOf),
    handler: async (request) => {
      const answer = await handler({
        user: orUndefined(() => request.user),
        tenant: orUndefined(() => request.tenant),
        param: (name) => (request.params as Readonly<Record<string, string>>)[name],
        json: async () => request.body,
      })
      return isIterable(answer) ? Readable.from(answer) : answer
    },
  })
}

function guardOf(guard: GuardSpec) {
  if ('role' in guard) return requireRole(guard.role)
  if ('schema' in guard) return requireSchema(guard.schema)
  const [name, method] = guard.permission
  if (name === undefined) return requirePermission()
  return method === undefined ? requirePermission(name) : requirePermission(name, method)
}

function orUndefined<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

function isIterable(value: unknown): value is AsyncIterable<string> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function streamTo(log: NonNullable<ApplicationSpec['log']>) {
  return {
    write(text: string) {
      const { level, requestId, tenantId, userId } = JSON.parse(text) as Record<string, never>
      log({ level: levels[level as unknown as number] ?? 'error', requestId, tenantId, userId, text } as never)
    },
  }
}
