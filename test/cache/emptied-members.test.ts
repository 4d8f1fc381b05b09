import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { ListenClient } from '../../src/cache/changes/follow-notifications.js'
import type { MemberTier } from '../../src/cache/redis/redis.js'
import { findTenancyError } from '../../src/core/errors/errors.js'
import { asking, createRequestPath, listenTo, type RequestPath, type RequestPathOptions } from '../http/fixture.js'

// A message that ends with `:empty` says that a change left a member no role and no override: no process has to read the
// member to deny. When the catalog sends it is in `test/catalog/access/emptied-messages.test.ts`.

let path: RequestPath
afterEach(() => path.close())

/** Hands out the messages of changes when, how often and in which order a test wants. */
function createPostbox() {
  const kept: string[] = []
  let isKeeping = false
  let hear: (message: string) => void = () => {}
  return {
    /** From now on messages are kept, here, and not heard. */
    keep() {
      isKeeping = true
      return kept
    },
    deliver: (message: string) => hear(message),
    async listen(url: string): Promise<ListenClient> {
      const client = await listenTo(url)
      return {
        query: (text, values) => client.query(text, values),
        on(event: string, listener: (argument: never) => void) {
          if (event !== 'notification') return client.on(event as 'error', listener as () => void)
          hear = (payload) => listener({ payload } as never)
          return client.on('notification', ({ payload = '' }) => {
            if (isKeeping && !payload.startsWith('h:')) kept.push(payload)
            else hear(payload)
          })
        },
        end: () => client.end(),
      }
    },
  }
}

const ofMember =
  'from user_tenants as member where member.user_id = $1 and member.tenant_id = $2 on conflict do nothing'
const override = (effect: 'allow' | 'deny', which: 'min' | 'max') =>
  `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect)
   select $1, $2, (select ${which}(id) from permissions), '${effect}' ${ofMember}`
const statements = {
  drop: 'delete from user_tenant_roles where user_id = $1 and tenant_id = $2',
  grant: `insert into user_tenant_roles (user_id, tenant_id, role_id)
    select $1, $2, (select id from roles where name = 'Admin' and tenant_id is null) ${ofMember}`,
  deny: override('deny', 'min'),
  allow: override('allow', 'max'),
  clear: 'delete from user_tenant_permissions where user_id = $1 and tenant_id = $2',
  leave: 'delete from user_tenants where user_id = $1 and tenant_id = $2',
  join: 'insert into user_tenants (user_id, tenant_id) values ($1, $2) on conflict do nothing',
  suspend: "update tenants set status = 'suspended', suspended_at = now() where id = $2 and $1::uuid is not null",
  reactivate: "update tenants set status = 'active', suspended_at = null where id = $2 and $1::uuid is not null",
  rename: "update tenants set name = name || 'x' where id = $2 and $1::uuid is not null",
} as const
type Deed = keyof typeof statements

async function setUp(options: RequestPathOptions = {}) {
  const postbox = createPostbox()
  path = await createRequestPath({ listen: postbox.listen, ...options })
  const { pool } = path.catalog
  const user = await path.addUser()
  const tenant = await path.addTenant('acme')
  const elsewhere = await path.addTenant('globex')
  await path.addMember(user, tenant)
  await path.addMember(user, elsewhere)
  await pool.query('update user_tenants set is_default = tenant_id = $1', [tenant])
  await path.heard()
  const token = path.tokenFor(user)
  const facts = asking(token, { tenantHeader: tenant })
  return {
    postbox,
    user,
    tenant,
    elsewhere,
    token,
    ask: () => answerOf(path, facts),
    /** The answer of a process that starts now. */
    async truth() {
      const other = path.anotherProcess()
      try {
        return await answerOf(other, facts)
      } finally {
        other.close()
      }
    },
    /** Does it all in one transaction. */
    async change(deeds: readonly Deed[], where = tenant) {
      const client = await pool.connect()
      try {
        await client.query('begin')
        for (const deed of deeds) await client.query(statements[deed], [user, where])
        await client.query('commit')
      } finally {
        client.release()
      }
    },
  }
}

