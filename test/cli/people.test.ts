import { decodeJwt } from 'jose'
import { hostname, userInfo } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MemberEntry, Tenant, User } from '../../src/index.js'
import { type CliInstallation, createCliInstallation } from './installation-fixture.js'

let cli: CliInstallation
let tenant: Tenant
let eve: User
beforeAll(async () => {
  cli = await createCliInstallation()
  tenant = await cli.createTenant('acme')
  eve = await cli.tenancy.createUser({ email: 'eve@example.com', name: 'Eve', emailVerified: true })
})
afterAll(() => cli.drop())

const operator = `${userInfo().username}@${hostname()}`
const lastOfInstallation = async () => (await cli.tenancy.audit.list({ tenant: null, limit: 1000 })).at(-1)

describe('user', () => {
  test('users are created, listed and found, once', async () => {
    const words = ['user', 'create', 'Fay@example.com', '--name', 'Fay', '--verified']
    expect(await cli.text(...words)).toMatch(/^Created the user fay@example\.com \([0-9a-f-]{36}\)\n$/)
    expect(await lastOfInstallation()).toMatchObject({ action: 'user.create', operator, actorId: null })
    expect(await cli.failure(...words)).toMatchObject({ code: 'TENANCY_USER_EXISTS', exitCode: 4 })
    expect(await cli.json('user', 'create', 'gus@example.com', '--actor', eve.id)).toMatchObject({
      user: { email: 'gus@example.com', emailVerified: false },
    })
    expect(await lastOfInstallation()).toMatchObject({ action: 'user.create', operator, actorId: eve.id })
    expect(await cli.failure('user', 'create', 'nobody')).toMatchObject({
      code: 'TENANCY_ACCOUNTS_EMAIL_INVALID',
      exitCode: 2,
    })
    expect((await cli.text('user', 'list')).split('\n').map((line) => line.split('\t')[0])).toEqual([
      ...['dana@example.com', 'eve@example.com', 'fay@example.com', 'gus@example.com', ''],
    ])
    const { users, next } = await cli.json<{ users: User[]; next: string }>(
      'user',
      'list',
      '--limit',
      '1',
      '--search',
      'fay',
    )
    expect([users.map(({ email }) => email), next]).toEqual([['fay@example.com'], 'fay@example.com'])
  })

  test('a user is disabled and enabled', async () => {
    expect(await cli.text('user', 'disable', 'eve@example.com')).toContain('Disabled eve@example.com')
    expect(await cli.json('user', 'list', '--disabled')).toMatchObject({ users: [{ id: eve.id }] })
    expect(await cli.json('user', 'enable', eve.id)).toMatchObject({ user: { disabledAt: null } })
    expect(await cli.json('user', 'disable', eve.id)).toMatchObject({ user: { disabledAt: expect.any(String) } })
    expect(await cli.text('user', 'enable', 'eve@example.com')).toBe('Enabled eve@example.com\n')
    expect(await cli.failure('user', 'disable', 'x@example.com')).toMatchObject({ exitCode: 3 })
    expect(await cli.failure('user', 'enable', tenant.id)).toMatchObject({
      code: 'TENANCY_USER_NOT_FOUND',
      exitCode: 3,
    })
  })

  test('a token is all that is written, and the audit log has its id alone', async () => {
    const token = await cli.text('user', 'token', 'eve@example.com', '--tenant', 'acme')
    expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    const { sub, jti } = decodeJwt(token.trim())
    expect(sub).toBe(eve.id)
    expect(await lastOfInstallation()).toMatchObject({
      action: 'token.issue',
      operator,
      after: { jti, tenant: tenant.id },
    })
    expect(await cli.json('user', 'token', eve.id)).toMatchObject({ expiresIn: expect.any(Number) })
    expect(await cli.failure('user', 'token', eve.id, '--tenant', 'nobody')).toMatchObject({ exitCode: 3 })
    expect(await cli.failure('user', 'token', 'x@example.com')).toMatchObject({ exitCode: 3 })
  })
})

