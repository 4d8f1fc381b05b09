import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Change, formatChange, parseChange } from '../../../src/cache/changes/change-message.js'
import { type AccessCatalog, createAccessCatalog } from '../../catalog/access/fixture.js'

let catalog: AccessCatalog
beforeAll(async () => {
  catalog = await createAccessCatalog()
})
afterAll(() => catalog.drop())

const epoch = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const membership = fc.record({ tenantId: fc.uuid(), hasEnded: fc.boolean() })
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.record(
    { kind: fc.constant('user' as const), id: fc.uuid(), epoch, membership },
    { requiredKeys: ['kind', 'id', 'epoch'] },
  ),
  fc.record({ kind: fc.constant('emptied' as const), id: fc.uuid(), epoch, tenantId: fc.uuid() }),
  fc.record({ kind: fc.constant('tenant' as const), id: fc.uuid(), epoch }),
  fc.record({ kind: fc.constant('rules' as const), epoch }),
  fc.record({ kind: fc.constant('keys' as const), timeMs: epoch }),
)

test('a change that is written as a message and read again is the same change', () => {
  fc.assert(
    fc.property(anyChange, (change) => {
      expect(parseChange(formatChange(change))).toEqual(change)
    }),
  )
})

test('a text with anything before, in or behind a message is no message', () => {
  fc.assert(
    fc.property(anyChange, fc.string({ minLength: 1 }), fc.nat(), (change, extra, at) => {
      const message = formatChange(change)
      const place = at % (message.length + 1)
      const text = message.slice(0, place) + extra + message.slice(place)
      const read = parseChange(text)
      // Digits that go on with an epoch make another message.
      if (read !== undefined) expect(formatChange(read).replaceAll(/\d+/g, '')).toBe(text.replaceAll(/\d+/g, ''))
    }),
  )
  const id = 'aaaaaaaa-0000-4000-8000-000000000000'
  const texts = ['', 'r:', 'r:1:', `t:${id}:1:${id}`, `t:${id}:1:${id}:ended`, `r:1:${id}`, `u:${id}:1::ended`]
  for (const text of [...texts, `u:${id}:1:empty`, `u:${id}:1:${id}:ended:empty`]) {
    expect([text, parseChange(text)]).toEqual([text, undefined])
  }
})

/** Makes changes in every table whose triggers announce changes. */
async function makeChanges(): Promise<void> {
  const sql = (text: string, ...values: unknown[]) => catalog.pool.query(text, values)
  const permission = await catalog.addPermission('a:read')
  await sql('insert into route_rules (method, path, permission_id) values ($1, $2, $3)', 'GET', '/a', permission)
  const { id: tenant } = await catalog.addTenant()
  const clerk = await catalog.addRole(tenant, 'Clerk', permission)
  const builtIn = await catalog.addRole(null, 'Auditor', permission)
  await sql('insert into role_inclusions (role_id, included_role_id) values ($1, $2)', clerk, builtIn)
  const user = await catalog.addMember(tenant, 'Clerk')
  const override = 'insert into user_tenant_permissions values ($1, $2, $3, $4)'
  await sql(override, user, tenant, permission, 'deny')
  await sql('delete from user_tenant_permissions')
  await sql('delete from user_tenant_roles where user_id = $1', user)
  await sql('update user_tenants set is_active = false where user_id = $1', user)
  await sql('update user_tenants set is_active = true where user_id = $1', user)
  await sql('update user_tenants set is_default = true where user_id = $1', user)
  await sql('delete from user_tenants where user_id = $1', user)
  await sql('insert into user_identities (user_id, issuer, subject) values ($1, $2, $3)', user, 'https://idp', 's')
  await sql('delete from user_identities')
  await sql('update users set disabled_at = now() where id = $1', user)
  await sql('update users set token_epoch = token_epoch + 1')
  await sql("update tenants set name = 'Other'")
  await sql("update tenants set status = 'suspended', suspended_at = now()")
  await sql(
    `insert into signing_keys (kid, algorithm, public_jwk, sealed_private_key) values ('k', 'EdDSA', '{}', '\\x00')`,
  )
  await sql('delete from signing_keys')
  await sql('truncate route_rules')
  await sql('delete from users where id = $1', user)
  await sql('delete from roles where name in ($1, $2)', 'Clerk', 'Auditor')
  await sql('delete from tenants where id = $1', tenant)
}

test('every message that the catalog’s triggers send or write down is read as the change that it stands for', async () => {
  const heard = await catalog.noticesOf(makeChanges)
  const { rows } = await catalog.pool.query<{ change: string }>('select change from access_changes order by id')
  const written = rows.map(({ change }) => change)
  const logged = heard.filter((message) => parseChange(message)?.kind !== 'emptied')
  expect(written.slice(-logged.length)).toEqual(logged)
  for (const message of [...written, ...heard]) {
    const change = parseChange(message)
    expect([message, change && formatChange(change)]).toEqual([message, message])
  }
  const kinds = heard.map(parseChange).map((change) => {
    if (change?.kind !== 'user' || change.membership === undefined) return change?.kind
    return change.membership.hasEnded ? 'membership that ended' : 'membership'
  })
  expect(new Set(kinds)).toEqual(
    new Set(['user', 'membership', 'membership that ended', 'emptied', 'tenant', 'rules', 'keys']),
  )
})
