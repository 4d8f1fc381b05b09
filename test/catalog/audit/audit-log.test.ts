import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import type { AuditProblem } from '../../../src/catalog/audit/verification.js'
import { type AuditLog, createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import { createTestCatalog } from '../../support/catalog.js'
import { createAccessCatalog, type AccessCatalog } from '../access/fixture.js'

let catalog: AccessCatalog
let audit: AuditLog
let admin: AccessAdministration
let tenant: string
let other: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  audit = createAuditLog(catalog.pool)
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  tenant = (await catalog.addTenant()).id
  other = (await catalog.addTenant()).id
})

/** Writes like a superuser who wants to leave no trace: triggers and foreign key constraints do not run. */
async function tamper(text: string, values: unknown[] = []): Promise<void> {
  const client = await catalog.pool.connect()
  try {
    await client.query('begin; set local session_replication_role = replica')
    const { rowCount } = await client.query(text, values)
    expect(rowCount === null || rowCount > 0).toBe(true)
    await client.query('commit')
  } finally {
    client.release()
  }
}

/** Writes five entries of the tenant and one of another tenant. */
async function write(): Promise<void> {
  for (const name of ['A', 'B', 'C', 'D', 'E']) await admin.createRole({ tenant, name, description: `“${name}” 🎉\n` })
  await admin.createRole({ tenant: other, name: 'A' })
}

const idOf = async (seq: number) =>
  (await catalog.one<{ id: string }>('select id::text from audit_log where tenant_id = $1 and seq = $2', [tenant, seq]))
    .id

describe('intact chains', () => {
  test('audit chains are intact after changes of several tenants and of the installation, and after raw inserts', async () => {
    await write()
    await admin.createPermission({ name: `p${Date.now()}:read` })
    await catalog.pool.query(
      `insert into audit_log (at, tenant_id, action, subject, before, after, actor_id)
       values ('2000-02-29 12:34:56.789012+13', $1, '', null, '{"b": 1.10, "a": [null, "ä\\u0001"]}', 'null', $2),
              ('-infinity'::timestamptz + '0', $1, 'x', '-', null, '"1:-"', null)`.replace(
        "'-infinity'::timestamptz + '0'",
        "'0044-03-15 BC'",
      ),
      [tenant, other],
    )
    const verification = await audit.verify()
    expect(verification).toMatchObject({ isIntact: true, problems: [] })
    expect(verification.entries).toBeGreaterThanOrEqual(9)
    expect(await audit.verify({ tenant })).toEqual({ isIntact: true, chains: 1, entries: 7, problems: [] })
    expect(await audit.verify({ tenant: null })).toMatchObject({ isIntact: true, chains: 1 })
  })

  test('audit chains are intact and without a gap after concurrent writes, and no tenant waits for another', async () => {
    const roles = Array.from({ length: 20 }, (_, index) => `Role ${index}`)
    await Promise.all(roles.flatMap((name) => [tenant, other].map((of) => admin.createRole({ tenant: of, name }))))
    expect(await audit.verify()).toMatchObject({ isIntact: true })
    expect((await audit.list({ tenant })).map(({ seq }) => seq)).toEqual(roles.map((_, index) => index + 1))

    const client = await catalog.pool.connect()
    try {
      await client.query('begin')
      await client.query("insert into audit_log (tenant_id, action) values ($1, 'held')", [tenant])
      await admin.createRole({ tenant: other, name: 'Not waiting' })
      await client.query('rollback')
    } finally {
      client.release()
    }
    expect(await audit.verify()).toMatchObject({ isIntact: true })
  })

  test('audit chains are intact after transactions that write many entries, roll some of them back or wait for each other', async () => {
    const clients = await Promise.all([catalog.pool.connect(), catalog.pool.connect()])
    const [first, second] = clients
    const add = (client: typeof first, action: string) =>
      client.query('insert into audit_log (tenant_id, action) values ($1, $3), ($2, $3), ($1, $3)', [
        tenant,
        other,
        action,
      ])
    try {
      await first.query('begin')
      await first.query('savepoint a')
      await add(first, 'taken back')
      await first.query('rollback to a')
      await add(first, 'one')
      await first.query('savepoint b')
      await add(first, 'taken back')
      await first.query('rollback to b')
      await first.query('set constraints all immediate')
      await add(first, 'two')
      await second.query('begin')
      const waiting = add(second, 'three')
      await Promise.race([waiting, catalog.untilSomebodyWaits()])
      await first.query('commit')
      await waiting
      await second.query('commit')
    } finally {
      for (const client of clients) client.release()
    }
    const actions = (await audit.list({ tenant })).map(({ seq, action }) => `${seq} ${action}`)
    expect(actions).toEqual(['1 one', '2 one', '3 two', '4 two', '5 three', '6 three'])
    expect(await audit.verify()).toMatchObject({ isIntact: true })
  })

  test('an audit chain outlives its tenant', async () => {
    await write()
    await catalog.pool.query('delete from tenants where id = $1', [tenant])
    expect(await audit.verify({ tenant })).toMatchObject({ isIntact: true, entries: 5 })
    expect(await audit.list({ tenant })).toHaveLength(5)
  })

  test('an audit chain longer than one batch is verified', async () => {
    await catalog.pool.query(
      `insert into audit_log (tenant_id, action) select case when n % 3 = 0 then $1 else $2 end::uuid, 'n' || n
       from generate_series(1, 3500) as n`,
      [tenant, other],
    )
    expect(await audit.verify()).toMatchObject({ isIntact: true })
    await tamper("update audit_log set action = 'm3300' where action = 'n3300'")
    expect(await audit.verify()).toMatchObject({ problems: [{ tenantId: tenant, seq: 1100, kind: 'altered' }] })
    await tamper("update audit_log set action = 'n3300' where action = 'm3300'")
  })
})

