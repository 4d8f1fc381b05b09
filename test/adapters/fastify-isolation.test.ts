import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { getCurrentTenant, getTenantPool } from '../../src/core/context/current.js'
import { tryGetContext } from '../../src/core/context/request-scope.js'
import { createRequestPath, type RequestPath } from '../http/fixture.js'
import { bearer, createApp } from './fastify-app.js'

const slugs = Array.from({ length: 8 }, (_, index) => `tenant-${index}`)
// Few sockets for many requests, so that a context left on a socket would be noticed.
const agent = new Agent({ keepAlive: true, maxSockets: 6 })
let path: RequestPath
let app: FastifyInstance
let port: number
let token: string
const users: string[] = []

const seen = (request: FastifyRequest) =>
  [getCurrentTenant().slug, request.tenant.slug, (getTenantPool() as unknown as { tenant: string }).tenant].join()

beforeAll(async () => {
  path = await createRequestPath({ maxStalenessMs: 2000 })
  const user = await path.addUser()
  for (const slug of slugs) {
    const tenant = await path.addTenant(slug)
    await path.addMember(user, tenant)
    const single = await path.addUser()
    await path.addMember(single, tenant)
    users.push(path.tokenFor(single))
  }
  token = path.tokenFor(user)
  app = await createApp(path)
  app.addHook('preParsing', async () => sleep(Math.random() * 2))
  app.get('/timers', async (request) => {
    const before = seen(request)
    await sleep(Math.random() * 5)
    await Promise.all([new Promise(setImmediate), new Promise<void>((resolve) => process.nextTick(resolve))])
    return `${before} ${seen(request)}`
  })
  app.post('/body', async (request) => {
    const before = seen(request)
    await sleep(Math.random() * 3)
    return `${before} ${seen(request)} ${(request.body as { text: string }).text.length}`
  })
  app.get('/stream', (request, reply) => {
    void reply.send(
      Readable.from(
        (async function* () {
          for (let chunk = 0; chunk < 4; chunk += 1) {
            await sleep(1)
            yield `${seen(request)} `
          }
        })(),
      ),
    )
  })
  app.get('/public', { config: { tenancy: 'none' } }, async () => {
    await sleep(1)
    return String(tryGetContext()?.tenant?.slug)
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  port = (app.server.address() as AddressInfo).port
})
afterAll(async () => {
  agent.destroy()
  await app.close()
  await path.close()
})

async function send(
  url: string,
  headers: Record<string, string>,
  body?: string,
  abort = false,
): Promise<string | undefined> {
  const outgoing = httpRequest({
    port,
    path: url,
    agent,
    method: body === undefined ? 'GET' : 'POST',
    headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
  })
  outgoing.on('error', () => {})
  if (body !== undefined) {
    // In pieces, so that the body arrives while other requests run.
    for (let start = 0; start < body.length; start += 20_000) {
      outgoing.write(body.slice(start, start + 20_000))
      await sleep(Math.random() * 2)
      if (abort) return void outgoing.destroy()
    }
  }
  outgoing.end()
  if (abort) {
    await sleep(Math.random() * 3)
    return void outgoing.destroy()
  }
  const [response] = (await once(outgoing, 'response')) as [Readable]
  return (await response.setEncoding('utf8').toArray()).join('')
}

test('Interleaved requests never see each other’s tenant: timers, bodies, streams, aborts, one token or many', async () => {
  const text = 'x'.repeat(60_000)
  await Promise.all(
    Array.from({ length: 400 }, async (_, index) => {
      const which = index % slugs.length
      const slug = slugs[which]!
      const headers = index % 3 === 0 ? bearer(users[which]!) : bearer(token, slug)
      const own = [slug, slug, slug].join()
      const kind = index % 7
      if (kind === 0) expect(await send('/public', headers)).toBe('undefined')
      else if (kind === 1) await send('/stream', headers, undefined, true)
      else if (kind === 2) await send('/body', headers, JSON.stringify({ text }), true)
      else if (kind === 3) expect(await send('/stream', headers)).toBe(`${own} `.repeat(4))
      else if (kind <= 5)
        expect(await send('/body', headers, JSON.stringify({ text }))).toBe(`${own} ${own} ${text.length}`)
      else expect(await send('/timers', headers)).toBe(`${own} ${own}`)
      // Changes in between make some requests warm and others cold.
      if (index % 40 === 0) path.cache.invalidate()
    }),
  )
  expect(tryGetContext()).toBeUndefined()
})

test('A public request on a keep-alive connection sees no tenant of the requests before it', async () => {
  const single = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = async (url: string, headers: Record<string, string>) => {
    const outgoing = httpRequest({ port, path: url, agent: single, headers })
    outgoing.end()
    const [response] = (await once(outgoing, 'response')) as [Readable]
    return (await response.setEncoding('utf8').toArray()).join('')
  }
  for (const slug of slugs) {
    expect(await ask('/timers', bearer(token, slug))).toContain(slug)
    expect(await ask('/public', {})).toBe('undefined')
  }
  single.destroy()
})
