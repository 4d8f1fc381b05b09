import { randomUUID } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import type { MemberAddress } from '../../src/cache/redis/member-format.js'
import type { MemberTier } from '../../src/cache/redis/redis.js'
import type { MemberRecord } from '../../src/core/access/access.js'
import { findTenancyError } from '../../src/core/errors/errors.js'
import { asking, createRequestPath, type RequestPath } from '../http/fixture.js'

// PostgreSQL lets every account that can connect to the catalog's database NOTIFY, the one of `tenancy.catalog` included, and
// tells it the epochs. A message may cost a query. It must not keep alive what was taken away.

let path: RequestPath
afterEach(() => path.close())

async function setUp(redis?: MemberTier) {
  path = await createRequestPath(redis === undefined ? {} : { redis: async () => redis })
  const user = await path.addUser()
  const tenant = await path.addTenant('acme')
  await path.addMember(user, tenant)
  await path.heard()
  const facts = asking(path.tokenFor(user), { tenantHeader: 'acme' })
  const ask = async (pipeline = path.pipeline, tenantHeader = 'acme') => {
    try {
      return (await pipeline.handle({ ...facts, tenantHeader })).access?.roles.length
    } catch (error) {
      return findTenancyError(error)?.code ?? 'failed'
    }
  }
  /** Says that something changed for the user in a tenant that is none: the other entries of the user stay in use. */
  const forge = async (times = 1) => {
    const { rows } = await path.catalog.pool.query<{ epoch: number }>(
      'select access_epoch::float8 as epoch from users where id = $1',
      [user],
    )
    for (let ahead = 1; ahead <= times; ahead += 1) {
      const message = `u:${user}:${rows[0]!.epoch + ahead}:${randomUUID()}`
      await path.catalog.pool.query("select pg_notify('tenants2fast_epochs', $1)", [message])
    }
    await path.heard()
  }
  return { user, tenant, ask, forge }
}

const revocations = {
  'a role that is taken away': {
    sql: 'delete from user_tenant_roles where user_id = $1',
    outcome: 0,
  },
  'a disabled user': {
    sql: 'update users set disabled_at = now() where id = $1',
    outcome: 'TENANCY_AUTH_USER_REFUSED',
  },
  'tokens that are revoked': {
    sql: 'update users set token_epoch = token_epoch + 1 where id = $1',
    outcome: 'TENANCY_AUTH_TOKEN_INVALID',
  },
} as const

for (const [what, { sql, outcome }] of Object.entries(revocations)) {
  test(`a forged message keeps nothing in force: ${what}`, async () => {
    const { user, ask, forge } = await setUp()
    expect(await ask()).toBe(1)
    await forge()
    expect(await ask()).toBe(1)
    await path.catalog.pool.query(sql, [user])
    await path.heard()
    expect(await ask()).toBe(outcome)
  })
}

test('a forged message that is ahead by several changes keeps nothing in force', async () => {
  const { user, ask, forge } = await setUp()
  await ask()
  await forge(3)
  for (const sql of [
    "update users set name = 'a' where id = $1",
    "update users set name = 'b' where id = $1",
    'delete from user_tenant_roles where user_id = $1',
  ]) {
    await path.catalog.pool.query(sql, [user])
    await path.heard()
  }
  expect(await ask()).toBe(0)
})

test('a forged message puts nothing into the tier that processes share which is not so', async () => {
  const kept = new Map<string, MemberRecord>()
  const keyOf = ({ userId, tenantId, user, tenant, rules }: MemberAddress) =>
    [userId, tenantId, user, tenant, rules].join(' ')
  const { user, tenant, ask, forge } = await setUp({
    isOpen: true,
    read: async (address) => kept.get(keyOf(address)),
    write(record, userEpoch) {
      const { userId, tenantId } = record.membership
      kept.set(
        keyOf({ userId, tenantId, user: userEpoch, tenant: record.tenantEpoch, rules: record.rulesEpoch }),
        record,
      )
    },
    close: async () => {},
  } as MemberTier)
  await ask()
  await forge()
  // Under another name it is read anew, while the user is known by the message alone.
  expect(await ask(path.pipeline, tenant)).toBe(1)
  await path.catalog.pool.query('delete from user_tenant_roles where user_id = $1', [user])
  await path.heard()
  const other = path.anotherProcess()
  expect([await ask(), await ask(path.pipeline, tenant), await ask(other.pipeline)]).toEqual([0, 0, 0])
  other.close()
})