describe('plain SQL on the audit log', () => {
  test('plain SQL cannot change or delete audit entries or heads', async () => {
    await write()
    for (const text of [
      "update audit_log set action = 'x'",
      'delete from audit_log',
      'truncate audit_log',
      'update audit_chains set length = 0',
      'delete from audit_chains',
      'truncate audit_chains',
      'insert into audit_chains (chain_id) values (gen_random_uuid())',
    ]) {
      await expect(catalog.pool.query(text)).rejects.toMatchObject({ code: '0A000' })
    }
  })

  test('plain SQL cannot choose the place or the hash of the audit entry it inserts', async () => {
    await catalog.pool.query("insert into audit_log (tenant_id, action, seq, hash) values ($1, 'x', 77, 'forged')", [
      tenant,
    ])
    expect(await audit.list({ tenant })).toMatchObject([{ seq: 1, action: 'x' }])
    expect(await audit.verify({ tenant })).toMatchObject({ isIntact: true })
  })
})

describe('verification of chains changed with triggers off', () => {
  beforeEach(write)

  /** Returns the only problem that verification finds. It must concern the tenant, not the other one. */
  const onlyProblem = async () => {
    const { problems } = await audit.verify({ tenant })
    expect(problems).toHaveLength(1)
    expect((await audit.verify()).problems).toEqual(expect.arrayContaining([...problems]))
    expect(await audit.verify({ tenant: other })).toMatchObject({ isIntact: true })
    const { tenantId, ...problem } = problems[0] as AuditProblem
    expect(tenantId).toBe(tenant)
    return problem
  }

  test.each([
    ['actor_id', 'gen_random_uuid()'],
    ['action', "'role.delete'"],
    ['subject', "'role:nobody'"],
    ['subject', 'null'],
    ['before', `'{}'::jsonb`],
    ['after', 'after || \'{"name": "Z"}\''],
    ['at', "at + interval '1 microsecond'"],
    ['hash', "sha256('forged')"],
  ])('verification finds an entry whose %s became %s', async (column, value) => {
    await tamper(`update audit_log set ${column} = ${value} where tenant_id = $1 and seq = 3`, [tenant])
    expect(await onlyProblem()).toEqual({ seq: 3, entryId: await idOf(3), kind: 'altered' })
  })

  test('verification finds an altered entry whose own hash was recomputed, because the next entry does not follow it', async () => {
    await tamper("update audit_log set action = 'x' where tenant_id = $1 and seq = 3", [tenant])
    await tamper(
      `update audit_log as entry set hash = audit_hash((select hash from audit_log where tenant_id = $1 and seq = 2), seq, entry)
       where tenant_id = $1 and seq = 3`,
      [tenant],
    )
    expect(await onlyProblem()).toEqual({ seq: 4, entryId: await idOf(4), kind: 'altered' })
  })

  test('verification finds an altered last entry with a recomputed hash, because the head has another hash', async () => {
    await tamper("update audit_log set action = 'x' where tenant_id = $1 and seq = 5", [tenant])
    await tamper(
      `update audit_log as entry set hash = audit_hash((select hash from audit_log where tenant_id = $1 and seq = 4), seq, entry)
       where tenant_id = $1 and seq = 5`,
      [tenant],
    )
    expect(await onlyProblem()).toEqual({ seq: 5, entryId: null, kind: 'altered' })
  })

  test('verification finds an entry that was deleted, in the middle or at the start', async () => {
    await tamper('delete from audit_log where tenant_id = $1 and seq = 4', [tenant])
    expect(await onlyProblem()).toEqual({ seq: 4, entryId: null, kind: 'missing' })
    await tamper('delete from audit_log where tenant_id = $1 and seq = 1', [tenant])
    expect(await onlyProblem()).toEqual({ seq: 1, entryId: null, kind: 'missing' })
  })

  test('verification finds a deleted entry whose gap was closed', async () => {
    const id = await idOf(4)
    await tamper('delete from audit_log where tenant_id = $1 and seq = 3', [tenant])
    await tamper('update audit_log set seq = seq - 1 where tenant_id = $1 and seq = 4', [tenant])
    await tamper('update audit_log set seq = seq - 1 where tenant_id = $1 and seq = 5', [tenant])
    expect(await onlyProblem()).toEqual({ seq: 3, entryId: id, kind: 'altered' })
  })

  test('verification finds entries that were cut off at the end, one or all of them', async () => {
    await tamper('delete from audit_log where tenant_id = $1 and seq > 3', [tenant])
    expect(await onlyProblem()).toEqual({ seq: 4, entryId: null, kind: 'truncated' })
    await tamper('delete from audit_log where tenant_id = $1', [tenant])
    expect(await onlyProblem()).toEqual({ seq: 1, entryId: null, kind: 'truncated' })
  })

  test('verification finds entries that changed places', async () => {
    const id = await idOf(3)
    const swap = 'update audit_log set seq = $2 where tenant_id = $1 and seq = $3'
    for (const [from, to] of [
      [2, 99],
      [3, 2],
      [99, 3],
    ]) {
      await tamper(swap, [tenant, to, from])
    }
    expect(await onlyProblem()).toEqual({ seq: 2, entryId: id, kind: 'altered' })
  })

  test('verification finds entries that were inserted at the start, at the end or in place of another', async () => {
    const insert = `insert into audit_log (tenant_id, action, seq, hash) values ($1, 'x', $2, $3)`
    await tamper(insert, [tenant, 0, ''])
    expect(await onlyProblem()).toEqual({ seq: 0, entryId: await idOf(0), kind: 'altered' })
    await tamper('delete from audit_log where tenant_id = $1 and seq = 0', [tenant])
    await tamper(insert, [tenant, 6, ''])
    expect(await onlyProblem()).toEqual({ seq: 6, entryId: await idOf(6), kind: 'altered' })
    await tamper(
      `update audit_log as entry set hash = audit_hash((select hash from audit_log where tenant_id = $1 and seq = 5), seq, entry)
       where tenant_id = $1 and seq = 6`,
      [tenant],
    )
    expect(await onlyProblem()).toEqual({ seq: 6, entryId: await idOf(6), kind: 'unknown' })
  })

  test('verification finds an entry that was moved to another tenant', async () => {
    await tamper('update audit_log set tenant_id = $2, seq = 2 where tenant_id = $1 and seq = 5', [tenant, other])
    const { problems } = await audit.verify()
    expect(problems.filter(({ tenantId }) => tenantId === tenant)).toMatchObject([{ seq: 5, kind: 'truncated' }])
    expect(problems.filter(({ tenantId }) => tenantId === other)).toMatchObject([{ seq: 2, kind: 'altered' }])
    await tamper('update audit_log set tenant_id = $1, seq = 5 where tenant_id = $2 and seq = 2', [tenant, other])
    expect(await audit.verify({ tenant })).toMatchObject({ isIntact: true })
  })

  test('verification finds a head that was deleted, set back or replaced', async () => {
    await tamper('update audit_chains set length = 4 where chain_id = $1', [tenant])
    expect(await onlyProblem()).toEqual({ seq: 5, entryId: await idOf(5), kind: 'unknown' })
    await tamper("update audit_chains set length = 5, hash = '' where chain_id = $1", [tenant])
    expect(await onlyProblem()).toEqual({ seq: 5, entryId: null, kind: 'altered' })
    await tamper('delete from audit_chains where chain_id = $1', [tenant])
    expect(await onlyProblem()).toEqual({ seq: 5, entryId: null, kind: 'head-missing' })
    await tamper('delete from audit_log where tenant_id = $1', [tenant])
    expect(await onlyProblem()).toEqual({ seq: 1, entryId: null, kind: 'head-missing' })
  })

  test('verification finds that all entries were deleted', async () => {
    const all = await createAccessCatalog()
    try {
      await all.addTenant()
      await all.pool.query("insert into audit_log (action) values ('x')")
      await all.pool.query('alter table audit_log disable trigger user; alter table audit_chains disable trigger user')
      await all.pool.query('truncate audit_log')
      const emptied = createAuditLog(all.pool)
      expect((await emptied.verify()).problems).toMatchObject([{ tenantId: null, kind: 'truncated' }])
      await all.pool.query('truncate audit_chains')
      expect((await emptied.verify()).problems).toMatchObject([
        { tenantId: null, kind: 'head-missing' },
        { tenantId: expect.any(String), kind: 'head-missing' },
      ])
    } finally {
      await all.drop()
    }
  })
})

