import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import type { ListenClient } from '../../src/cache/changes/follow-notifications.js'
import { findTenancyError } from '../../src/core/errors/errors.js'
import { asking, createRequestPath, listenTo, type RequestPath, type RequestPathOptions } from '../http/fixture.js'

let path: RequestPath

afterEach(() => path.close())

async function setUp(options: RequestPathOptions = {}) {
  path = await createRequestPath(options)
  const user = await path.addUser()
  const tenant = await path.addTenant('acme')
  await path.addMember(user, tenant)
  if (options.maxStalenessMs !== 0) await path.heard()
  const facts = asking(path.tokenFor(user), { tenantHeader: 'acme' })
  return { user, tenant, facts, ask: () => outcome(() => path.pipeline.handle(facts)) }
}

async function outcome(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'ok'
  } catch (error) {
    const { code } = findTenancyError(error) ?? {}
    if (code !== undefined) return code
    throw error
  }
}

async function queriesOf(work: () => Promise<unknown>): Promise<number> {
  const before = path.queries()
  await work()
  return path.queries() - before
}

test('requests that arrive together share one read of the user and one of the member', async () => {
  const { ask } = await setUp()
  expect(await queriesOf(() => Promise.all(Array.from({ length: 50 }, ask)))).toBe(2)
})

test('one query of the epochs confirms invalidated user and member, and a changed one is read again', async () => {
  const { ask, user } = await setUp()
  await ask()
  path.cache.invalidate(user)
  expect(await queriesOf(() => Promise.all(Array.from({ length: 50 }, ask)))).toBe(1)
  expect(await queriesOf(ask)).toBe(0)
  await path.catalog.pool.query("update users set name = 'New' where id = $1", [user])
  await path.heard()
  expect(await queriesOf(ask)).toBeGreaterThan(1)
  expect(await queriesOf(ask)).toBe(0)
})

test('a change of one user or tenant invalidates nobody else', async () => {
  const { ask } = await setUp()
  const [other, elsewhere] = [await path.addUser(), await path.addTenant('globex')]
  await ask()
  await path.catalog.pool.query('update users set token_epoch = 9 where id = $1', [other])
  await path.catalog.pool.query("update tenants set status = 'suspended' where id = $1", [elsewhere])
  await path.heard()
  expect(await queriesOf(ask)).toBe(0)
})

test('a user whose membership ended is refused without a query, and admitted at once when it is restored', async () => {
  const { ask, user, tenant } = await setUp()
  const byName = 'user_id = $1 and tenant_id = $2'
  for (const [end, begin] of [
    [`delete from user_tenants where ${byName}`, 'insert into user_tenants (user_id, tenant_id) values ($1, $2)'],
    [
      `update user_tenants set is_active = false where ${byName}`,
      `update user_tenants set is_active = true where ${byName}`,
    ],
  ] as const) {
    expect(await ask()).toBe('ok')
    await path.catalog.pool.query(end, [user, tenant])
    await path.heard()
    const refused = async () => expect(await ask()).toBe('TENANCY_TENANT_FORBIDDEN')
    expect(await queriesOf(() => Promise.all([refused(), refused()]))).toBe(0)
    await path.catalog.pool.query(begin, [user, tenant])
    await path.heard()
    expect(await ask()).toBe('ok')
  }
})

test('a change in one of a user’s tenants costs a query there and none in the others', async () => {
  const { ask, user, tenant, facts } = await setUp()
  const elsewhere = await path.addTenant('globex')
  await path.addMember(user, elsewhere)
  await path.heard()
  const other = { ...facts, tenantHeader: 'globex' }
  const askOther = () => outcome(() => path.pipeline.handle(other))
  await ask()
  await askOther()
  await path.catalog.pool.query(
    "update user_tenant_roles set role_id = (select id from roles where name = 'Admin') where tenant_id = $1",
    [tenant],
  )
  await path.heard()
  expect(await queriesOf(askOther)).toBe(0)
  expect(await queriesOf(ask)).toBe(1)
  await path.catalog.pool.query('delete from user_tenants where user_id = $1 and tenant_id = $2', [user, tenant])
  await path.heard()
  path.before = () => Promise.reject(new Error('down'))
  expect([await askOther(), await ask()]).toEqual(['ok', 'TENANCY_TENANT_FORBIDDEN'])
})

