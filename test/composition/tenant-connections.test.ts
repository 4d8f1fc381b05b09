import { afterEach, expect, test } from 'vitest'
import { createTenantConnections } from '../../src/composition/tenant-connections.js'
import { createConnectionScheduler } from '../../src/connections/scheduler.js'
import type { Tenant } from '../../src/core/model.js'

const scheduler = createConnectionScheduler()
const connections = createTenantConnections({
  scheduler,
  records: { find: () => Promise.resolve(undefined) },
  databases: {
    targetOf: () => {
      throw new Error('not asked')
    },
    expectedAccount: () => {
      throw new Error('not asked')
    },
    demandSchema: () => Promise.reject(new Error('not asked')),
  },
})

afterEach(() => scheduler.close())

test.each([undefined, null, {}, 'acme', 42, [], { slug: 'acme' }, { databaseId: 'a' }, { slug: 'a', databaseId: {} }])(
  'Asking for the pool of %o is refused with a code',
  (tenant) => {
    expect(() => connections.pool(tenant as unknown as Tenant)).toThrow(
      expect.objectContaining({ code: 'TENANCY_TENANT_NOT_FOUND', message: expect.stringContaining('findTenant') }),
    )
  },
)

test('A tenant without a database is refused with a code of its own', () => {
  expect(() => connections.pool({ slug: 'acme', databaseId: null })).toThrow(
    expect.objectContaining({ code: 'TENANCY_TENANT_STATE_CONFLICT' }),
  )
})
