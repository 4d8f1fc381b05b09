import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { tenancyPlugin, type TenancyPluginOptions } from '../../src/adapters/fastify/index.js'
import { TenancyError } from '../../src/core/errors/errors.js'
import { createClientAddress } from '../../src/http/client-address.js'
import type { HttpTenancy } from '../../src/http/http-tenancy.js'
import type { RequestPath } from '../http/fixture.js'

/** The migrations of these applications; no tenant has any. */
const versions: Readonly<Record<string, number>> = { '0001_first.sql': 1 }
const refuse = (): never => {
  throw new TenancyError('TENANCY_DATABASE_SCHEMA_BEHIND')
}

export function tenancyOver(path: RequestPath): HttpTenancy {
  return {
    pipeline: path.pipeline,
    rules: path.rules,
    schema: { versionOf: (migration) => versions[migration], require: refuse },
    urlPrefix: 'tenants',
    authPrefix: '/auth',
    clientAddress: createClientAddress([]),
    jwks: () => ({ keys: [] }),
  }
}

export async function createApp(
  path: RequestPath,
  options: Partial<TenancyPluginOptions> = {},
  fastify: FastifyServerOptions = {},
): Promise<FastifyInstance> {
  const app = Fastify(fastify) as unknown as FastifyInstance
  await app.register(tenancyPlugin, { tenancy: tenancyOver(path), ...options })
  return app
}

export const bearer = (token: string, tenant?: string) => ({
  authorization: `Bearer ${token}`,
  ...(tenant === undefined ? {} : { 'x-tenant-id': tenant }),
})
