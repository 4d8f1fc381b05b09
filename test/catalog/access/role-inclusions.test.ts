import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { createAccessCatalog, type AccessCatalog } from './fixture.js'
import { findMember } from '../../support/find-member.js'

let catalog: AccessCatalog
let admin: AccessAdministration
let tenant: string
let read: number
let write: number

beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  read = await catalog.addPermission('notes:read')
  write = await catalog.addPermission('notes:write')
  await catalog.addRole(null, 'Reader', read)
  await catalog.addRole(null, 'Writer', write)
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  tenant = (await catalog.addTenant()).id
})

const include = (role: string, included: string, of: string | null = tenant) =>
  admin.includeRole({ tenant: of, role, included })
const exclude = (role: string, included: string, of: string | null = tenant) =>
  admin.excludeRole({ tenant: of, role, included })
const insert = 'insert into role_inclusions (role_id, included_role_id) values ($1, $2)'

async function rolesOf(userId: string): Promise<readonly string[]> {
  const member = await findMember(catalog.directory, userId, { kind: 'id', value: tenant })
  return member?.grants.roles ?? []
}

describe('a role that includes roles', () => {
  test('a role grants what its included roles grant, and its holder counts as their holder', async () => {
    await catalog.addRole(tenant, 'Clerk')
    await catalog.addRole(tenant, 'Boss')
    const userId = await catalog.addMember(tenant, 'Boss')
    await include('Clerk', 'Reader')
    await include('Boss', 'Clerk')
    expect(await catalog.held(userId, tenant)).toEqual(['notes:read'])
    expect(await rolesOf(userId)).toEqual(['Boss', 'Clerk', 'Reader'])
    await include('Boss', 'Writer')
    expect(await catalog.held(userId, tenant)).toEqual(['notes:read', 'notes:write'])
    await exclude('Clerk', 'Reader')
    expect(await catalog.held(userId, tenant)).toEqual(['notes:write'])
  })

  test('an inactive role grants nothing through its inclusions, and a direct deny still wins', async () => {
    await catalog.addRole(tenant, 'Clerk', write)
    await catalog.addRole(tenant, 'Boss')
    const user = await catalog.addMember(tenant, 'Boss')
    await include('Boss', 'Clerk')
    await include('Clerk', 'Reader')
    await admin.setRoleActive({ tenant, role: 'Clerk', isActive: false })
    expect(await catalog.held(user, tenant)).toEqual([])
    expect(await rolesOf(user)).toEqual(['Boss'])
    await admin.setRoleActive({ tenant, role: 'Clerk', isActive: true })
    await admin.setOverride({ tenant, user, permission: 'notes:read', effect: 'deny' })
    expect(await catalog.held(user, tenant)).toEqual(['notes:write'])
  })

  test('including a role raises the tenant’s epoch, or the rules epoch for a built-in role, and repeating it raises none', async () => {
    await catalog.addRole(tenant, 'Clerk')
    expect(await catalog.raisedBy(() => include('Clerk', 'Reader'))).toEqual([`t:${tenant}`])
    expect(await catalog.raisedBy(() => include('Clerk', 'Reader'))).toEqual([])
    expect(await catalog.raisedBy(() => exclude('Clerk', 'Reader'))).toEqual([`t:${tenant}`])
    expect(await catalog.raisedBy(() => exclude('Clerk', 'Reader'))).toEqual([])
    expect(await catalog.raisedBy(() => include('Writer', 'Reader', null))).toEqual(['r'])
    expect(await catalog.raisedBy(() => exclude('Writer', 'Reader', null))).toEqual(['r'])
    expect(await catalog.raisedBy(() => catalog.pool.query('truncate role_inclusions'))).toEqual(['r'])
  })

  test('including and excluding a role are audited', async () => {
    const id = await catalog.addRole(tenant, 'Clerk')
    await include('Clerk', 'Reader')
    await exclude('Clerk', 'Reader')
    const { rows } = await catalog.pool.query<object>(
      'select action, subject, before, after from audit_log where tenant_id = $1 order by seq',
      [tenant],
    )
    expect(rows).toEqual([
      { action: 'role.include', subject: `role:${id}`, before: null, after: { included: 'Reader' } },
      { action: 'role.exclude', subject: `role:${id}`, before: { included: 'Reader' }, after: null },
    ])
  })

  test('deleting a role deletes its inclusions', async () => {
    await catalog.addRole(tenant, 'Clerk')
    await catalog.addRole(tenant, 'Boss')
    const user = await catalog.addMember(tenant, 'Boss')
    await include('Boss', 'Clerk')
    await include('Clerk', 'Reader')
    expect(await catalog.raisedBy(() => admin.deleteRole({ tenant, role: 'Clerk' }))).toEqual([`t:${tenant}`])
    expect(await catalog.held(user, tenant)).toEqual([])
  })
})

