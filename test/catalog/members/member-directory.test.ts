import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createMemberDirectory } from '../../../src/catalog/members/member-directory.js'
import { createRuleSetReader } from '../../../src/catalog/access/rule-set-reader.js'
import { createAccessCatalog } from '../access/fixture.js'
import type { AccessCatalog } from '../access/fixture.js'
import { findMember } from '../../support/find-member.js'

let catalog: AccessCatalog
let reading: number
let writing: number
beforeAll(async () => {
  catalog = await createAccessCatalog()
  reading = await catalog.addPermission('notes:read')
  writing = await catalog.addPermission('notes:write')
  await catalog.addRole(null, 'Reader', reading)
  await catalog.addRole(null, 'Writer', reading, writing)
})
afterAll(() => catalog.drop())

const byId = (value: string) => ({ kind: 'id', value }) as const
const bySlug = (value: string) => ({ kind: 'slug', value }) as const

async function override(userId: string, tenantId: string, permissionId: number, effect: string, expires = 'null') {
  await catalog.pool.query(
    `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect, expires_at) values ($1, $2, $3, $4, ${expires})`,
    [userId, tenantId, permissionId, effect],
  )
}

describe('findMembers', () => {
  test('findMembers finds the same record by id and by slug, with tenant, membership, database, grants and epochs', async () => {
    const tenant = await catalog.addTenant()
    const { id: serverId } = await catalog.one<{ id: string }>(
      "insert into database_servers (name) values ('one') returning id",
    )
    const { id: databaseId } = await catalog.one<{ id: string }>(
      `insert into tenant_databases (id, server_id, name, role_name, state) values (gen_random_uuid(), $1, 'd1', 'r1', 'assigned')
       returning id`,
      [serverId],
    )
    await catalog.pool.query('update tenants set database_id = $2, max_users = 7 where id = $1', [
      tenant.id,
      databaseId,
    ])
    const userId = await catalog.addMember(tenant.id, 'Reader')

    const member = await findMember(catalog.directory, userId, byId(tenant.id))
    expect(await findMember(catalog.directory, userId, bySlug(tenant.slug))).toEqual(member)
    const [epochs] = await catalog.directory.readEpochs([{ userId, tenant: byId(tenant.id) }])
    expect(member).toEqual({
      tenant: {
        ...tenant,
        name: tenant.slug,
        status: 'active',
        contactEmail: null,
        maxUsers: 7,
        databaseId,
        labels: [],
        createdBy: null,
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
        suspendedAt: null,
        deletedAt: null,
      },
      membership: {
        userId,
        tenantId: tenant.id,
        isActive: true,
        isDefault: false,
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
      },
      grants: { roles: ['Reader'], permissionIds: [reading], changesAtMs: null },
      tenantEpoch: epochs?.tenant,
      rulesEpoch: epochs?.rules,
      schemaVersion: null,
    })
  })

  test('findMembers gives the same answer for a user who is no member, an unknown tenant and an inactive membership', async () => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addMember(tenant.id, 'Reader')
    const stranger = await catalog.addUser()
    expect(await findMember(catalog.directory, stranger, byId(tenant.id))).toBeUndefined()
    expect(await findMember(catalog.directory, userId, bySlug('no-such-tenant'))).toBeUndefined()
    await catalog.pool.query('update user_tenants set is_active = false where user_id = $1', [userId])
    expect(await findMember(catalog.directory, userId, byId(tenant.id))).toBeUndefined()
  })

  test('findMembers answers many questions in their order, by id and by slug, also when a question is repeated', async () => {
    const known: { readonly userId: string; readonly tenant: { readonly id: string; readonly slug: string } }[] = []
    for (let count = 0; count < 12; count += 1) {
      const [userId, tenant] = [await catalog.addUser(), await catalog.addTenant()]
      await catalog.pool.query('insert into user_tenants (user_id, tenant_id) values ($1, $2)', [userId, tenant.id])
      known.push({ userId, tenant })
    }
    const stranger = await catalog.addUser()
    const questions = known.flatMap(({ userId, tenant }) => [
      { userId, tenant: bySlug(tenant.slug) },
      { userId: stranger, tenant: byId(tenant.id) },
      { userId, tenant: byId(tenant.id) },
      { userId: stranger, tenant: bySlug(tenant.slug) },
      { userId, tenant: bySlug('no-such-tenant') },
      { userId, tenant: byId(tenant.id) },
    ])
    const found = await catalog.directory.findMembers(questions)
    expect(found.map((member) => member && [member.membership.userId, member.tenant.id])).toEqual(
      known.flatMap(({ userId, tenant }) => {
        const member = [userId, tenant.id]
        return [member, undefined, member, undefined, undefined, member]
      }),
    )
    expect(await catalog.directory.findMembers([])).toEqual([])
  })

  test.each(['suspended', 'deleted'])('findMembers finds a %s tenant with empty grants', async (status) => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addMember(tenant.id, 'Writer')
    await override(userId, tenant.id, reading, 'allow')
    await catalog.pool.query('update tenants set status = $2 where id = $1', [tenant.id, status])
    const member = await findMember(catalog.directory, userId, byId(tenant.id))
    expect(member?.tenant.status).toBe(status)
    expect(member?.grants).toEqual({ roles: [], permissionIds: [], changesAtMs: null })
  })

  test('roles and overrides of one tenant have no effect in another', async () => {
    const [ours, theirs] = [await catalog.addTenant(), await catalog.addTenant()]
    const userId = await catalog.addMember(ours.id, 'Writer')
    await override(userId, ours.id, reading, 'allow')
    await catalog.join(userId, theirs.id)
    expect(await catalog.held(userId, ours.id)).toEqual(['notes:read', 'notes:write'])
    expect(await catalog.held(userId, theirs.id)).toEqual([])
  })

  test('a deny wins over roles, and an allow adds to them', async () => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addMember(tenant.id, 'Reader', 'Writer', 'Owner')
    await override(userId, tenant.id, reading, 'deny')
    expect(await catalog.held(userId, tenant.id)).toEqual(['notes:write'])
    const other = await catalog.addMember(tenant.id)
    await override(other, tenant.id, writing, 'allow')
    expect(await catalog.held(other, tenant.id)).toEqual(['notes:write'])
  })

  test('an inactive role and an inactive permission grant nothing, not even by a direct allow', async () => {
    const tenant = await catalog.addTenant()
    const permissionId = await catalog.addPermission('rare:read')
    await catalog.addRole(tenant.id, 'Rare', permissionId)
    const userId = await catalog.addMember(tenant.id, 'Rare')
    const direct = await catalog.addMember(tenant.id)
    await override(direct, tenant.id, permissionId, 'allow')
    expect(await catalog.held(userId, tenant.id)).toEqual(['rare:read'])
    await catalog.pool.query("update roles set is_active = false where name = 'Rare'")
    const member = await findMember(catalog.directory, userId, byId(tenant.id))
    expect(member?.grants).toEqual({ roles: [], permissionIds: [], changesAtMs: null })
    expect(await catalog.held(direct, tenant.id)).toEqual(['rare:read'])
    await catalog.pool.query("update permissions set is_active = false where name = 'rare:read'")
    expect(await catalog.held(direct, tenant.id)).toEqual([])
  })

  test('an expired override has no effect, and a temporary one shows when it ends', async () => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addMember(tenant.id, 'Reader')
    await override(userId, tenant.id, reading, 'deny', "now() - interval '1 second'")
    await override(userId, tenant.id, writing, 'allow', "'2100-01-01T00:00:00.0009Z'")
    const member = await findMember(catalog.directory, userId, byId(tenant.id))
    expect(member?.grants).toEqual({
      roles: ['Reader'],
      permissionIds: [reading, writing],
      changesAtMs: Date.UTC(2100, 0, 1),
    })
    await catalog.pool.query("update user_tenant_permissions set expires_at = 'infinity'")
    const forever = await findMember(catalog.directory, userId, byId(tenant.id))
    expect(forever?.grants).toMatchObject({ permissionIds: [writing], changesAtMs: null })
  })

  test('text that is given as a slug is treated as plain text', async () => {
    const userId = await catalog.addUser()
    expect(await findMember(catalog.directory, userId, bySlug("' or true --"))).toBeUndefined()
  })

  test('findMembers grants exactly what the rules grant, for random memberships', async () => {
    const tenant = await catalog.addTenant()
    const ids = [
      await catalog.addPermission('z:a'),
      await catalog.addPermission('z:b'),
      await catalog.addPermission('z:c'),
    ]
    const position = fc.integer({ min: 0, max: 2 })
    const policy = fc.record({
      inactive: fc.uniqueArray(position, { maxLength: 1 }),
      roles: fc.array(fc.record({ isActive: fc.boolean(), isHeld: fc.boolean(), grants: fc.uniqueArray(position) }), {
        maxLength: 3,
      }),
      overrides: fc.uniqueArray(
        fc.record({
          permission: position,
          effect: fc.constantFrom('allow', 'deny'),
          expires: fc.constantFrom('null', "now() - interval '1 h'", "now() + interval '1 h'"),
        }),
        { selector: (entry) => entry.permission },
      ),
    })
    let round = 0
    await fc.assert(
      fc.asyncProperty(policy, async ({ inactive, roles, overrides }) => {
        round += 1
        const names: string[] = []
        for (const [index, role] of roles.entries()) {
          const name = `Random ${round} ${index}`
          const id = await catalog.addRole(tenant.id, name, ...role.grants.map((grant) => ids[grant] as number))
          if (!role.isActive) await catalog.pool.query('update roles set is_active = false where id = $1', [id])
          if (role.isHeld) names.push(name)
        }
        await catalog.pool.query('update permissions set is_active = id <> all ($2) where id = any ($1)', [
          ids,
          inactive.map((index) => ids[index]),
        ])
        const userId = await catalog.addMember(tenant.id, ...names)
        for (const { permission, effect, expires } of overrides) {
          await override(userId, tenant.id, ids[permission] as number, effect, expires)
        }
        const expected = [0, 1, 2].filter((index) => {
          const direct = overrides.find((entry) => entry.permission === index && !entry.expires.includes('-'))
          const byRole = roles.some((role) => role.isActive && role.isHeld && role.grants.includes(index))
          return !inactive.includes(index) && direct?.effect !== 'deny' && (byRole || direct?.effect === 'allow')
        })
        const member = await findMember(catalog.directory, userId, byId(tenant.id))
        expect(member?.grants.permissionIds).toEqual(expected.map((index) => ids[index]))
      }),
      { numRuns: 60 },
    )
  })
})

