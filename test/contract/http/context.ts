import { EventEmitter } from 'node:events'
import { request as httpRequest } from 'node:http'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bindContext } from '../../../src/core/context/bind-context.js'
import {
  getCurrentActor,
  getCurrentMember,
  getCurrentTenant,
  getCurrentUser,
  getTenantPool,
  tryGetCurrentTenant,
} from '../../../src/core/context/current.js'
import { tryGetContext, tryGetScope } from '../../../src/core/context/request-scope.js'
import type { FrameworkDriver, RouteSpec, ServedApplication } from './driver.js'
import { send } from './send.js'
import { createWorld, type World } from './world.js'

/** Where the request's context is kept. */
export function describeContext(driver: FrameworkDriver): void {
  describe(`${driver.name}: the context of a request`, () => {
    let world: World
    let app: ServedApplication
    const current = () => tryGetCurrentTenant()?.slug ?? 'nobody'
    const shared = bindContext(new EventEmitter())
    const gone: string[] = []

    const kept: readonly (RouteSpec & { readonly where: string })[] = [
      {
        where: 'after several awaits',
        url: '/awaits',
        async handler() {
          const before = current()
          await sleep(2)
          await setImmediate()
          await Promise.resolve()
          return [before, current()]
        },
      },
      {
        where: 'in timers and callbacks of the next tick',
        url: '/timers',
        handler: async () => [
          await new Promise((resolve) => setTimeout(() => resolve(current()), 1)),
          await new Promise((resolve) => process.nextTick(() => resolve(current()))),
          await new Promise((resolve) => globalThis.setImmediate(() => resolve(current()))),
          await new Promise((resolve) => queueMicrotask(() => resolve(current()))),
        ],
      },
      {
        where: 'in an emitter that the request makes',
        url: '/emitter',
        async handler() {
          const emitter = new EventEmitter()
          const heard = new Promise((resolve) => emitter.once('done', () => resolve(current())))
          setTimeout(() => emitter.emit('done'), 1)
          return [await heard]
        },
      },
      {
        where: 'in work that runs at once',
        url: '/parallel',
        handler: () =>
          Promise.all(
            Array.from({ length: 5 }, async (_, index) => {
              await sleep(index)
              return current()
            }),
          ),
      },
    ]

    beforeAll(async () => {
      world = await createWorld()
      app = await driver.serve({
        tenancy: world.tenancy,
        onError: (error) =>
          error instanceof Error && error.message === 'mine'
            ? { status: 409, text: `${current()} ${tryGetScope()?.requestId !== undefined}` }
            : undefined,
        routes: [
          ...kept,
          {
            url: '/me',
            handler: ({ user, tenant }) => ({
              user: [user?.email, getCurrentUser().email],
              tenant: [tenant?.slug, getCurrentTenant().slug],
              pool: getTenantPool(),
              actor: getCurrentActor().kind,
              isOwner: getCurrentMember().membership.userId === user?.id,
            }),
          },
          {
            url: '/stream',
            async *handler() {
              for (let chunk = 0; chunk < 4; chunk += 1) {
                await sleep(2)
                yield `${current()} `
              }
            },
          },
          {
            url: '/body',
            methods: ['POST'],
            async handler({ json }) {
              const before = current()
              const { text } = (await json()) as { readonly text: string }
              await sleep(1)
              return [before, current(), text.length]
            },
          },
          {
            url: '/fails',
            async handler() {
              await sleep(1)
              throw new Error('mine')
            },
          },
          { url: '/public', needs: 'none', handler: () => [current(), tryGetContext()?.user === undefined] },
          {
            url: '/shared',
            async handler() {
              const heard = new Promise((resolve) => shared.once('tick', () => resolve(current())))
              await sleep(5)
              shared.emit('tick')
              return heard
            },
          },
          {
            url: '/origin',
            needs: 'user',
            handler: () => ({ ...tryGetScope()?.origin, hasId: tryGetScope()?.requestId !== undefined }),
          },
          {
            url: '/waits',
            async handler() {
              const scope = tryGetScope()
              const aborted = new Promise<void>((resolve) => scope?.onAborted(resolve))
              gone.push(`aborted: ${scope?.isAborted}`)
              await aborted
              gone.push(`aborted: ${scope?.isAborted}, of ${current()}`)
              return 'nobody reads this'
            },
          },
          { url: '/throws-user', needs: 'none', handler: () => getCurrentUser() },
          { url: '/throws-tenant', needs: 'user', handler: () => getCurrentTenant() },
        ],
      })
    })
    afterAll(async () => {
      await app.close()
      await world.close()
    })
    const as = (slug: string) => ({ token: world.both, headers: { 'x-tenant-id': slug } })

    test('A handler has user, tenant and pool, by the framework’s own way and by the getters', async () => {
      expect((await send(app, 'GET /me', { token: world.owner })).json).toEqual({
        user: ['owner@example.com', 'owner@example.com'],
        tenant: ['acme', 'acme'],
        pool: { tenant: 'acme' },
        actor: 'user',
        isOwner: true,
      })
    })

    test.each(kept.map(({ where, url }) => [where, url]))('The context is kept %s', async (_where, url) => {
      for (const slug of ['acme', 'globex']) {
        const seen = (await send(app, `GET ${url}`, as(slug))).json as string[]
        expect(seen.length).toBeGreaterThan(0)
        expect(new Set(seen)).toEqual(new Set([slug]))
      }
    })

    test('The context is kept in a stream, to its last chunk', async () => {
      expect((await send(app, 'GET /stream', as('globex'))).text).toBe('globex '.repeat(4))
    })

    test('The context is kept after a long body was read', async () => {
      const body = { text: 'x'.repeat(200_000) }
      const answer = await send(app, 'POST /body', { ...as('globex'), body })
      expect(answer.json).toEqual(['globex', 'globex', 200_000])
    })

    test('The context is kept in the application’s error handler', async () => {
      const answer = await send(app, 'GET /fails', as('globex'))
      expect([answer.status, answer.text]).toEqual([409, 'globex true'])
    })

    test('Listeners that requests add to one emitter run in the context of their own', async () => {
      const answers = await Promise.all(
        ['acme', 'globex', 'acme', 'globex'].map((slug) => send(app, 'GET /shared', as(slug))),
      )
      expect(answers.map(({ text }) => text)).toEqual(['acme', 'globex', 'acme', 'globex'])
    })

    test('Interleaved requests never see each other’s tenant', async () => {
      const urls = ['/awaits', '/timers', '/parallel']
      await Promise.all(
        Array.from({ length: 90 }, async (_, index) => {
          const slug = index % 2 === 0 ? 'acme' : 'globex'
          if (index % 20 === 0) world.path.cache.invalidate()
          if (index % 5 === 0) {
            expect((await send(app, 'GET /public', as(slug))).json).toEqual(['nobody', true])
          } else if (index % 5 === 1) {
            expect((await send(app, 'GET /stream', as(slug))).text).toBe(`${slug} `.repeat(4))
          } else {
            const { json } = await send(app, `GET ${urls[index % 3]}`, as(slug))
            expect(new Set(json as string[])).toEqual(new Set([slug]))
          }
        }),
      )
      expect(tryGetContext()).toBeUndefined()
    })

    test('A public request has a context with nobody in it', async () => {
      expect((await send(app, 'GET /public', { token: world.owner })).json).toEqual(['nobody', true])
    })

    test('The audit log learns the request’s id, caller and address', async () => {
      const { json } = await send(app, 'GET /origin', {
        token: world.owner,
        headers: { 'x-forwarded-for': '192.0.2.1' },
      })
      expect(json).toEqual({
        requestId: expect.any(String) as string,
        caller: world.ids.owner,
        // No proxy is trusted: what the header says does not count.
        address: '127.0.0.1',
        hasId: true,
      })
    })

    test('A request whose client goes is aborted, and what waits for that has its context', async () => {
      const headers = { authorization: `Bearer ${world.both}`, 'x-tenant-id': 'globex' }
      const outgoing = httpRequest({ port: app.port, path: '/waits', headers, agent: false })
      outgoing.on('error', () => {})
      outgoing.end()
      await expect.poll(() => gone).toEqual(['aborted: false'])
      outgoing.destroy()
      await expect.poll(() => gone).toEqual(['aborted: false', 'aborted: true, of globex'])
    })

    test('The getters throw coded errors where there is nothing', async () => {
      const [user, tenant] = [
        await send(app, 'GET /throws-user', { token: world.owner }),
        await send(app, 'GET /throws-tenant', { token: world.owner }),
      ]
      expect([user.status, user.code, tenant.status, tenant.code]).toEqual([
        ...[401, 'TENANCY_AUTH_REQUIRED', 403, 'TENANCY_TENANT_NONE'],
      ])
    })
  })
}
