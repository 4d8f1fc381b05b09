import { hostname, userInfo } from 'node:os'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { AuditEntry, Tenant, User } from '../../src/index.js'
import { withAdmin } from '../support/server.js'
import { startNode } from '../support/processes/node-process.js'
import { commands as statsCommands } from '../../src/cli/stats.js'
import { type CliInstallation, createCliInstallation, program } from './installation-fixture.js'
import { problemsOfShape } from './shape-check.js'

let cli: CliInstallation
let tenant: Tenant
let eve: User
beforeAll(async () => {
  cli = await createCliInstallation({ TENANT_SEED_PROFILE: 'dev' })
  tenant = await cli.createTenant('acme')
  eve = await cli.tenancy.createUser({ email: 'eve@example.com', emailVerified: true })
  await cli.tenancy.addMember({ tenant: 'acme', user: eve.id })
})
afterAll(() => cli.drop())

const operator = `${userInfo().username}@${hostname()}`

describe('access', () => {
  test('a permission is explained with the roles that it comes through', async () => {
    expect(await cli.text('access', 'explain', 'acme', 'eve@example.com', 'notes:read')).toBe(
      'allowed\nnotes:read: granted\n  through Member\n',
    )
    await cli.tenancy.access.setOverride({ tenant: 'acme', user: eve.id, permission: 'notes:read', effect: 'deny' })
    expect(await cli.json('access', 'explain', 'acme', eve.id, 'notes:read')).toMatchObject({
      ...{ allowed: false, reason: 'denied' },
      permissions: [{ override: { effect: 'deny', expiresAt: null, isExpired: false } }],
    })
    expect(await cli.text('access', 'explain', 'acme', eve.id, 'nothing:read')).toContain('refused: no-permission')
  })

  test('a route is explained by its method and path', async () => {
    expect(await cli.json('access', 'explain', 'acme', 'dana@example.com', 'get', '/notes')).toMatchObject({
      ...{ allowed: true, reason: 'granted', rule: 'GET /notes' },
    })
    expect(await cli.json('access', 'explain', 'acme', 'dana@example.com', 'GET', '/nowhere')).toMatchObject({
      ...{ allowed: false, reason: 'no-rule' },
    })
  })

  test.each([
    [['access', 'explain', 'nobody', 'eve@example.com', 'notes:read'], 3],
    [['access', 'explain', 'acme', 'x@example.com', 'notes:read'], 3],
    [['access', 'explain', 'acme', 'eve@example.com'], 2],
    [['access', 'explain', 'acme', 'eve@example.com', 'GET', '/x', 'more'], 2],
    [['access', 'list', '--tenant', 'nobody'], 3],
  ])('%j is refused', async (words, exitCode) => {
    expect(await cli.failure(...words)).toMatchObject({ exitCode })
  })

  test('permissions, roles and rules are listed, with the roles of a tenant', async () => {
    await cli.tenancy.access.createRole({ tenant: 'acme', name: 'Clerk' })
    const all = await cli.json<{ roles: { name: string }[]; rules: object[] }>('access', 'list', '--tenant', 'acme')
    expect(all.roles.map(({ name }) => name)).toEqual(expect.arrayContaining(['Owner', 'Admin', 'Member', 'Clerk']))
    expect(all.rules.length).toBeGreaterThan(0)
    const text = await cli.text('access', 'list')
    expect(text).toContain('Member\tbuilt in\tactive\t')
    expect(text).not.toContain('Clerk')
  })
})

describe('audit', () => {
  test('entries are listed page by page, and those of a tenant apart', async () => {
    const first = await cli.json<{ entries: AuditEntry[]; next: number }>('audit', 'list', '--limit', '2')
    const second = await cli.json<{ entries: AuditEntry[] }>(
      'audit',
      'list',
      '--limit',
      '1',
      '--after',
      `${first.next}`,
    )
    expect([...first.entries, ...second.entries].map(({ seq }) => seq)).toEqual([1, 2, 3])
    await cli.text('tenant', 'suspend', 'acme')
    await cli.text('tenant', 'activate', 'acme')
    const lines = await cli.text('audit', 'list', '--tenant', 'acme')
    expect(lines).toContain(
      `tenant.suspend\ttenant:${tenant.id}\t${operator}\t{"status":"active"} -> {"status":"suspended"}`,
    )
    expect(await cli.failure('audit', 'list', '--tenant', 'nobody')).toMatchObject({ exitCode: 3 })
  })

  test('a log that was tampered with is not intact, and the exit code says so', async () => {
    expect(await cli.json('audit', 'verify')).toMatchObject({ isIntact: true, problems: [] })
    expect(await cli.text('audit', 'verify', '--tenant', 'acme')).toMatch(/^Intact: \d+ entries in 1 chain\n$/)
    await withAdmin(
      (client) =>
        client.query(
          `begin; set local session_replication_role = replica;
           update audit_log set subject = 'x' where tenant_id = '${tenant.id}' and seq = 2; commit`,
        ),
      cli.installation.catalogName,
    )
    const { code, stdout } = await cli.run(['audit', 'verify'])
    expect([code, stdout]).toEqual([1, expect.stringContaining(`${tenant.id}\t2\taltered\t`)])
    expect((await cli.run(['audit', 'verify', '--json'])).code).toBe(1)
  })
})

describe('keys rotate', () => {
  test('a new key is published beside the old one; withdrawing needs a confirmation', async () => {
    await cli.tenancy.issueAccessToken({ user: eve.id })
    const { keys } = await cli.json<{ keys: { kid: string }[] }>('keys', 'rotate')
    expect(keys).toHaveLength(2)
    expect(await cli.failure('keys', 'rotate', '--withdraw')).toMatchObject({ code: 'CLI_NOT_CONFIRMED', exitCode: 4 })
    const text = await cli.text('keys', 'rotate', '--withdraw', '--yes')
    expect(text).toContain('all earlier tokens have ended')
    for (const { kid } of keys) expect(text).not.toContain(kid)
    expect((await cli.tenancy.audit.list({ tenant: null, limit: 1000 })).at(-1)).toMatchObject({ operator })
  })
})

describe('stats', () => {
  test('what there is is counted, with the connections of tenants', async () => {
    await cli.tenancy.getTenantPool(tenant).query('select 1')
    expect(await cli.json('stats')).toMatchObject({
      tenants: { active: 1, suspended: 0, deleted: 0 },
      users: { enabled: 2, disabled: 0 },
      schema: { version: 1, behind: 0 },
      connections: [{ slug: 'acme', connections: 1, active: 0 }],
    })
    expect(await cli.text('stats')).toContain('Tenants\t1 active, 0 suspended, 0 deleted\n')
  })

  test('--watch goes on until it is interrupted, a document a line, and ends well', async () => {
    const child = startNode([program, 'stats', '--watch', '--interval', '1', '--json'], {
      cwd: cli.folder,
      env: { ...cli.installation.env },
    })
    await vi.waitFor(() => expect(child.stdout.split('\n').length).toBeGreaterThan(2), { timeout: 60_000 })
    child.kill('SIGINT')
    expect(await child.ended).toBe(0)
    for (const line of child.stdout.trimEnd().split('\n')) {
      expect(problemsOfShape(statsCommands[0]!.json, JSON.parse(line))).toEqual([])
    }
  })
})