/** Returns the id of the tenant of a request that names none, or the reason why there is none. */
async function defaultOf(userId: string): Promise<string> {
  const found = await catalog.directory.findDefaultMember(userId)
  return found.kind === 'member' ? found.member.tenant.id : found.kind
}

async function setStatus(tenantId: string, status: string): Promise<void> {
  await catalog.pool.query('update tenants set status = $2 where id = $1', [tenantId, status])
}

describe('findDefaultMember', () => {
  test('a user without memberships has no default tenant, and a single membership is the default', async () => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addUser()
    expect(await defaultOf(userId)).toBe('none')
    await catalog.join(userId, tenant.id, 'Reader')
    expect(await catalog.directory.findDefaultMember(userId)).toEqual({
      kind: 'member',
      member: await findMember(catalog.directory, userId, byId(tenant.id)),
    })
    await catalog.pool.query('update user_tenants set is_active = false where user_id = $1', [userId])
    expect(await defaultOf(userId)).toBe('none')
  })

  test('several memberships are ambiguous until one is the default, whatever its tenant’s status', async () => {
    const [one, two] = [await catalog.addTenant(), await catalog.addTenant()]
    const userId = await catalog.addMember(one.id)
    await catalog.join(userId, two.id)
    expect(await defaultOf(userId)).toBe('ambiguous')
    await catalog.pool.query('update user_tenants set is_default = true where user_id = $1 and tenant_id = $2', [
      userId,
      two.id,
    ])
    expect(await defaultOf(userId)).toBe(two.id)
    await setStatus(two.id, 'suspended')
    expect(await defaultOf(userId)).toBe(two.id)
    await setStatus(two.id, 'deleted')
    expect(await defaultOf(userId)).toBe(two.id)
  })

  test('a deleted tenant does not prevent another default tenant, and a suspended one is not skipped', async () => {
    const [one, two] = [await catalog.addTenant(), await catalog.addTenant()]
    const userId = await catalog.addMember(one.id)
    await catalog.join(userId, two.id)
    await setStatus(one.id, 'suspended')
    expect(await defaultOf(userId)).toBe('ambiguous')
    await setStatus(one.id, 'deleted')
    expect(await defaultOf(userId)).toBe(two.id)
    await setStatus(two.id, 'suspended')
    expect(await defaultOf(userId)).toBe(two.id)
  })
})

