import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenants } from '../../../src/catalog/tenants/tenants.js'
import { createInstallation, type Installation } from '../../databases/fixture.js'

let installation: Installation
let tenants: Tenants

beforeAll(async () => {
  installation = await createInstallation()
  ;({ tenants } = installation.open())
  const owner = await installation.createUser('owner')
  await tenants.createTenant({ name: 'Acme 100% Ltd', slug: 'acme', owner, labels: ['beta'] })
  await tenants.createTenant({ name: 'ÄPFEL', slug: 'fruit', owner, contactEmail: 'Buyer@acme.example' })
  await tenants.createTenant({ name: 'Globex_1', slug: 'globex', owner })
  await tenants.suspendTenant({ tenant: 'globex' })
})
afterAll(() => installation.drop())

const slugsOf = async (options: Parameters<Tenants['searchTenants']>[0]) =>
  (await tenants.searchTenants(options)).tenants.map(({ slug }) => slug)

test('tenants are found by a part of slug, name or contact, in any case', async () => {
  expect(await slugsOf({})).toEqual(['acme', 'fruit', 'globex'])
  expect(await slugsOf({ search: 'ACME' })).toEqual(['acme', 'fruit'])
  expect(await slugsOf({ search: 'äpf' })).toEqual(['fruit'])
  expect(await slugsOf({ search: 'obex' })).toEqual(['globex'])
  expect(await slugsOf({ search: 'nothing' })).toEqual([])
})

test('a search is no pattern', async () => {
  expect(await slugsOf({ search: '%' })).toEqual(['acme'])
  expect(await slugsOf({ search: '_' })).toEqual(['globex'])
  expect(await slugsOf({ search: "' or true --" })).toEqual([])
})

test('states and labels narrow it', async () => {
  expect(await slugsOf({ statuses: ['suspended', 'deleted'] })).toEqual(['globex'])
  expect(await slugsOf({ statuses: ['active'], search: 'acme' })).toEqual(['acme', 'fruit'])
  expect(await slugsOf({ label: 'beta' })).toEqual(['acme'])
})

test('pages follow each other, each with the number of all', async () => {
  const pages: string[][] = []
  let after: string | undefined
  do {
    const page = await tenants.searchTenants({ after, limit: 2 })
    expect(page.total).toBe(3)
    pages.push(page.tenants.map(({ slug }) => slug))
    after = page.next ?? undefined
  } while (after !== undefined)
  expect(pages).toEqual([['acme', 'fruit'], ['globex']])
  const { id } = await tenants.getTenant('globex')
  expect(await tenants.searchTenants({ after: id })).toEqual({ tenants: [], total: 3, next: null })
  expect(await tenants.searchTenants({ search: 'nothing' })).toEqual({ tenants: [], total: 0, next: null })
})

test('a tenant that is found looks as one that is read', async () => {
  expect((await tenants.searchTenants({ search: 'globex' })).tenants).toEqual([await tenants.getTenant('globex')])
})

test.each([
  { statuses: [] },
  { statuses: ['gone'] },
  { search: 'a\0' },
  { search: 'x'.repeat(321) },
  { limit: 0 },
  { after: 'x' },
])('a wrong search is refused: %j', async (options) => {
  await expect(tenants.searchTenants(options as object)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
})

test('a slug is malformed, reserved, taken or free', async () => {
  const reasonOf = async (slug: string) => (await tenants.isSlugAvailable({ slug })).reason
  expect(await reasonOf('No')).toBe('malformed')
  expect(await reasonOf('')).toBe('malformed')
  expect(await reasonOf('x'.repeat(100_000))).toBe('malformed')
  expect(await reasonOf('admin')).toBe('reserved')
  expect(await reasonOf('acme')).toBe('taken')
  expect(await tenants.isSlugAvailable({ slug: 'initech' })).toEqual({ isAvailable: true, reason: null })
})
