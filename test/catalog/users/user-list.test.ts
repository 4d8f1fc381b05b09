import { afterAll, beforeAll, expect, test } from 'vitest'
import { createUserDirectory } from '../../../src/catalog/users/users.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'

let catalog: TestDatabase
let users: ReturnType<typeof createUserDirectory>

beforeAll(async () => {
  catalog = await createTestCatalog()
  users = createUserDirectory(catalog.pool)
  for (const [email, name] of [
    ['carl@example.com', 'Carl 100%'],
    ['ada@example.com', 'Ada'],
    ['bob@other.example', 'Bob'],
  ] as const) {
    await users.createUser({ email, name })
  }
  await users.disableUser({ user: (await users.findUserByEmail('bob@other.example'))!.user.id })
})
afterAll(() => catalog.drop())

const emails = async (options: Parameters<typeof users.listUsers>[0]) =>
  (await users.listUsers(options)).map(({ email }) => email)

test('users are listed by e-mail address, without what is not public', async () => {
  const [first] = await users.listUsers()
  expect(Object.keys(first!).toSorted()).toEqual([
    'createdAt',
    'disabledAt',
    'email',
    'emailVerified',
    'id',
    'image',
    'name',
    'updatedAt',
  ])
  expect(await emails({})).toEqual(['ada@example.com', 'bob@other.example', 'carl@example.com'])
})

test('pages follow each other by the last address, in any case', async () => {
  expect(await emails({ limit: 2 })).toEqual(['ada@example.com', 'bob@other.example'])
  expect(await emails({ limit: 2, after: 'BOB@other.example' })).toEqual(['carl@example.com'])
  expect(await emails({ after: 'zoe@example.com' })).toEqual([])
})

test('a search finds part of an address or name, literally', async () => {
  expect(await emails({ search: '@EXAMPLE.com' })).toEqual(['ada@example.com', 'carl@example.com'])
  expect(await emails({ search: '100%' })).toEqual(['carl@example.com'])
  expect(await emails({ search: '%' })).toEqual(['carl@example.com'])
  expect(await emails({ search: '_' })).toEqual([])
  expect(await emails({ search: "'; drop table users; --" })).toEqual([])
})

test('disabled users are listed alone, or left out', async () => {
  expect(await emails({ disabled: true })).toEqual(['bob@other.example'])
  expect(await emails({ disabled: false })).toEqual(['ada@example.com', 'carl@example.com'])
})

test.each([{ limit: 0 }, { limit: 1001 }, { search: 'a\0' }, { after: 'x'.repeat(321) }, { nothing: 1 }])(
  'a bad option is refused: %j',
  async (options) => {
    await expect(users.listUsers(options)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  },
)
