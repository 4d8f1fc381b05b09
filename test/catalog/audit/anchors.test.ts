import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { keepAnchored } from '../../../src/catalog/audit/anchors.js'
import type { AuditProblem } from '../../../src/catalog/audit/verification.js'
import { type AuditLog, createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import { silentLogger } from '../../http/fixture.js'
import { createAccessCatalog, type AccessCatalog } from '../access/fixture.js'

let catalog: AccessCatalog
let audit: AuditLog
let admin: AccessAdministration
let tenant: string
let other: string

beforeEach(async () => {
  catalog = await createAccessCatalog()
  audit = createAuditLog(catalog.pool)
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  tenant = (await catalog.addTenant()).id
  other = (await catalog.addTenant()).id
})
afterEach(() => catalog.drop())

/** Writes like a superuser who wants to leave no trace: triggers and foreign key constraints do not run. */
async function tamper(text: string, values: unknown[] = []): Promise<void> {
  const client = await catalog.pool.connect()
  try {
    await client.query('begin; set local session_replication_role = replica')
    await client.query(text, values)
    await client.query('commit')
  } finally {
    client.release()
  }
}

/** Writes five entries of the tenant and one of another tenant. */
async function write(): Promise<void> {
  for (const name of ['A', 'B', 'C', 'D', 'E']) await admin.createRole({ tenant, name })
  await admin.createRole({ tenant: other, name: 'A' })
}

const idOf = async (seq: number) =>
  (await catalog.one<{ id: string }>('select id::text from audit_log where tenant_id = $1 and seq = $2', [tenant, seq]))
    .id

describe('anchors in the installation’s chain', () => {
  const anchorsOf = async (id: string) =>
    (
      await catalog.pool.query<{ after: { length: number; hash: string } }>(
        "select after from audit_log where tenant_id is null and action = 'audit.anchor' and subject = $1 order by seq",
        [`tenant:${id}`],
      )
    ).rows.map(({ after }) => after)
  const removeChain = async (id: string) => {
    await tamper('delete from audit_log where tenant_id = $1', [id])
    await tamper('delete from audit_chains where chain_id = $1', [id])
  }
  /** Deletes the last entries and adjusts the head, like an attacker who knows the format. */
  const cutOff = async (id: string, length: number) => {
    await tamper('delete from audit_log where tenant_id = $1 and seq > $2', [id, length])
    await tamper(
      `update audit_chains set length = $2, hash = coalesce((select hash from audit_log where tenant_id = $1 and seq = $2), '')
       where chain_id = $1`,
      [id, length],
    )
  }

  test('the chain of a purged tenant is anchored completely, its last entry included', async () => {
    await write()
    await catalog.pool.query(
      `with last as (insert into audit_log (tenant_id, action) values ($1, 'tenant.dropped')) delete from tenants where id = $1`,
      [tenant],
    )
    const head = await catalog.one<{ hash: string }>(
      "select encode(hash, 'hex') as hash from audit_chains where chain_id = $1",
      [tenant],
    )
    expect(await anchorsOf(tenant)).toEqual([{ length: 6, hash: head.hash }])
    expect(await audit.verify()).toMatchObject({ isIntact: true })
  })

  test('a purged tenant’s chain that is deleted together with its head is reported missing', async () => {
    await write()
    await catalog.pool.query('delete from tenants where id = $1', [tenant])
    await removeChain(tenant)
    const problem: AuditProblem = { tenantId: tenant, seq: 1, entryId: null, kind: 'truncated' }
    expect(await audit.verify()).toMatchObject({ isIntact: false, problems: [problem] })
    expect(await audit.verify({ tenant })).toMatchObject({ isIntact: false, problems: [problem] })
  })

  test('an active tenant’s chain that is cut off together with its head is reported shorter than its anchor', async () => {
    await write()
    expect(await audit.anchor()).toBeGreaterThanOrEqual(2)
    expect(await audit.anchor()).toBe(0)
    await admin.createRole({ tenant, name: 'F' })
    await cutOff(tenant, 5)
    // Entries after the last anchor cannot be reported as missing.
    expect(await audit.verify({ tenant })).toMatchObject({ isIntact: true })
    await cutOff(tenant, 3)
    expect((await audit.verify()).problems).toEqual([{ tenantId: tenant, seq: 4, entryId: null, kind: 'truncated' }])
    // The chain continues as if nothing had happened, so another entry now stands at the anchored place.
    for (const name of ['G', 'H', 'I']) await admin.createRole({ tenant, name })
    expect((await audit.verify()).problems).toEqual([
      { tenantId: tenant, seq: 5, entryId: await idOf(5), kind: 'altered' },
    ])
    expect(await audit.anchor()).toBeGreaterThanOrEqual(1)
    expect((await audit.verify({ tenant })).problems).toEqual([
      { tenantId: tenant, seq: 5, entryId: await idOf(5), kind: 'altered' },
    ])
  })

  test('the first bad place of a chain is reported, whether rows, head or anchor show it', async () => {
    await write()
    await audit.anchor()
    await cutOff(tenant, 4)
    await tamper("update audit_log set action = 'x' where tenant_id = $1 and seq = 2", [tenant])
    expect((await audit.verify()).problems).toEqual([
      { tenantId: tenant, seq: 2, entryId: await idOf(2), kind: 'altered' },
    ])
  })

  test('deleting anchors breaks the installation’s chain', async () => {
    await write()
    await audit.anchor()
    await admin.createPermission({ name: 'after:anchor' })
    await tamper("delete from audit_log where action = 'audit.anchor' and subject = $1", [`tenant:${tenant}`])
    expect((await audit.verify()).problems).toEqual([expect.objectContaining({ tenantId: null, kind: 'missing' })])
  })

  test('anchoring several times at once while others write loses nothing and anchors every chain', async () => {
    const roles = Array.from({ length: 10 }, (_, index) => `Role ${index}`)
    await Promise.all([
      ...roles.map((name) => admin.createRole({ tenant, name })),
      ...roles.map(() => audit.anchor()),
      ...roles.map((name) => admin.createRole({ tenant: other, name })),
    ])
    await audit.anchor()
    expect((await anchorsOf(tenant)).at(-1)?.length).toBe(10)
    expect((await anchorsOf(other)).at(-1)?.length).toBe(10)
    expect((await audit.verify({ tenant })).isIntact).toBe(true)
  })

  test('an entry that only looks like an anchor does no harm', async () => {
    for (const [subject, after] of [
      ['tenant:nobody', '{"length": 1, "hash": "00"}'],
      [null, 'null'],
      [`tenant:${tenant}`, '{"length": "many"}'],
      [`tenant:${tenant}`, '[]'],
    ]) {
      await catalog.pool.query("insert into audit_log (action, subject, after) values ('audit.anchor', $1, $2)", [
        subject,
        after,
      ])
    }
    await write()
    expect((await audit.verify({ tenant })).isIntact).toBe(true)
    expect(await audit.anchor()).toBeGreaterThanOrEqual(1)
  })
})

test('keepAnchored anchors the chains periodically until it is stopped', async () => {
  await write()
  const anchors = async () =>
    Number((await catalog.one<{ count: string }>("select count(*) from audit_log where action = 'audit.anchor'")).count)
  const end = keepAnchored({ catalog: catalog.pool, logger: silentLogger, intervalMs: 5 })
  await expect.poll(anchors).toBe(2)
  await admin.createRole({ tenant, name: 'F' })
  await expect.poll(anchors).toBe(3)
  await end()
  await admin.createRole({ tenant, name: 'G' })
  await end()
  expect(await anchors()).toBe(3)
})