describe('readEpochs', () => {
  test('readEpochs answers in the order of the questions, with undefined for what does not exist', async () => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addUser()
    const nobody = '00000000-0000-4000-8000-000000000000'
    const rules = expect.any(Number)
    const of = { tenantId: tenant.id, tenant: expect.any(Number), rules, candidates: 0 }
    const none = { tenantId: undefined, tenant: undefined, rules, candidates: 0 }
    await catalog.join(userId, tenant.id)
    const user = (await catalog.directory.readEpochs([{ userId, tenant: undefined }]))[0]?.user
    expect(
      await catalog.directory.readEpochs([
        { userId, tenant: undefined },
        { userId: nobody, tenant: byId(nobody) },
        { userId, tenant: bySlug(tenant.slug) },
        { userId: nobody, tenant: byId(tenant.id) },
        { userId, tenant: bySlug('no-such-tenant') },
        { userId, tenant: 'default' },
        { userId, tenant: byId(tenant.id) },
        { userId: nobody, tenant: 'default' },
      ]),
    ).toEqual([
      { user, ...none },
      { user: undefined, ...none },
      { user, ...of },
      { user: undefined, ...none },
      { user, ...none },
      { user, ...of, candidates: 1 },
      { user, ...of },
      { user: undefined, ...none },
    ])
  })

  test('readEpochs gives the same answer for a tenant without the user as for one that does not exist', async () => {
    const [ours, theirs, left] = [await catalog.addTenant(), await catalog.addTenant(), await catalog.addTenant()]
    const userId = await catalog.addMember(ours.id, 'Reader')
    await catalog.addMember(theirs.id, 'Owner')
    await catalog.join(userId, left.id)
    await catalog.pool.query('update user_tenants set is_active = false where user_id = $1 and tenant_id = $2', [
      userId,
      left.id,
    ])
    const [none, ...others] = await catalog.directory.readEpochs(
      [bySlug('no-such-tenant'), bySlug(theirs.slug), byId(theirs.id), byId(left.id), bySlug(left.slug)].map(
        (tenant) => ({ userId, tenant }),
      ),
    )
    expect(none?.tenant).toBeUndefined()
    expect(others).toEqual([none, none, none, none])
  })

  test.each([false, true])(
    'readEpochs names the default tenant that findDefaultMember finds (required to be named: %s)',
    async (requireNamedTenant) => {
      const directory = createMemberDirectory(catalog.pool, { requireNamedTenant })
      const tenants = [await catalog.addTenant(), await catalog.addTenant(), await catalog.addTenant()]
      const userId = await catalog.addUser()
      const seen = new Set<string>()
      const compare = async () => {
        const [epochs] = await directory.readEpochs([{ userId, tenant: 'default' }])
        const found = await directory.findDefaultMember(userId)
        const kind = epochs?.tenantId !== undefined ? 'member' : (epochs?.candidates ?? 0) > 1 ? 'ambiguous' : 'none'
        expect([kind, epochs?.tenantId]).toEqual([
          found.kind,
          found.kind === 'member' ? found.member.tenant.id : undefined,
        ])
        if (found.kind === 'member') expect(epochs?.tenant).toBe(found.member.tenantEpoch)
        seen.add(kind)
      }
      await compare()
      const statuses = ['active', 'suspended', 'deleted']
      for (const [count, tenant] of tenants.entries()) {
        await catalog.join(userId, tenant.id)
        for (let index = 0; index < 3 ** (count + 1) * (count + 2); index += 1) {
          for (const [place, { id }] of tenants.slice(0, count + 1).entries()) {
            const status = statuses[Math.floor(index / 3 ** place) % 3]
            await catalog.pool.query('update tenants set status = $2 where id = $1', [id, status])
          }
          const marked = Math.floor(index / 3 ** (count + 1))
          await catalog.pool.query('update user_tenants set is_default = false where user_id = $1', [userId])
          await catalog.pool.query('update user_tenants set is_default = true where user_id = $1 and tenant_id = $2', [
            userId,
            tenants[marked - 1]?.id,
          ])
          await compare()
        }
      }
      expect(seen).toEqual(new Set(['none', 'member', 'ambiguous']))
    },
  )
})