/** Tenant, roles and permissions of a request, or the code of its refusal. */
async function answerOf(
  { pipeline }: Pick<RequestPath, 'pipeline'>,
  facts: ReturnType<typeof asking>,
): Promise<string> {
  try {
    const { access, tenant } = await pipeline.handle(facts)
    return `${tenant?.name}: ${access?.roles.join()}; ${path.rules.permissionsOf(access!).join()}`
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

const nothing = 'acme: ; '

describe('a member from whom the last role or override is taken', () => {
  test('has nothing at once and without a query, whatever names the tenant, and nothing of it goes to Redis', async () => {
    const written: unknown[] = []
    const tier: MemberTier = {
      isOpen: true,
      read: async () => undefined,
      write: (record) => void written.push(record),
      stats: () => ({ hits: 0, misses: 0, refused: 0, failures: 0 }),
      close: async () => {},
    }
    const { change, tenant, elsewhere, token } = await setUp({ redis: async () => tier })
    const ways = [asking(token, { tenantHeader: tenant }), asking(token, { tenantHeader: 'acme' }), asking(token)]
    const askAll = () => Promise.all(ways.map((facts) => answerOf(path, facts)))
    for (const answer of await askAll()) expect(answer).toContain('acme: Member')
    const askThere = () => answerOf(path, asking(token, { tenantHeader: elsewhere }))
    await askThere()
    const writtenBefore = written.length
    await change(['drop'])
    await path.heard()
    for (let round = 0; round < 2; round += 1) {
      expect(await queriesOf(async () => expect(await askAll()).toEqual([nothing, nothing, nothing]))).toBe(0)
    }
    expect(await queriesOf(async () => expect(await askThere()).toContain('globex: Member'))).toBe(0)
    expect(written.length).toBe(writtenBefore)
  })

  test('is read again when something is left: another role, or an override', async () => {
    const { change, ask } = await setUp()
    await change(['deny'])
    await path.heard()
    await ask()
    await change(['drop'])
    await path.heard()
    expect(await queriesOf(async () => expect(await ask()).toBe(nothing))).toBe(1)
    await change(['clear'])
    await path.heard()
    expect(await queriesOf(async () => expect(await ask()).toBe(nothing))).toBe(0)
  })

  test('has what is granted next, later or in the same transaction', async () => {
    const { change, ask } = await setUp()
    await ask()
    await change(['drop'])
    await path.heard()
    expect(await ask()).toBe(nothing)
    await change(['grant'])
    await path.heard()
    expect(await ask()).toContain('acme: Admin')
    await change(['drop', 'grant'])
    await path.heard()
    expect(await ask()).toContain('acme: Admin')
  })

  test.each([
    ['before', ['suspend', 'drop']],
    ['after', ['drop', 'suspend']],
  ] as const)('gets the refusal of a tenant that was suspended just %s', async (_, deeds) => {
    const { change, ask } = await setUp()
    await ask()
    for (const deed of deeds) await change([deed])
    await path.heard()
    expect(await ask()).toBe('TENANCY_TENANT_SUSPENDED')
  })

  test('is not served from memory once the catalog is no longer heard', async () => {
    let isDown = false
    const { change, ask } = await setUp({
      maxStalenessMs: 300,
      listen: (url) => (isDown ? Promise.reject(new Error('down')) : listenTo(url)),
    })
    await ask()
    await change(['drop'])
    await path.heard()
    expect(await ask()).toBe(nothing)
    isDown = true
    await path.catalog.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 't2f_listen' and datname = current_database()",
    )
    await change(['grant'])
    await expect.poll(ask).toContain('acme: Admin')
  })
})

describe('a message that a member has nothing', () => {
  async function epochOf(user: string): Promise<number> {
    const { rows } = await path.catalog.pool.query<{ epoch: number }>(
      'select access_epoch::float8 as epoch from users where id = $1',
      [user],
    )
    return rows[0]!.epoch
  }

  test('changes nothing unless the message of the same change came just before it', async () => {
    const { postbox, user, tenant, elsewhere, ask } = await setUp()
    const held = await ask()
    const epoch = await epochOf(user)
    for (const claimed of [epoch - 1, epoch, epoch + 1, epoch + 2]) {
      postbox.deliver(`u:${user}:${claimed}:${tenant}:empty`)
      expect([claimed, await ask()]).toEqual([claimed, held])
    }
    postbox.deliver(`u:${user}:${epoch + 1}:${tenant}`)
    postbox.deliver(`u:${user}:${epoch + 1}:${elsewhere}:empty`)
    postbox.deliver(`u:${user}:${epoch}:${tenant}:empty`)
    expect(await ask()).toBe(held)
  })

  test('that the catalog never sent keeps a member out for no longer than the staleness bound', async () => {
    const { postbox, user, tenant, ask } = await setUp({ maxStalenessMs: 300 })
    const held = await ask()
    const epoch = await epochOf(user)
    postbox.deliver(`u:${user}:${epoch + 1}:${tenant}`)
    postbox.deliver(`u:${user}:${epoch + 1}:${tenant}:empty`)
    await expect.poll(ask, { interval: 5 }).toBe(held)
  })

  test('is not believed of a member who may have missed another change while nothing was heard', async () => {
    const { postbox, change, ask } = await setUp()
    await ask()
    const kept = postbox.keep()
    await change(['suspend'])
    path.cache.invalidate()
    await change(['drop'])
    await expect.poll(() => kept.length, { interval: 1 }).toBe(3)
    for (const message of kept.slice(1)) postbox.deliver(message)
    expect(await ask()).toBe('TENANCY_TENANT_SUSPENDED')
  })

  // A step changes something, hears a message (any of those not heard yet, or one again), misses all of them and knows that it
  // missed some, or asks.
  const deed = fc.constantFrom(...(Object.keys(statements) as Deed[]))
  const often: fc.Arbitrary<Deed> = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('drop', 'grant') },
    { weight: 2, arbitrary: fc.constantFrom('clear', 'rename') },
    { weight: 1, arbitrary: deed },
  )
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('change' as const),
      deeds: fc.array(often, { minLength: 1, maxLength: 2 }),
      isElsewhere: fc.nat({ max: 5 }).map((number) => number === 0),
    }),
    fc.record({
      kind: fc.constant('hear' as const),
      at: fc.nat(),
      isNext: fc.nat({ max: 3 }).map((number) => number > 0),
    }),
    fc.record({ kind: fc.constant('hear again' as const), at: fc.nat() }),
    fc.constant({ kind: 'miss' as const }),
    { weight: 2, arbitrary: fc.constant({ kind: 'ask' as const }) },
  )

  test(
    'never leads to a wrong answer, in any order of messages, lost, late or twice',
    { timeout: 240_000 },
    async () => {
      const { postbox, user, tenant, elsewhere, ask, truth, change } = await setUp()
      const kept = postbox.keep()
      const settled = async () => {
        const mark = `mark:${Math.random()}`
        await path.catalog.pool.query("select pg_notify('tenants2fast_epochs', $1)", [mark])
        await expect.poll(() => kept.includes(mark), { interval: 1 }).toBe(true)
        kept.splice(kept.indexOf(mark), 1)
      }
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 10, maxLength: 40 }),
          fc.boolean(),
          async (steps, hintsAreLost) => {
            /** The right answer after each change, and the messages that are not heard yet, with the number of their change. */
            const truths = [await truth()]
            let waiting: { readonly message: string; readonly change: number }[] = []
            const heard: string[] = []
            let newest = 0
            const hear = (at: number) => {
              const [one] = waiting.splice(at % waiting.length, 1)
              if (one === undefined) return
              heard.push(one.message)
              const isHint = one.message.endsWith(':empty')
              if (isHint && hintsAreLost) return
              postbox.deliver(one.message)
              if (!isHint) newest = Math.max(newest, one.change)
            }
            /** Changes in which the member left and joined again: until all is heard of one, they may still be out. */
            const rejoined = new Set<number>()
            const check = async () => {
              const isBetween = waiting.some((one) => one.change <= newest && rejoined.has(one.change))
              const right = isBetween ? [...truths.slice(newest), 'TENANCY_TENANT_FORBIDDEN'] : truths.slice(newest)
              expect(right).toContain(await ask())
            }
            for (const each of steps) {
              if (each.kind === 'change') {
                const deeds = each.deeds
                await change(deeds, each.isElsewhere ? elsewhere : tenant)
                await settled()
                truths.push(await truth())
                if (deeds.includes('leave') && deeds.includes('join')) rejoined.add(truths.length - 1)
                waiting.push(...kept.splice(0).map((message) => ({ message, change: truths.length - 1 })))
              } else if (each.kind === 'hear') hear(each.isNext ? 0 : each.at)
              else if (each.kind === 'hear again' && heard.length > 0) {
                const message = heard[each.at % heard.length] as string
                if (!(hintsAreLost && message.endsWith(':empty'))) postbox.deliver(message)
              } else if (each.kind === 'miss') {
                waiting = []
                newest = truths.length - 1
                path.cache.invalidate()
              } else await check()
            }
            while (waiting.length > 0) hear(steps.length * 7)
            expect(await ask()).toBe(await truth())
            // The next run begins with a member, and with everything heard.
            waiting = []
            await change(['join', 'clear', 'drop', 'grant', 'reactivate'])
            await change(['join', 'grant', 'reactivate'], elsewhere)
            await settled()
            for (const message of kept.splice(0)) postbox.deliver(message)
            expect([user, await ask()]).toEqual([user, await truth()])
          },
        ),
        { numRuns: 50 },
      )
    },
  )
})
