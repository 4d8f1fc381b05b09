import { once } from 'node:events'
import { Agent, request as httpRequest, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import QueryStream from 'pg-query-stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { getTenantPool } from '../../src/core/context/current.js'
import { openInstallation, type TestInstallation } from './installation.js'

const rounds = Number(process.env['T2F_ABORT_ROUNDS'] ?? 120)
let installation: TestInstallation
let port: number
const app = Fastify()
const agent = new Agent({ keepAlive: true, maxSockets: 16 })
/** Backends that run a slow query, as seen by the handler that sent it. */
const running = new Map<number, string>()
/** Backends that were handed on while they ran one. */
const handedOn: string[] = []
let cancelled = 0

beforeAll(async () => {
  installation = await openInstallation({
    count: 4,
    schema: 'create table notes (tenant text not null)',
    seed: ({ slug }) => `insert into notes values ('${slug}')`,
    env: { TENANT_MAX_CONNECTIONS: '4', TENANT_MAX_TENANT_CONNECTIONS: '2' },
  })
  await app.register(tenancyPlugin, { tenancy: installation.tenancy })
  // A handler that releases its client as soon as the caller is gone, in mid-query.
  app.get('/slow', async (request, reply) => {
    const client = await getTenantPool().connect()
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const pid = rows[0]?.pid ?? 0
    const work = `${request.tenant.slug} ${request.id}`
    if (running.has(pid)) handedOn.push(`${pid}: ${work} while ${running.get(pid)}`)
    running.set(pid, work)
    const released = new Promise<void>((resolve) => {
      onceGone(reply.raw, () => {
        client.release()
        resolve()
      })
    })
    try {
      await client.query("select pg_sleep(20), set_config('app.left', 'behind', false)")
    } catch (error) {
      if ((error as { code?: string }).code === '57014') cancelled += 1
    } finally {
      running.delete(pid)
    }
    await released
  })
  // A handler that ignores the abort: its query continues, and its connection comes back afterwards.
  app.get('/careless', async (request) => {
    const pool = getTenantPool()
    const { rows } = await pool.query<{ tenant: string }>('select tenant, pg_sleep(0.01) from notes')
    return rows.map(({ tenant }) => tenant + request.tenant.slug)
  })
  app.get('/stream', (_request, reply) => {
    const rows = getTenantPool().query(new QueryStream('select n, pg_sleep(0.001) from generate_series(1, 100000) n'))
    onceGone(reply.raw, () => rows.destroy())
    rows.on('error', () => {})
    void reply.send(rows.map((row) => `${JSON.stringify(row)}\n`))
  })
  app.get('/probe', async (request) => {
    const client = await getTenantPool().connect()
    try {
      const { rows } = await client.query(
        `select tenant, pg_backend_pid() as pid, coalesce(current_setting('app.left', true), '') as left_behind from notes`,
      )
      const [row] = rows
      if (running.has(row.pid)) handedOn.push(`${row.pid}: probe while ${running.get(row.pid)}`)
      return { ...row, asked: request.tenant.slug }
    } finally {
      client.release()
    }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  port = (app.server.address() as AddressInfo).port
})
afterAll(async () => {
  agent.destroy()
  await app.close()
  await installation?.close()
})

function onceGone(response: ServerResponse, work: () => void) {
  if (response.destroyed) setImmediate(work)
  else response.once('close', work)
}

function open(path: string, token: string) {
  const outgoing = httpRequest({ port, path, agent, headers: { authorization: `Bearer ${token}` } })
  outgoing.on('error', () => {})
  outgoing.end()
  return outgoing
}

test(
  'The connection of a request that is aborted in mid-query is not handed on before the query has ended',
  { timeout: 3_600_000 },
  async () => {
    const probes: Record<string, unknown>[] = []
    await Promise.all(
      Array.from({ length: 8 }, async (_, worker) => {
        for (let round = worker; round < rounds; round += 8) {
          const who = installation.tenants[round % 4]!
          const { tenant } = who
          const token = await installation.tokenOf(who)
          const outgoing = open(['/slow', '/careless', '/stream'][round % 3]!, token)
          await sleep(Math.random() * 40)
          outgoing.destroy()
          const answer = open('/probe', token)
          const [response] = (await once(answer, 'response')) as [Readable & { statusCode: number }]
          const body = JSON.parse((await response.setEncoding('utf8').toArray()).join('')) as Record<string, unknown>
          // A refusal as busy is allowed; a foreign row or session state that was left behind is not.
          if (response.statusCode === 503) continue
          expect(response.statusCode, JSON.stringify(body)).toBe(200)
          expect(body).toMatchObject({ tenant: tenant.slug, asked: tenant.slug, left_behind: '' })
          probes.push(body)
        }
      }),
    )
    expect(handedOn).toEqual([])
    expect(probes.length).toBeGreaterThan(rounds / 2)
    expect(cancelled).toBeGreaterThan(0)
    await expect.poll(() => installation.tenancy.stats().inUse, { timeout: 10_000 }).toBe(0)
    expect(installation.tenancy.stats().open).toBeLessThanOrEqual(4)
  },
)
