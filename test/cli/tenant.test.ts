import { hostname, userInfo } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type CliInstallation, createCliInstallation } from './installation-fixture.js'

let cli: CliInstallation
beforeAll(async () => {
  cli = await createCliInstallation()
})
afterAll(() => cli.drop())

const operator = `${userInfo().username}@${hostname()}`
const lastEntry = async (tenant: string) => (await cli.tenancy.audit.list({ tenant, limit: 1000 })).at(-1)

describe('tenant create', () => {
  test('a tenant is created for an owner who is named by address, and the audit log names the operator', async () => {
    expect(await cli.text('tenant', 'create', 'acme', '--owner', 'Dana@example.com', '--name', 'Acme Ltd')).toMatch(
      /^Created the tenant acme \([0-9a-f-]{36}\)\n$/,
    )
    expect(await cli.tenancy.getTenant('acme')).toMatchObject({ name: 'Acme Ltd', createdBy: cli.owner.id })
    expect(await lastEntry('acme')).toMatchObject({ action: 'tenant.create', operator })
  })

  test('with --json it is written as it is', async () => {
    const { tenant } = await cli.json<{ tenant: Tenant }>(
      ...['tenant', 'create', 'json', '--owner', cli.owner.id],
      ...['--contact', 'a@b.example', '--max-users', '3'],
    )
    expect(tenant).toMatchObject({ slug: 'json', name: 'json', contactEmail: 'a@b.example', maxUsers: 3 })
  })

  test.each([
    [['tenant', 'create', 'no-owner'], 'CLI_USAGE', 2],
    [['tenant', 'create'], 'CLI_USAGE', 2],
    [['tenant', 'create', 'two', 'slugs', '--owner', 'dana@example.com'], 'CLI_USAGE', 2],
    [['tenant', 'create', 'acme-2', '--owner', 'dana@example.com', '--max-users', '0'], 'CLI_USAGE', 2],
    [['tenant', 'create', 'acme-2', '--owner', 'dana@example.com', '--nothing'], 'CLI_USAGE', 2],
    [['tenant', 'create', 'Not a slug', '--owner', 'dana@example.com'], 'TENANCY_TENANT_SLUG_INVALID', 2],
    [['tenant', 'create', 'admin', '--owner', 'dana@example.com'], 'TENANCY_TENANT_SLUG_RESERVED', 2],
    [['tenant', 'create', 'acme-2', '--owner', 'nobody@example.com'], 'TENANCY_USER_NOT_FOUND', 3],
    [['tenant', 'create', 'acme', '--owner', 'dana@example.com'], 'TENANCY_TENANT_SLUG_TAKEN', 4],
  ])('%j is refused with %s', async (words, code, exitCode) => {
    expect(await cli.failure(...words)).toMatchObject({ code, exitCode })
  })
})

describe('tenant list and show', () => {
  test('tenants are listed with tabs between their facts, and page by page', async () => {
    await cli.createTenant('first-page')
    const lines = (await cli.text('tenant', 'list')).trimEnd().split('\n')
    expect(lines.map((line) => line.split('\t')[0])).toEqual((await cli.tenancy.listTenants()).map(({ slug }) => slug))
    const first = await cli.json<{ tenants: Tenant[]; next: string }>('tenant', 'list', '--limit', '1')
    const second = await cli.json<{ tenants: Tenant[] }>('tenant', 'list', '--limit', '1', '--after', first.next)
    expect(first.next).toBe(first.tenants[0]!.id)
    expect(second.tenants[0]!.id).not.toBe(first.tenants[0]!.id)
  })

  test('only those of a status are listed', async () => {
    const { slug } = await cli.createTenant()
    await cli.tenancy.suspendTenant({ tenant: slug })
    const { tenants } = await cli.json<{ tenants: Tenant[] }>('tenant', 'list', '--status', 'suspended')
    expect(tenants.map((tenant) => tenant.slug)).toEqual([slug])
    expect(await cli.json('tenant', 'list', '--behind')).toEqual({ tenants: [], next: null })
    expect(await cli.failure('tenant', 'list', '--status', 'gone')).toMatchObject({ code: 'CLI_USAGE' })
    expect(await cli.failure('tenant', 'list', '--after', 'no id')).toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
  })

  test('one is shown by slug or id, with its owners', async () => {
    const { slug, id } = await cli.createTenant()
    expect(await cli.text('tenant', 'show', slug)).toContain(`Id\t${id}\n`)
    expect(await cli.json('tenant', 'show', id)).toMatchObject({ tenant: { slug }, owners: ['dana@example.com'] })
    expect(await cli.failure('tenant', 'show', 'nobody')).toMatchObject({
      code: 'TENANCY_TENANT_NOT_FOUND',
      exitCode: 3,
    })
  })
})

