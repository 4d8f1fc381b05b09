import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import { createPlatformAdministration } from '../../../src/catalog/users/platform-administrators.js'
import { createUserDirectory } from '../../../src/catalog/users/users.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'

let catalog: TestDatabase
let users: ReturnType<typeof createUserDirectory>
let platform: ReturnType<typeof createPlatformAdministration>
let ada: string
let eve: string

beforeAll(async () => {
  catalog = await createTestCatalog()
  users = createUserDirectory(catalog.pool)
  platform = createPlatformAdministration(catalog.pool)
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  await catalog.pool.query('delete from users')
  ada = (await users.createUser({ email: 'ada@example.com', name: 'Ada' })).user.id
  eve = (await users.createUser({ email: 'eve@example.com' })).user.id
})

const refusedGrant = { code: 'TENANCY_ACCESS_GRANT_REFUSED' }
const refusedChange = { code: 'TENANCY_ACCESS_CHANGE_REFUSED' }
const listed = async () => (await platform.listPlatformAdministrators()).map(({ email }) => email).toSorted()
const actions = async () =>
  (await createAuditLog(catalog.pool).list({ tenant: null, limit: 1000 }))
    .filter(({ action }) => action.startsWith('platform.'))
    .map(({ action, actorId, subject }) => ({ action, actorId, subject }))

test('an operator grants, an administrator grants further, and each change has its audit entry', async () => {
  const before = (await actions()).length
  expect(await platform.grantPlatformRole({ user: ada })).toEqual({
    userId: ada,
    email: 'ada@example.com',
    name: 'Ada',
    disabledAt: null,
    grantedAt: expect.any(Date),
    grantedBy: null,
  })
  expect(await platform.grantPlatformRole({ user: eve, actor: ada })).toMatchObject({ userId: eve, grantedBy: ada })
  expect(await listed()).toEqual(['ada@example.com', 'eve@example.com'])
  await platform.revokePlatformRole({ user: ada, actor: eve })
  expect(await listed()).toEqual(['eve@example.com'])
  expect((await actions()).slice(before)).toEqual([
    { action: 'platform.grant', actorId: null, subject: `user:${ada}` },
    { action: 'platform.grant', actorId: ada, subject: `user:${eve}` },
    { action: 'platform.revoke', actorId: eve, subject: `user:${ada}` },
  ])
})

test('granting once more changes nothing and writes nothing', async () => {
  const first = await platform.grantPlatformRole({ user: ada })
  const before = await actions()
  expect(await platform.grantPlatformRole({ user: ada })).toEqual(first)
  expect(await actions()).toEqual(before)
})

test('an actor who is no administrator, or a disabled one, can grant and revoke nothing', async () => {
  await platform.grantPlatformRole({ user: ada })
  await expect(platform.grantPlatformRole({ user: eve, actor: eve })).rejects.toMatchObject(refusedGrant)
  await expect(platform.revokePlatformRole({ user: ada, actor: eve })).rejects.toMatchObject(refusedChange)
  await expect(platform.grantPlatformRole({ user: eve, actor: randomUUID() })).rejects.toMatchObject(refusedGrant)
  await users.disableUser({ user: ada })
  await expect(platform.grantPlatformRole({ user: eve, actor: ada })).rejects.toMatchObject(refusedGrant)
  expect(await listed()).toEqual(['ada@example.com'])
})

test('somebody unknown, disabled or without the right is not found', async () => {
  const missing = { code: 'TENANCY_USER_NOT_FOUND' }
  await users.disableUser({ user: eve })
  for (const user of [randomUUID(), 'no id', eve]) {
    await expect(platform.grantPlatformRole({ user })).rejects.toMatchObject(missing)
    await expect(platform.revokePlatformRole({ user })).rejects.toMatchObject(missing)
  }
  expect(await listed()).toEqual([])
})

test('of two administrators who revoke each other at once, one succeeds', async () => {
  await platform.grantPlatformRole({ user: ada })
  await platform.grantPlatformRole({ user: eve })
  const outcomes = await Promise.allSettled([
    platform.revokePlatformRole({ user: eve, actor: ada }),
    platform.revokePlatformRole({ user: ada, actor: eve }),
  ])
  expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: refusedChange })
  expect(await listed()).toHaveLength(1)
})

test('the last administrator who is not disabled stays, unless an operator removes them', async () => {
  await platform.grantPlatformRole({ user: ada })
  await platform.grantPlatformRole({ user: eve })
  await users.disableUser({ user: eve })
  const before = await actions()
  await expect(platform.revokePlatformRole({ user: ada, actor: ada })).rejects.toMatchObject({
    code: 'TENANCY_PLATFORM_LAST_ADMINISTRATOR',
  })
  expect([await listed(), await actions()]).toEqual([['ada@example.com', 'eve@example.com'], before])
  await users.enableUser({ user: eve })
  await platform.revokePlatformRole({ user: ada, actor: ada })
  await platform.revokePlatformRole({ user: eve })
  expect(await listed()).toEqual([])
})

test('a deleted user administers nothing, and whom they let in stays', async () => {
  await platform.grantPlatformRole({ user: ada })
  await platform.grantPlatformRole({ user: eve, actor: ada })
  await catalog.pool.query('delete from users where id = $1', [ada])
  expect(await platform.listPlatformAdministrators()).toMatchObject([{ userId: eve, grantedBy: null }])
})

test('administrators are listed in pages', async () => {
  await platform.grantPlatformRole({ user: ada })
  await platform.grantPlatformRole({ user: eve })
  const [first] = await platform.listPlatformAdministrators({ limit: 1 })
  const [second] = await platform.listPlatformAdministrators({ limit: 1, after: first!.userId })
  expect([first!.userId, second!.userId]).toEqual([ada, eve].toSorted())
})
