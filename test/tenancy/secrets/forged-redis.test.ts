import type { FastifyInstance } from 'fastify'
import { afterEach, expect, test, vi } from 'vitest'
import type { Tenancy } from '../../../src/index.js'
import { renderMetrics } from '../../../src/index.js'
import { createInstallation, type Installation, notesSchema } from '../../support/installation.js'
import { openRedisIntruder, type RedisIntruder } from '../../support/redis/redis-intruder.js'
import { describeWithRedis } from '../../support/redis/redis.js'
import { withAdmin } from '../../support/server.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

describeWithRedis('an installation whose Redis somebody else writes to', (url) => {
  let installation: Installation
  let intruder: RedisIntruder
  const apps: FastifyInstance[] = []
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close()
    intruder.close()
    await installation.drop()
  })

  /** Stands for another process: its local cache is empty. */
  async function openProcess(): Promise<{
    tenancy: Tenancy
    get: (url: string, token: string, tenant?: string) => Promise<string>
  }> {
    const tenancy = await installation.open()
    const app = await createNotesApp(tenancy)
    apps.push(app)
    // A process without a connection to Redis would not read from it.
    await expect.poll(async () => (await tenancy.health()).checks.redis?.status).toBe('ok')
    return {
      tenancy,
      async get(path, token, tenant) {
        const response = await app.inject({ url: path, headers: bearer(token, tenant) })
        return `${outcome(response)} ${response.statusCode === 200 ? response.body : ''}`
      },
    }
  }

  test(
    'a process answers every request as before, whatever is forged, swapped or replayed in Redis, and counts it',
    { timeout: 120_000 },
    async () => {
      installation = createInstallation({ TENANT_REDIS_URL: url, TENANT_SCHEMA_DIR: notesSchema })
      intruder = await openRedisIntruder(url)
      const { tenancy, get } = await openProcess()
      const dana = await tenancy.createUser({ email: 'dana@example.com', emailVerified: true })
      const max = await tenancy.createUser({ email: 'max@example.com', emailVerified: true })
      const acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: dana.id })
      const globex = await tenancy.createTenant({ name: 'Globex', slug: 'globex', owner: dana.id })
      await tenancy.addMember({ tenant: acme.id, user: max.id })
      for (const tenant of [acme, globex]) {
        await tenancy
          .getTenantPool(tenant)
          .query('insert into notes (author, body) values ($1, $2)', ['x', `of ${tenant.slug}`])
      }
      const danaToken = (await tenancy.issueAccessToken({ user: dana.id })).token
      const maxToken = (await tenancy.issueAccessToken({ user: max.id })).token
      const { rows } = await withAdmin(
        (admin) => admin.query<{ id: string }>('select id from installation'),
        installation.catalogName,
      )
      const prefix = `tenants2fast:2:member:${rows[0]!.id}:`

      /** Returns the responses to Max and Dana from a process that has only the catalog and Redis. */
      async function answers({ get: ask }: Pick<Awaited<ReturnType<typeof openProcess>>, 'get'>): Promise<string[]> {
        const asked: string[] = []
        for (const tenant of ['acme', acme.id, undefined]) {
          for (const path of ['/reports', '/owners', '/notes', '/session', '/me/tenant']) {
            asked.push(`max ${path} ${tenant} ${await ask(path, maxToken, tenant)}`)
          }
        }
        asked.push(await ask('/notes', maxToken, 'globex'), await ask('/notes', danaToken, 'globex'))
        asked.push(await ask('/reports', danaToken, 'acme'))
        return asked
      }

      const expected = await answers({ get })
      expect(expected.filter((line) => line.includes('/owners'))).toEqual(
        ['acme', acme.id, undefined].map((tenant) => `max /owners ${tenant} 403 TENANCY_ACCESS_DENIED `),
      )
      await vi.waitFor(async () => expect(await intruder.keys(prefix)).toHaveLength(3))
      const genuine = new Map<string, Buffer>()
      for (const key of await intruder.keys(prefix)) genuine.set(key, await intruder.read(key))
      const keyOf = (user: string, tenant: string) => {
        const key = [...genuine.keys()].find((item) => item.startsWith(`${prefix}${user}:${tenant}:`))
        if (key === undefined) throw new Error('There is an entry of each member that asked')
        return key
      }
      const maxKey = keyOf(max.id, acme.id)
      const text = genuine.get(maxKey)!.subarray(43).toString()
      const code = genuine.get(maxKey)!.subarray(0, 43).toString()
      const asOwner = text
        .replace('"Member"', '"Owner"')
        .replace(/"permissionIds":\[[^\]]*\]/, '"permissionIds":[1,2,3,4,5,6,7,8,9]')
      const asGlobex = text.replaceAll(String(acme.databaseId), String(globex.databaseId))
      expect(asOwner).not.toBe(text)
      expect(asGlobex).not.toBe(text)
      const ownersEntry = genuine.get(keyOf(dana.id, acme.id))!
      const forgeries: [string, string | Buffer][] = [
        ['an Owner, unsealed', asOwner],
        ['an Owner under the code of before', code + asOwner],
        ['another tenant’s database, unsealed', asGlobex],
        ['another tenant’s database under the code of before', code + asGlobex],
        ['the Owner’s own entry', ownersEntry],
        ['the Owner’s own entry of the other tenant', genuine.get(keyOf(dana.id, globex.id))!],
        [
          'an Owner as the release before wrote it',
          JSON.stringify({ address: {}, record: (JSON.parse(asOwner) as { record: object }).record }),
        ],
      ]
      let refused = 0
      for (const [name, value] of forgeries) {
        await intruder.write(maxKey, value)
        const process = await openProcess()
        expect([name, await answers(process)]).toEqual([name, expected])
        // Repeated where a pending change message kept the process from writing its own value over the forged one.
        const count = process.tenancy.stats().sharedCache?.refused ?? 0
        expect([name, count > 0]).toEqual([name, true])
        expect(renderMetrics(process.tenancy)).toContain(
          `tenants2fast_shared_cache_reads_total{result="refused"} ${count}\n`,
        )
        refused += 1
        await process.tenancy.close()
      }
      const told = installation.log.filter(({ message }) => message.includes('not written by this installation'))
      expect(told).toHaveLength(refused)

      // A genuine entry from before: Max is an Owner for a moment only.
      await tenancy.access.assignRole({ tenant: acme.id, user: max.id, role: 'Owner' })
      await vi.waitFor(async () => expect(await get('/owners', maxToken, 'acme')).toBe('200 {"ok":true}'))
      await vi.waitFor(async () => expect((await intruder.keys(`${prefix}${max.id}`)).length).toBeGreaterThan(1))
      const asOwnerKeys = (await intruder.keys(`${prefix}${max.id}`)).filter((key) => key !== maxKey)
      const ownerValues = await Promise.all(asOwnerKeys.map((key) => intruder.read(key)))
      for (const key of asOwnerKeys) await intruder.send('PERSIST', key)
      await tenancy.access.unassignRole({ tenant: acme.id, user: max.id, role: 'Owner' })
      const replayed = await openProcess()
      // The first process that reads writes the key of the current epochs; then the old value is put there.
      expect(await answers(replayed)).toEqual(expected)
      await vi.waitFor(async () => {
        const now = (await intruder.keys(`${prefix}${max.id}`)).filter(
          (key) => key !== maxKey && !asOwnerKeys.includes(key),
        )
        expect(now.length).toBeGreaterThan(0)
      })
      for (const key of await intruder.keys(`${prefix}${max.id}`)) {
        if (!asOwnerKeys.includes(key)) for (const value of ownerValues) await intruder.write(key, value)
      }
      const last = await openProcess()
      expect(await answers(last)).toEqual(expected)
      expect(last.tenancy.stats().sharedCache?.refused).toBeGreaterThan(0)
      for (const key of await intruder.keys(prefix)) await intruder.send('DEL', key)
    },
  )
})