describe('tenant update and rename', () => {
  test('name, contact and limit are changed and taken away', async () => {
    const { slug } = await cli.createTenant()
    expect(await cli.text('tenant', 'update', slug, '--name', 'New name', '--max-users', '5')).toContain('New name')
    expect(await cli.json('tenant', 'update', slug, '--contact', 'a@b.example')).toMatchObject({
      tenant: { name: 'New name', maxUsers: 5, contactEmail: 'a@b.example' },
    })
    expect(await cli.json('tenant', 'update', slug, '--contact', 'none', '--max-users', 'none')).toMatchObject({
      tenant: { maxUsers: null, contactEmail: null },
    })
    expect(await lastEntry(slug)).toMatchObject({ action: 'tenant.update', operator })
    expect(await cli.failure('tenant', 'update', slug)).toMatchObject({ code: 'CLI_USAGE' })
    expect(await cli.failure('tenant', 'update', slug, '--contact', 'x')).toMatchObject({ exitCode: 2 })
    expect(await cli.failure('tenant', 'update', 'nobody', '--name', 'x')).toMatchObject({ exitCode: 3 })
  })

  test('a tenant gets another slug', async () => {
    const { slug, id } = await cli.createTenant()
    expect(await cli.text('tenant', 'rename', slug, `${slug}-b`)).toBe(`Renamed ${slug} to ${slug}-b\n`)
    expect(await cli.json('tenant', 'rename', id, `${slug}-c`)).toMatchObject({ formerSlug: `${slug}-b` })
    expect(await cli.failure('tenant', 'rename', id, 'acme')).toMatchObject({
      code: 'TENANCY_TENANT_SLUG_TAKEN',
      exitCode: 4,
    })
    // The former slug names the tenant still.
    expect(await cli.json('tenant', 'rename', slug, slug)).toMatchObject({ formerSlug: `${slug}-c` })
    expect(await cli.failure('tenant', 'rename', 'nobody', 'other')).toMatchObject({ exitCode: 3 })
  })
})

describe('tenant labels', () => {
  test('labels are added, taken away, shown, and found by', async () => {
    const { slug } = await cli.createTenant()
    expect(await cli.text('tenant', 'labels', slug)).toBe(`${slug}\tno labels\n`)
    expect(await cli.text('tenant', 'labels', slug, '--add', 'eu', '--add', 'beta')).toBe(`${slug}\tbeta, eu\n`)
    expect(await lastEntry(slug)).toMatchObject({ operator })
    expect(await cli.json('tenant', 'labels', slug, '--remove', 'eu')).toMatchObject({ tenant: { labels: ['beta'] } })
    expect(await cli.json('tenant', 'list', '--label', 'beta')).toMatchObject({ tenants: [{ slug }] })
    expect(await cli.failure('tenant', 'labels', slug, '--add', 'no label')).toMatchObject({ exitCode: 2 })
    expect(await cli.failure('tenant', 'labels', 'nobody')).toMatchObject({ exitCode: 3 })
  })
})