test('a catalog that does not answer is an outage, and the error shows no SQL', async () => {
  const down = {
    query: () => Promise.reject(new Error('connect ECONNREFUSED secret-host')),
    connect: () => Promise.reject(new Error('connect ECONNREFUSED secret-host')),
  }
  const directory = createMemberDirectory(down)
  const asked = [
    findMember(directory, 'u', bySlug('x')),
    directory.findDefaultMember('u'),
    directory.readEpochs([{ userId: 'u', tenant: undefined }]),
    createRuleSetReader(down).readRuleSet(),
  ]
  for (const answer of asked) {
    await expect(answer).rejects.toMatchObject({
      code: 'TENANCY_CATALOG_UNAVAILABLE',
      statusCode: 503,
      message: expect.not.stringMatching(/select|secret/),
    })
  }
})

test('a member is found by the key of the membership, however many members the tenant has', async () => {
  const large = await createAccessCatalog()
  const client = await large.pool.connect()
  try {
    await client.query(`
      set session_replication_role = replica;
      insert into tenants (id, slug, name)
        select md5('tenant ' || n)::uuid, 'large-' || n, 'Large' from generate_series(1, 1000) n;
      insert into users (id, email) select md5('user ' || n)::uuid, 'large' || n || '@example.com' from generate_series(1, 5000) n;
      insert into user_tenants (user_id, tenant_id)
        select md5('user ' || n)::uuid, md5('tenant ' || (n + step) % 1000 + 1)::uuid
        from generate_series(1, 5000) n, generate_series(0, 1) step;
      set session_replication_role = origin;
      analyze`)
    let text = ''
    const watching = {
      query: (asked: string, values?: unknown[]) => {
        text = asked
        return large.pool.query(asked, values)
      },
      connect: () => large.pool.connect(),
    }
    const [tenantId, userId] = [randomUUID(), randomUUID()]
    await findMember(createMemberDirectory(watching), userId, byId(tenantId))
    // As on a connection that has asked often: one plan for every member.
    await client.query('set plan_cache_mode = force_generic_plan')
    await client.query(`prepare asked as ${text}`)
    const { rows } = await client.query<Record<string, string>>(
      `explain execute asked ('{${userId}}', '{${tenantId}}', '{null}')`,
    )
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(plan).toMatch(/Index Scan using user_tenants_pkey on user_tenants/)
    expect(plan).not.toMatch(/user_tenants_tenant_id_idx|Seq Scan on user_tenants\b/)
  } finally {
    client.release(true)
    await large.drop()
  }
})
