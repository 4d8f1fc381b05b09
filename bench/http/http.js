// A guarded route (token, user, tenant, permission, context), warm, against the same route of a bare Fastify, against one with
// hooks that only bind a context, and against the usual way: @fastify/jwt with casbin. All get the same headers.
import { fileURLToPath } from 'node:url'
import { withServer } from '../database.js'
import { figure } from '../figures.js'
import { race } from '../load.js'

const goals = [
  ['bare', 'bare Fastify', '>= 0.85'],
  ['empty-hooks', 'Fastify with empty hooks', '>= 0.95'],
  ['jwt-casbin', '@fastify/jwt + casbin', '> 1'],
]

export function run() {
  return withServer(async (url) => {
    const server = fileURLToPath(new URL('server.js', import.meta.url))
    const { tenants2fast, ...others } = await race(server, ['tenants2fast', ...goals.map(([variant]) => variant)], {
      starts: 3,
      rounds: 6,
      seconds: 1,
      env: { TENANT_DATABASE_URL: url },
    })
    const units = { rate: 'requests/s', cpuRate: 'requests/s of processor time' }
    return Object.entries(units).flatMap(([key, unit]) => {
      const valuesOf = (rounds) => rounds.map((round) => round[key])
      return goals.map(([variant, against, goal]) =>
        figure('http guarded route', unit, against, valuesOf(tenants2fast), valuesOf(others[variant]), goal),
      )
    })
  })
}