test('a user whose default membership ended gets the remaining one', async () => {
  const { user, tenant } = await setUp()
  const elsewhere = await path.addTenant('globex')
  await path.addMember(user, elsewhere)
  await path.catalog.pool.query('update user_tenants set is_default = true where tenant_id = $1', [tenant])
  await path.heard()
  const facts = asking(path.tokenFor(user))
  const tenantOf = async () => (await path.pipeline.handle(facts)).tenant?.slug
  expect(await tenantOf()).toBe('acme')
  await path.catalog.pool.query('delete from user_tenants where user_id = $1 and tenant_id = $2', [user, tenant])
  await path.heard()
  expect(await tenantOf()).toBe('globex')
})

test('a message about an ended membership that comes late, early or twice refuses no current member', async () => {
  const { ask, user, tenant } = await setUp()
  await ask()
  const { rows } = await path.catalog.pool.query<{ epoch: number }>(
    'select access_epoch::float8 as epoch from users where id = $1',
    [user],
  )
  const { epoch } = rows[0]!
  // None of these is the one after the last; that one could only come from the catalog.
  for (const claimed of [epoch - 1, epoch, epoch + 2, epoch + 1]) {
    await path.catalog.pool.query("select pg_notify('tenants2fast_epochs', $1)", [
      `u:${user}:${claimed}:${tenant}:ended`,
    ])
    await path.heard()
    if (claimed === epoch + 2) continue
    expect([claimed, await ask()]).toEqual([claimed, 'ok'])
  }
})

test('ended memberships are refused from memory only while the cache is confirmed to be current', async () => {
  const { ask, user, tenant } = await setUp({ maxStalenessMs: 300, listen: failingAfter(1) })
  await ask()
  await path.catalog.pool.query('delete from user_tenants where user_id = $1', [user])
  await path.heard()
  expect(await queriesOf(ask)).toBe(0)
  await killListener()
  await path.catalog.pool.query('insert into user_tenants (user_id, tenant_id) values ($1, $2)', [user, tenant])
  await expect.poll(ask, { timeout: 10_000 }).toBe('ok')
})

test('a token issued after its user was cached is accepted', async () => {
  let isDeaf = false
  const listen = async (url: string): Promise<ListenClient> => {
    const client = await listenTo(url)
    return {
      query: (text, values) => client.query(text, values),
      on: (event: string, listener: (argument: never) => void) =>
        client.on(event as 'notification', (message: { payload?: string | undefined } | undefined) => {
          if (!isDeaf || !message?.payload?.startsWith('u:')) listener(message as never)
        }),
      end: () => client.end(),
    }
  }
  const { ask, user } = await setUp({ listen })
  await ask()
  isDeaf = true
  await path.catalog.pool.query('update users set token_epoch = 2 where id = $1', [user])
  const fresh = asking(path.tokenFor(user, { epoch: 2 }), { tenantHeader: 'acme' })
  expect(await outcome(() => path.pipeline.handle(fresh))).toBe('ok')
  expect(await ask()).toBe('TENANCY_AUTH_TOKEN_INVALID')
})

test('the result of a read is not cached when a change arrives while it runs', async () => {
  const { ask, user } = await setUp()
  let isFirst = true
  path.before = async (text) => {
    if (!text.includes('user_tenants') || !isFirst) return
    isFirst = false
    await path.catalog.pool.query('update user_tenants set is_default = true where user_id = $1', [user])
    await path.heard()
  }
  expect(await ask()).toBe('ok')
  expect(await queriesOf(ask)).toBeGreaterThan(0)
})

test('a request that arrives after a revocation was reported does not join a read that began before it', async () => {
  const { ask, user } = await setUp()
  let letGo = () => {}
  let isFirst = true
  path.before = (text) => {
    if (!text.includes('membership') || !isFirst) return
    isFirst = false
    return new Promise((resolve) => {
      letGo = resolve
    })
  }
  const early = ask()
  await expect.poll(() => isFirst).toBe(false)
  await path.catalog.pool.query('delete from user_tenants where user_id = $1', [user])
  await path.heard()
  const late = ask()
  letGo()
  expect([await early, await late]).toEqual(['TENANCY_TENANT_FORBIDDEN', 'TENANCY_TENANT_FORBIDDEN'])
})

test('a temporary permission ends on time without a message', async () => {
  const { facts, user, tenant } = await setUp()
  await path.catalog.pool.query(
    `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect, expires_at)
     select $1, $2, id, 'allow', now() + interval '400 milliseconds' from permissions where name = 'reports:read'`,
    [user, tenant],
  )
  await path.heard()
  const guard = path.rules.guard({ kind: 'permission', name: 'reports:read' })
  const allowed = async () => guard.allows((await path.pipeline.handle(facts)).access!)
  expect(await allowed()).toBe(true)
  await sleep(500)
  expect(await allowed()).toBe(false)
})