describe('inclusions that are refused', () => {
  test('a built-in role cannot include a tenant’s role, and roles of two tenants cannot include each other', async () => {
    const other = (await catalog.addTenant()).id
    await catalog.addRole(tenant, 'Clerk')
    await catalog.addRole(other, 'Theirs')
    const code = 'TENANCY_ACCESS_ROLE_NOT_FOUND'
    await expect(include('Reader', 'Clerk', null)).rejects.toMatchObject({ code })
    await expect(include('Clerk', 'Theirs')).rejects.toMatchObject({ code })
    await expect(include('Reader', 'Writer')).rejects.toMatchObject({ code: 'TENANCY_ACCESS_ROLE_PROTECTED' })
    await expect(exclude('Reader', 'Writer')).rejects.toMatchObject({ code: 'TENANCY_ACCESS_ROLE_PROTECTED' })
  })

  test('plain SQL cannot make a built-in role include a tenant’s role, or include roles across tenants', async () => {
    const other = (await catalog.addTenant()).id
    const ours = await catalog.addRole(tenant, 'Ours')
    const theirs = await catalog.addRole(other, 'Theirs')
    const builtIn = await catalog.addRole(null, `Built in ${tenant}`)
    for (const pair of [
      [ours, theirs],
      [builtIn, ours],
    ]) {
      await expect(catalog.pool.query(insert, pair)).rejects.toMatchObject({
        constraint: 'role_inclusions_same_tenant',
      })
    }
    await catalog.pool.query(insert, [ours, builtIn])
    const move = 'update role_inclusions set included_role_id = $2 where role_id = $1'
    await expect(catalog.pool.query(move, [ours, theirs])).rejects.toThrow(/own tenant/)
  })

  test('a cycle of inclusions of any length is refused, by the service and in plain SQL, and nothing of it stays', async () => {
    const names = ['A', 'B', 'C', 'D']
    const ids = new Map<string, string>()
    for (const name of names) ids.set(name, await catalog.addRole(tenant, name))
    await expect(include('A', 'A')).rejects.toMatchObject({ code: 'TENANCY_ACCESS_ROLE_CYCLE' })
    await include('A', 'B')
    await include('B', 'C')
    await include('C', 'D')
    for (const last of ['B', 'C', 'D']) {
      await expect(include(last, 'A')).rejects.toMatchObject({ code: 'TENANCY_ACCESS_ROLE_CYCLE' })
      await expect(catalog.pool.query(insert, [ids.get(last), ids.get('A')])).rejects.toThrow(/include itself/)
    }
    // Two rows of one statement that form a cycle together.
    const [e, f] = [await catalog.addRole(tenant, 'E'), await catalog.addRole(tenant, 'F')]
    const both = 'insert into role_inclusions (role_id, included_role_id) values ($1, $2), ($2, $1)'
    await expect(catalog.pool.query(both, [e, f])).rejects.toThrow(/include itself/)
    const roles = await admin.listRoles({ tenant })
    expect(roles.flatMap(({ name, includes }) => includes.map((included) => `${name} > ${included}`))).toEqual([
      'A > B',
      'B > C',
      'C > D',
    ])
  })

  test.each(['read committed', 'repeatable read', 'serializable'])(
    'plain SQL in two transactions at once cannot create a cycle of inclusions (%s)',
    async (isolation) => {
      for (const owner of [tenant, null]) {
        const name = (letter: string) => `${letter} ${owner === null ? isolation : tenant}`
        const [a, b] = [await catalog.addRole(owner, name('A')), await catalog.addRole(owner, name('B'))]
        const [first, second] = [await catalog.pool.connect(), await catalog.pool.connect()]
        try {
          for (const client of [first, second]) {
            await client.query(`begin isolation level ${isolation}`)
            // Both snapshots are taken before either transaction writes.
            await client.query('select count(*) from role_inclusions')
          }
          await first.query(insert, [a, b])
          const outcome = second.query(insert, [b, a]).then(
            () => 'made',
            () => 'refused',
          )
          await Promise.race([outcome, catalog.untilSomebodyWaits()])
          await first.query('commit')
          expect(await outcome).toBe('refused')
        } finally {
          await second.query('rollback')
          first.release()
          second.release()
        }
      }
    },
  )

  test('the service refuses one of two inclusions that would form a cycle and are made at once', async () => {
    await catalog.addRole(tenant, 'A')
    await catalog.addRole(tenant, 'B')
    for (let round = 0; round < 5; round += 1) {
      const outcomes = await Promise.allSettled([include('A', 'B'), include('B', 'A')])
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
      await exclude('A', 'B')
      await exclude('B', 'A')
    }
  })
})

test('random role hierarchies grant what a walk along the active roles grants', async () => {
  const size = 6
  const edge = fc.tuple(fc.nat(size - 1), fc.nat(size - 1))
  const hierarchy = fc.record({
    edges: fc.array(edge, { maxLength: 12 }),
    active: fc.array(fc.boolean(), { minLength: size, maxLength: size }),
    direct: fc.array(fc.nat(size - 1), { maxLength: 2 }),
  })
  const permissions: number[] = []
  for (let index = 0; index < size; index += 1) permissions.push(await catalog.addPermission(`random:p${index}`))
  await fc.assert(
    fc.asyncProperty(hierarchy, async ({ edges, active, direct }) => {
      tenant = (await catalog.addTenant()).id
      const names = permissions.map((_, index) => `R${index}`)
      const ids: string[] = []
      for (const [index, name] of names.entries()) ids.push(await catalog.addRole(tenant, name, permissions[index]!))
      // Only downwards, so that there is no cycle.
      const kept = edges.map(([a, b]) => [Math.max(a, b), Math.min(a, b)] as const).filter(([a, b]) => a !== b)
      for (const [a, b] of kept) await catalog.pool.query(`${insert} on conflict do nothing`, [ids[a], ids[b]])
      await catalog.pool.query('update roles set is_active = false where id = any ($1::uuid[])', [
        ids.filter((_, index) => !active[index]),
      ])
      const userId = await catalog.addMember(tenant, ...direct.map((index) => names[index]!))

      const reached = new Set<number>()
      const walk = (index: number): void => {
        if (!active[index]) return
        reached.add(index)
        for (const [a, b] of kept) if (a === index) walk(b)
      }
      direct.forEach(walk)
      const expected = [...reached].toSorted((a, b) => a - b)
      expect(await rolesOf(userId)).toEqual(expected.map((index) => `R${index}`))
      expect(await catalog.held(userId, tenant)).toEqual(expected.map((index) => `random:p${index}`))
    }),
    { numRuns: 25 },
  )
})