test('verification finds any one byte that differs in any field of any entry', async () => {
  await write()
  const columns = ['action', 'subject', "after ->> 'name'"]
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom(...columns),
      fc.string(),
      async (seq, column, text) => {
        const value = text.replaceAll('\0', '')
        const before = await catalog.one<{ action: string; subject: string; after: object; old: string }>(
          `select action, subject, after, ${column} as old from audit_log where tenant_id = $1 and seq = $2`,
          [tenant, seq],
        )
        const where = 'where tenant_id = $1 and seq = $2'
        const set = column.startsWith('after')
          ? "after = after || jsonb_build_object('name', $3::text)"
          : `${column} = $3`
        await tamper(`update audit_log set ${set} ${where}`, [tenant, seq, value])
        const { problems } = await audit.verify({ tenant })
        await tamper(`update audit_log set action = $3, subject = $4, after = $5 ${where}`, [
          tenant,
          seq,
          before.action,
          before.subject,
          before.after,
        ])
        expect(problems.map((problem) => problem.seq)).toEqual(value === before.old ? [] : [seq])
      },
    ),
    { numRuns: 40 },
  )
  expect(await audit.verify({ tenant })).toMatchObject({ isIntact: true })
})

describe('listing the audit log', () => {
  test('the audit log lists a tenant’s entries page by page, by id or slug, and the installation’s entries', async () => {
    await write()
    const { slug } = await catalog.one<{ slug: string }>('select slug from tenants where id = $1', [tenant])
    const first = await audit.list({ tenant: slug, limit: 2 })
    expect(first).toMatchObject([
      { seq: 1, tenantId: tenant, actorId: null, action: 'role.create', before: null, after: { name: 'A' } },
      { seq: 2, after: { name: 'B' } },
    ])
    expect(first[0]?.at).toBeInstanceOf(Date)
    expect((await audit.list({ tenant, after: 2 })).map(({ seq }) => seq)).toEqual([3, 4, 5])
    await admin.createPermission({ name: `q${Date.now()}:read` })
    const ofInstallation = await audit.list({ tenant: null, limit: 1000 })
    expect(ofInstallation.at(-1)).toMatchObject({ tenantId: null, action: 'permission.create' })
  })

  test('listing the audit log refuses text that names no tenant and pages without a valid size', async () => {
    await expect(audit.list({ tenant: 'nowhere' })).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
    await expect(audit.verify({ tenant: 'nowhere' })).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
    const wrong = [{}, { tenant, limit: 0 }, { tenant, limit: 1001 }, { tenant, after: -1 }, { tenant, after: 1.5 }]
    for (const options of wrong) {
      await expect(audit.list(options as never)).rejects.toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
    }
    expect(await audit.list({ tenant: '00000000-0000-4000-8000-000000000000' })).toEqual([])
  })
})