describe('member', () => {
  test('a member is added, listed, given other roles, and removed', async () => {
    expect(await cli.text('member', 'add', 'acme', 'eve@example.com')).toBe(
      'Added eve@example.com to acme with Member\n',
    )
    expect(await cli.failure('member', 'add', 'acme', eve.id)).toMatchObject({
      code: 'TENANCY_MEMBER_EXISTS',
      exitCode: 4,
    })
    // Messages name people and tenants as they were typed.
    expect(await cli.failure('member', 'add', 'acme', 'eve@example.com')).toMatchObject({
      message: 'The user eve@example.com is in the tenant "acme" already',
    })
    expect(await cli.failure('member', 'role', 'acme', 'dana@example.com', '--remove', 'Owner')).toMatchObject({
      message: expect.stringContaining('The user dana@example.com is the last Owner of the tenant acme'),
    })
    expect(await cli.text('member', 'list', 'acme')).toContain('eve@example.com\tEve\tMember\tyes\t')
    expect(await cli.json('member', 'role', 'acme', 'eve@example.com', '--add', 'Admin', '--remove', 'Member')).toEqual(
      { tenantId: tenant.id, userId: eve.id, roles: ['Admin'] },
    )
    expect(await cli.text('member', 'role', 'acme', eve.id, '--remove', 'Admin')).toBe(
      `${eve.id} has no role in acme\n`,
    )
    const { members } = await cli.json<{ members: MemberEntry[] }>('member', 'list', tenant.id)
    expect(members.map(({ email }) => email).toSorted()).toEqual(['dana@example.com', 'eve@example.com'])
    expect(await cli.failure('member', 'remove', 'acme', eve.id)).toMatchObject({
      code: 'CLI_NOT_CONFIRMED',
      exitCode: 4,
    })
    expect(await cli.text('member', 'remove', 'acme', 'eve@example.com', '--yes')).toBe(
      'Removed eve@example.com from acme\n',
    )
    expect(await cli.json('member', 'add', 'acme', eve.id, '--role', 'Admin', '--role', 'Member')).toMatchObject({
      roles: ['Admin', 'Member'],
    })
    expect(await cli.json('member', 'remove', 'acme', eve.id, '--yes')).toEqual({
      removed: { tenantId: tenant.id, userId: eve.id },
    })
    expect((await cli.tenancy.audit.list({ tenant: 'acme', limit: 1000 })).at(-1)).toMatchObject({
      action: 'member.remove',
      operator,
    })
  })

  test.each([
    [['member', 'add', 'nobody', 'eve@example.com'], 'TENANCY_TENANT_NOT_FOUND', 3],
    [['member', 'add', 'acme', 'x@example.com'], 'TENANCY_USER_NOT_FOUND', 3],
    [['member', 'add', 'acme', 'eve@example.com', '--role', 'King'], 'TENANCY_ACCESS_ROLE_NOT_FOUND', 3],
    [['member', 'list', 'nobody'], 'TENANCY_TENANT_NOT_FOUND', 3],
    [['member', 'remove', 'acme', 'eve@example.com', '--yes'], 'TENANCY_MEMBER_NOT_FOUND', 3],
    [['member', 'remove', 'acme', 'dana@example.com', '--yes'], 'TENANCY_MEMBER_LAST_OWNER', 4],
    [['member', 'role', 'acme', 'dana@example.com', '--remove', 'Owner'], 'TENANCY_MEMBER_LAST_OWNER', 4],
    [['member', 'role', 'acme', 'dana@example.com'], 'CLI_USAGE', 2],
    [
      ['member', 'add', 'acme', 'fay@example.com', '--role', 'Owner', '--actor', 'gus@example.com'],
      'TENANCY_ACCESS_GRANT_REFUSED',
      4,
    ],
  ])('%j is refused with %s', async (words, code, exitCode) => {
    expect(await cli.failure(...words)).toMatchObject({ code, exitCode })
  })
})