test('without the LISTEN connection entries are usable for maxStalenessMs, then one query confirms them', async () => {
  const { ask } = await setUp({ maxStalenessMs: 300, listen: failingAfter(1) })
  await ask()
  await killListener()
  await sleep(400)
  expect(await queriesOf(ask)).toBe(1)
  expect(await queriesOf(ask)).toBe(0)
})

test('with the LISTEN connection lost a revocation is seen after maxStalenessMs at the latest', async () => {
  const { ask, user } = await setUp({ maxStalenessMs: 300, listen: failingAfter(1) })
  await ask()
  await killListener()
  await path.catalog.pool.query('delete from user_tenants where user_id = $1', [user])
  await sleep(310)
  expect(await ask()).toBe('TENANCY_TENANT_FORBIDDEN')
})

test('with catalog and LISTEN connection lost nothing is served from memory beyond maxStalenessMs', async () => {
  const { ask } = await setUp({ maxStalenessMs: 300, listen: failingAfter(1) })
  await ask()
  await killListener()
  path.before = () => Promise.reject(new Error('down'))
  await sleep(310)
  expect(await ask()).toBe('TENANCY_CATALOG_UNAVAILABLE')
  path.before = () => {}
  expect(await ask()).toBe('ok')
})

test('a revocation that was missed while the LISTEN connection was lost is seen once it is back', async () => {
  const { ask, user } = await setUp({ maxStalenessMs: 30_000 })
  await ask()
  let isBack = false
  path.coherence.subscribe({
    all: () => {
      isBack = true
    },
  })
  await killListener()
  await path.catalog.pool.query('delete from user_tenants where user_id = $1', [user])
  while (!isBack) await sleep(5)
  expect(await ask()).toBe('TENANCY_TENANT_FORBIDDEN')
})

test('with maxStalenessMs 0 a revocation counts for the very next request', async () => {
  const { ask, user } = await setUp({ maxStalenessMs: 0 })
  for (let round = 0; round < 5; round += 1) {
    expect(await ask()).toBe('ok')
    await path.catalog.pool.query('update user_tenants set is_active = false where user_id = $1', [user])
    expect(await ask()).toBe('TENANCY_TENANT_FORBIDDEN')
    await path.catalog.pool.query('update user_tenants set is_active = true where user_id = $1', [user])
  }
})

test('with maxStalenessMs 0 a request costs one query, and requests that arrive together share it', async () => {
  const { ask } = await setUp({ maxStalenessMs: 0 })
  await ask()
  expect(await queriesOf(ask)).toBe(1)
  expect(await queriesOf(() => Promise.all(Array.from({ length: 50 }, ask)))).toBeLessThanOrEqual(2)
})

test('with maxStalenessMs 0 a request does not join a query that began before it arrived', async () => {
  const { ask, user } = await setUp({ maxStalenessMs: 0 })
  await ask()
  let letGo = () => {}
  const epochs = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const real = path.catalog.pool.query.bind(path.catalog.pool)
  // The first query gets its answer from the catalog, and hands it over late.
  let isFirst = true
  path.catalog.pool.query = (async (...args: Parameters<typeof real>) => {
    const isHeld = isFirst
    isFirst = false
    const result = await (real(...args) as unknown as Promise<unknown>)
    if (isHeld) await epochs
    return result
  }) as unknown as typeof real
  const early = ask()
  await sleep(50)
  await real('update user_tenants set is_active = false where user_id = $1', [user])
  const late = ask()
  await sleep(20)
  letGo()
  expect([await early, await late]).toEqual(['ok', 'TENANCY_TENANT_FORBIDDEN'])
  path.catalog.pool.query = real
})

test('with maxStalenessMs 0 a changed rule set counts for the very next request', async () => {
  const { facts } = await setUp({ maxStalenessMs: 0 })
  const guard = path.rules.guard({ kind: 'permission', name: 'notes:read' })
  const allowed = async () => guard.allows((await path.pipeline.handle(facts)).access!)
  expect(await allowed()).toBe(true)
  await path.catalog.pool.query("update permissions set is_active = false where name = 'notes:read'")
  expect(await allowed()).toBe(false)
})

