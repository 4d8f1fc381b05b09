import { afterAll, beforeAll, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { findTenancyError } from '../../../src/core/errors/errors.js'
import { type AccessCatalog, createAccessCatalog } from './fixture.js'

let catalog: AccessCatalog
let admin: AccessAdministration
beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
})
afterAll(() => catalog.drop())

/** `ok`, or the code of the refusal; any other error is the text of itself. */
async function outcomeOf(change: Promise<unknown>): Promise<string> {
  try {
    await change
    return 'ok'
  } catch (error) {
    return findTenancyError(error)?.code ?? String(error)
  }
}

test('a built-in role that many delete at once is deleted once, with one audit entry', async () => {
  await admin.createRole({ tenant: null, name: 'Auditor' })
  const outcomes = await Promise.all(
    Array.from({ length: 6 }, () => outcomeOf(admin.deleteRole({ tenant: null, role: 'Auditor' }))),
  )
  expect(outcomes.toSorted()).toEqual([...Array.from({ length: 5 }, () => 'TENANCY_ACCESS_ROLE_NOT_FOUND'), 'ok'])
  const { rows } = await catalog.pool.query("select from audit_log where action = 'role.delete'")
  expect(rows.length).toBe(1)
})

test('changes of built-in roles at once, while roles are assigned, succeed or say what they miss', async () => {
  await admin.createPermission({ name: 'desk:use' })
  const { id: tenant } = await catalog.addTenant()
  const users = await Promise.all(Array.from({ length: 4 }, () => catalog.addMember(tenant)))
  const seen = new Set<string>()
  for (let round = 0; round < 15; round += 1) {
    const [one, other] = [`One-${round}`, `Other-${round}`]
    for (const name of [one, other]) {
      await admin.createRole({ tenant: null, name })
      for (const user of users) await admin.assignRole({ tenant, user, role: name })
    }
    const [first] = users as [string]
    await admin.unassignRole({ tenant, user: first, role: one })
    const outcomes = await Promise.all(
      [
        admin.deleteRole({ tenant: null, role: one }),
        admin.deleteRole({ tenant: null, role: other }),
        admin.assignRole({ tenant, user: first, role: one }),
        admin.grantPermission({ tenant: null, role: one, permission: 'desk:use' }),
        admin.includeRole({ tenant: null, role: one, included: other }),
        admin.includeRole({ tenant: null, role: other, included: one }),
        admin.deleteRole({ tenant: null, role: one }),
      ].map(outcomeOf),
    )
    for (const outcome of outcomes) seen.add(outcome)
  }
  expect([...seen].filter((outcome) => outcome !== 'ok')).toEqual(
    [...seen].filter((outcome) => ['TENANCY_ACCESS_ROLE_NOT_FOUND', 'TENANCY_ACCESS_ROLE_CYCLE'].includes(outcome)),
  )
})
