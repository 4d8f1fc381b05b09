// A guarded route (token, user, tenant, permission, context), warm, against the same route of a bare Fastify and
// against the usual way: @fastify/jwt with casbin. All three get the same headers.
import { fileURLToPath } from 'node:url'
import { withServer } from '../database.js'
import { figure } from '../figures.js'
import { race } from '../load.js'

export function run() {
  return withServer(async (url) => {
    const server = fileURLToPath(new URL('server.js', import.meta.url))
    const rates = await race(server, ['bare', 'tenants2fast', 'jwt-casbin'], { env: { TENANT_DATABASE_URL: url } })
    return [
      figure('http guarded route', 'requests/s', 'bare Fastify', rates['tenants2fast'], rates['bare'], '>= 0.85'),
      figure(
        'http guarded route',
        'requests/s',
        '@fastify/jwt + casbin',
        rates['tenants2fast'],
        rates['jwt-casbin'],
        '> 1',
      ),
    ]
  })
}
