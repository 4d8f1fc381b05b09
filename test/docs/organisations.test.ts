import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defineAccess, type Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'

let installation: Installation
let tenancy: Tenancy

beforeAll(async () => {
  installation = createInstallation()
  const access = defineAccess({
    permissions: { 'notes:read': '' },
    roles: { Member: { permissions: [] }, Admin: { permissions: '*' } },
  })
  tenancy = await installation.open({ access })
})
afterAll(() => installation.drop())

interface Found {
  readonly preview: unknown
  readonly total: number
  readonly next: string | null
  readonly bob: { readonly id: string }
}

test('the example of docs/organisations.md runs, and leaves the tenant to the one who was invited', async () => {
  const example = /```js\n([^]*?)```/.exec(readFileSync('docs/organisations.md', 'utf8'))?.[1] ?? ''
  expect(example).toContain('acceptInvitation')
  const AsyncFunction = (async () => {}).constructor as new (...text: string[]) => (given: Tenancy) => Promise<Found>
  const run = new AsyncFunction('tenancy', `${example}\nreturn { preview, total, next, bob }`)
  const { preview, total, next, bob } = await run(tenancy)
  expect(preview).toEqual({ tenantName: 'Acme', email: 'b…@example.com', expiresAt: expect.any(Date) })
  expect({ total, next }).toEqual({ total: 1, next: null })
  expect(await tenancy.searchMembers({ tenant: 'acme' })).toMatchObject({
    total: 1,
    members: [{ userId: bob.id, roles: ['Admin', 'Member', 'Owner'], position: 'Accountant' }],
  })
})