test('one statement that inserts entries of many chains links each chain in the order of the ids, and each chain can be anchored', async () => {
  const database = await createTestCatalog()
  try {
    await database.pool.query(
      `insert into tenants (id, slug, name) values (gen_random_uuid(), 'old-one', 'One'), (gen_random_uuid(), 'old-two', 'Two');
       insert into audit_log (tenant_id, action, after)
         select case n % 3 when 0 then (select id from tenants where slug = 'old-one') when 1 then gen_random_uuid() end,
           'old' || n, to_jsonb(n) from generate_series(1, 30) as n`,
    )
    await database.pool.query('select anchor_audit_chains()')
    const log = createAuditLog(database.pool)
    // The counts include an anchor of each tenant's chain.
    expect(await log.verify()).toEqual({ isIntact: true, chains: 12, entries: 41, problems: [] })
    expect((await log.list({ tenant: 'old-one' })).map(({ after }) => after)).toEqual([
      3, 6, 9, 12, 15, 18, 21, 24, 27, 30,
    ])
    await database.pool.query("insert into audit_log (action) values ('new')")
    expect(await log.verify()).toMatchObject({ isIntact: true, entries: 42 })
    await expect(database.pool.query('delete from audit_log')).rejects.toThrow(/append-only/)
  } finally {
    await database.drop()
  }
})