test('every member gets the right answer when there are more members than the cache holds', async () => {
  const { tenant } = await setUp({ maxEntries: 5 })
  const tokens = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const id = await path.addUser()
      await path.addMember(id, tenant)
      return { id, token: path.tokenFor(id) }
    }),
  )
  await path.heard()
  for (let round = 0; round < 2; round += 1) {
    for (const { id, token } of tokens) expect((await path.pipeline.handle(asking(token))).user?.id).toBe(id)
  }
  // Evicted entries hear no news: what a token remembers of them must not be used.
  await path.catalog.pool.query('update users set disabled_at = now() where id = $1', [tokens[0]!.id])
  await path.heard()
  expect(await outcome(() => path.pipeline.handle(asking(tokens[0]!.token)))).toBe('TENANCY_AUTH_USER_REFUSED')
})

test('first requests of many members at once share their reads of users', async () => {
  const { tenant } = await setUp()
  const tokens = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const id = await path.addUser()
      await path.addMember(id, tenant)
      return path.tokenFor(id)
    }),
  )
  await path.heard()
  let reads = 0
  path.before = (text) => {
    if (text.includes('from users where id = any')) reads += 1
  }
  await Promise.all(tokens.map(async (token) => path.pipeline.handle(asking(token))))
  expect(reads).toBeLessThanOrEqual(2)
})

test('after everything was invalidated, many members at once are confirmed by a few queries', async () => {
  const { tenant } = await setUp()
  const tokens = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const id = await path.addUser()
      await path.addMember(id, tenant)
      return path.tokenFor(id)
    }),
  )
  await path.heard()
  const askAll = () => Promise.all(tokens.map(async (token) => path.pipeline.handle(asking(token))))
  await askAll()
  path.cache.invalidate()
  expect(await queriesOf(askAll)).toBeLessThanOrEqual(2)
})

test('a change in one tenant costs the members of the others no query', async () => {
  const { tenant } = await setUp()
  const others: string[] = []
  for (const slug of ['one-tenant', 'two-tenant', 'three-tenant']) {
    const [id, elsewhere] = [await path.addUser(), await path.addTenant(slug)]
    await path.addMember(id, elsewhere)
    others.push(path.tokenFor(id))
  }
  await path.heard()
  const askOthers = () => Promise.all(others.map(async (token) => path.pipeline.handle(asking(token))))
  await askOthers()
  await path.catalog.pool.query("update tenants set name = 'New' where id = $1", [tenant])
  await path.catalog.pool.query("insert into roles (tenant_id, name) values ($1, 'Own')", [tenant])
  await path.catalog.pool.query('delete from user_tenants where tenant_id = $1', [tenant])
  await path.heard()
  expect(await queriesOf(askOthers)).toBe(0)
})

test('a reported revocation costs one read of the user and one of the member, and no query of epochs', async () => {
  const { ask, user } = await setUp()
  await ask()
  await path.catalog.pool.query('update user_tenants set is_default = true where user_id = $1', [user])
  await path.heard()
  expect(await queriesOf(ask)).toBe(2)
})

test('an identity that is unlinked by plain SQL belongs to nobody from then on', async () => {
  const { user } = await setUp()
  await path.catalog.pool.query(
    "insert into user_identities (issuer, subject, user_id) values ('https://a', 's', $1)",
    [user],
  )
  const foreign = { issuer: 'https://a', subject: 's', isOwn: false, epoch: undefined }
  const facts = asking(path.tokenFor(user, foreign), { tenantHeader: 'acme' })
  const ask = () => outcome(() => path.pipeline.handle(facts))
  expect([await ask(), await ask()]).toEqual(['ok', 'ok'])
  await path.catalog.pool.query('delete from user_identities where user_id = $1', [user])
  await path.heard()
  expect(await ask()).toBe('TENANCY_AUTH_USER_REFUSED')
})

test('a user whose deleted second tenant is restored has to name a tenant again', async () => {
  const { user } = await setUp()
  const other = await path.addTenant('other-tenant')
  await path.addMember(user, other)
  await path.catalog.pool.query("update tenants set status = 'deleted' where id = $1", [other])
  await path.heard()
  const facts = asking(path.tokenFor(user))
  const ask = () => outcome(() => path.pipeline.handle(facts))
  expect([await ask(), await ask()]).toEqual(['ok', 'ok'])
  await path.catalog.pool.query("update tenants set status = 'active' where id = $1", [other])
  await path.heard()
  expect(await ask()).toBe('TENANCY_TENANT_REQUIRED')
})

/** Connects that many times, then fails. */
function failingAfter(connections: number) {
  let left = connections
  return (url: string) => ((left -= 1) >= 0 ? listenTo(url) : Promise.reject(new Error('down')))
}

async function killListener(): Promise<void> {
  await path.catalog.pool.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 't2f_listen' and datname = $1",
    [path.catalog.databaseName],
  )
}