describe('the life of a tenant', () => {
  test('suspended and activated', async () => {
    const { slug } = await cli.createTenant()
    expect(await cli.text('tenant', 'suspend', slug)).toBe(`Suspended ${slug}\n`)
    expect(await cli.failure('tenant', 'suspend', slug)).toMatchObject({
      code: 'TENANCY_TENANT_STATE_CONFLICT',
      exitCode: 4,
    })
    expect(await cli.json('tenant', 'activate', slug)).toMatchObject({ tenant: { status: 'active' } })
    expect(await cli.failure('tenant', 'activate', 'nobody')).toMatchObject({ exitCode: 3 })
    expect(await cli.json('tenant', 'suspend', slug)).toMatchObject({ tenant: { status: 'suspended' } })
    expect(await cli.text('tenant', 'activate', slug)).toBe(`Activated ${slug}\n`)
  })

  test('what destroys is refused where nobody can be asked, and nothing is changed', async () => {
    const { slug } = await cli.createTenant()
    const refused = { code: 'CLI_NOT_CONFIRMED', exitCode: 4 }
    const { code, stdout, stderr } = await cli.run(['tenant', 'delete', slug])
    expect([code, stdout]).toEqual([4, ''])
    expect(stderr).toContain('pass --yes')
    expect(stderr).toContain('dropped after 30 days')
    expect(await cli.failure('tenant', 'delete', slug)).toMatchObject(refused)
    expect(await cli.tenancy.getTenant(slug)).toMatchObject({ status: 'active' })
    await cli.tenancy.deleteTenant({ tenant: slug })
    expect(await cli.failure('tenant', 'purge', slug)).toMatchObject(refused)
    expect(await cli.tenancy.getTenant(slug)).toMatchObject({ status: 'deleted' })
  })

  test('deleted, brought back, and erased', async () => {
    const { slug, id } = await cli.createTenant()
    expect(await cli.failure('tenant', 'purge', slug, '--yes')).toMatchObject({
      code: 'TENANCY_TENANT_STATE_CONFLICT',
      exitCode: 4,
    })
    const { keptUntil } = await cli.json<{ keptUntil: string }>('tenant', 'delete', slug, '--yes')
    expect(Date.parse(keptUntil) - Date.now()).toBeGreaterThan(29 * 86_400_000)
    expect(await cli.failure('tenant', 'delete', slug, '--yes')).toMatchObject({ exitCode: 4 })
    expect(await cli.json('tenant', 'undelete', slug)).toMatchObject({ tenant: { status: 'active' } })
    expect(await cli.failure('tenant', 'undelete', slug)).toMatchObject({ exitCode: 4 })
    expect(await cli.text('tenant', 'delete', slug, '--yes')).toContain(`Deleted ${slug}; its data is kept until`)
    expect(await cli.text('tenant', 'undelete', slug)).toBe(`Undeleted ${slug}; it is active\n`)
    await cli.text('tenant', 'delete', slug, '--yes')
    expect(await cli.json('tenant', 'purge', slug, '--yes')).toEqual({ purged: { id, slug } })
    expect(await cli.failure('tenant', 'purge', slug, '--yes')).toMatchObject({ exitCode: 3 })
    expect((await cli.tenancy.audit.list({ tenant: id, limit: 1000 })).map(({ action }) => action)).toEqual([
      ...['tenant.create', 'tenant.delete', 'tenant.undelete'],
      ...['tenant.delete', 'tenant.undelete', 'tenant.delete', 'tenant.purge', 'tenant.dropped'],
    ])
  })

  test('--actor is in the audit log, and an unknown one is refused before anything is done', async () => {
    const { slug } = await cli.createTenant()
    await cli.text('tenant', 'suspend', slug, '--actor', 'dana@example.com')
    expect(await lastEntry(slug)).toMatchObject({ action: 'tenant.suspend', actorId: cli.owner.id, operator })
    expect(await cli.failure('tenant', 'activate', slug, '--actor', 'x@example.com')).toMatchObject({ exitCode: 3 })
    expect(await cli.tenancy.getTenant(slug)).toMatchObject({ status: 'suspended' })
  })
})