describe('platform', () => {
  test('users are let in, listed, and shut out', async () => {
    expect(await cli.text('platform', 'grant', 'eve@example.com')).toBe(
      'eve@example.com may administer the installation\n',
    )
    expect(await lastOfInstallation()).toMatchObject({ action: 'platform.grant', operator, actorId: null })
    expect(await cli.json('platform', 'grant', 'dana@example.com', '--actor', eve.id)).toMatchObject({
      administrator: { userId: cli.owner.id, grantedBy: eve.id },
    })
    expect(await cli.text('platform', 'list')).toContain(`dana@example.com\tDana\t`)
    expect(await cli.json('platform', 'list', '--limit', '1')).toMatchObject({ next: expect.any(String) })
    expect(await cli.text('platform', 'revoke', 'dana@example.com')).toContain('no longer administers')
    expect(await cli.failure('platform', 'grant', 'dana@example.com', '--actor', cli.owner.id)).toMatchObject({
      code: 'TENANCY_ACCESS_GRANT_REFUSED',
      exitCode: 4,
    })
    expect(await cli.json('platform', 'revoke', eve.id)).toEqual({ revoked: { userId: eve.id } })
    expect(await cli.failure('platform', 'revoke', eve.id)).toMatchObject({ exitCode: 3 })
    expect(await cli.failure('platform', 'grant', 'x@example.com')).toMatchObject({ exitCode: 3 })
  })
})

describe('impersonation', () => {
  test('an operator sees who acts as a member, and ends it', async () => {
    const acme = await cli.tenancy.getTenant('acme')
    const administrator = await cli.tenancy.createUser({ email: 'ida@example.com', name: 'Ida', emailVerified: true })
    await cli.tenancy.grantPlatformRole({ user: administrator.id })
    const acting = { tenant: acme.id, user: cli.owner.id, minutes: 15, actor: administrator.id }
    const first = await cli.tenancy.startImpersonation({ ...acting, reason: 'Ticket 1' })
    const second = await cli.tenancy.startImpersonation({ ...acting, reason: 'Ticket 2' })
    const [shown, , end] = (await cli.text('impersonation', 'list', 'acme')).split('\n')
    expect(end).toBe('')
    expect(shown?.split('\t')).toEqual([
      ...[second.impersonation.id, 'Ida', cli.owner.id, expect.any(String), expect.any(String), 'Ticket 2'],
    ])
    const { next } = await cli.json('impersonation', 'list', 'acme', '--limit', '1')
    expect(next).toBe(second.impersonation.id)
    expect(await cli.json('impersonation', 'list', 'acme', '--after', second.impersonation.id)).toMatchObject({
      impersonations: [{ id: first.impersonation.id, endedAt: null, endedBy: null }],
    })

    const ask = () =>
      cli.tenancy.pipeline.handle({
        ...{ authorization: `Bearer ${first.token}`, tenantHeader: acme.id, host: undefined, pathTenant: undefined },
        needs: 'tenant',
      })
    expect(await ask()).toBeDefined()
    expect(await cli.text('impersonation', 'end', 'acme', first.impersonation.id)).toMatch(/ has ended at /)
    await expect(ask()).rejects.toMatchObject({ code: 'TENANCY_AUTH_TOKEN_INVALID' })
    expect((await cli.tenancy.audit.list({ tenant: 'acme', limit: 1000 })).at(-1)).toMatchObject({
      ...{ action: 'impersonation.end', operator, actorId: null },
    })
    expect(
      await cli.json('impersonation', 'end', 'acme', second.impersonation.id, '--actor', 'ida@example.com'),
    ).toMatchObject({ impersonation: { id: second.impersonation.id, endedBy: administrator.id } })
    expect(await cli.failure('impersonation', 'end', 'acme', eve.id)).toMatchObject({
      ...{ code: 'TENANCY_IMPERSONATION_NOT_FOUND', exitCode: 3 },
    })
    expect(await cli.failure('impersonation', 'end', 'acme', 'x')).toMatchObject({ exitCode: 2 })
    expect(await cli.failure('impersonation', 'list', 'nobody')).toMatchObject({ exitCode: 3 })
    expect(await cli.failure('impersonation', 'start', 'acme')).toMatchObject({ code: 'CLI_USAGE' })
  })
})
