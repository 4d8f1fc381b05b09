import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'

let installation: Installation
let tenancy: Tenancy
let folder: string
let inputs: Readonly<Record<string, Readonly<Record<string, unknown>>>>

beforeAll(async () => {
  installation = createInstallation({ TENANT_READY_DATABASES: '0' })
  folder = await mkdtemp(join(tmpdir(), 't2f-exports-'))
  tenancy = await installation.open({ exports: { folder } })
  const user = (await tenancy.createUser({ email: 'ada@example.com', emailVerified: true })).id
  const tenant = (await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: user })).id
  inputs = inputsOf(tenant, user)
})
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

/** A valid input with every key, for each function that takes an object. */
function inputsOf(tenant: string, user: string): typeof inputs {
  const change = { tenant, actor: user }
  const member = { tenant, user, actor: user }
  const identity = { issuer: 'https://login.example.com', subject: 'x' }
  const role = { tenant, role: 'Clerk', actor: user }
  const page = { after: user, limit: 1 }
  const rule = { method: 'GET', path: '/x', permission: 'x:read', actor: user }
  return {
    createTenant: {
      name: 'Other',
      slug: 'other',
      owner: user,
      contactEmail: 'a@b.example',
      maxUsers: 1,
      labels: ['a'],
      actor: user,
    },
    listTenants: { status: 'active', behind: true, label: 'a', ...page },
    searchTenants: { search: 'a', statuses: ['active'], label: 'a', ...page },
    isSlugAvailable: { slug: 'other' },
    releaseSlug: { slug: 'other', actor: user },
    updateTenant: { ...change, name: 'Other', contactEmail: 'a@b.example', maxUsers: 5 },
    renameTenant: { ...change, slug: 'other' },
    setTenantLabels: { tenant, labels: ['a'], actor: user },
    getTenantSettings: { tenant },
    showTenantSettings: { tenant },
    updateTenantSettings: { ...change, changes: { a: 1 }, expectedVersion: 0 },
    suspendTenant: change,
    reactivateTenant: change,
    deleteTenant: change,
    undeleteTenant: change,
    purgeTenant: change,
    addMember: { ...member, roles: ['Member'], isDefault: true },
    removeMember: member,
    setMemberActive: { ...member, isActive: true },
    setDefaultTenant: member,
    listMembers: { tenant, ...page },
    searchMembers: { tenant, search: 'x', status: 'active', role: 'Member', ...page },
    getMember: { tenant, user },
    updateMember: { ...member, position: 'x', department: 'x', attributes: { a: 1 }, version: 'x' },
    leaveTenant: { tenant, user },
    offerOwnership: { tenant, from: user, to: tenant, keep: 'Admin' },
    acceptOwnership: { tenant, user },
    declineOwnership: { tenant, user },
    withdrawOwnership: change,
    createInvitation: { ...change, email: 'a@b.example', roles: ['Member'], expiresInSeconds: 3600 },
    listInvitations: { tenant, ...page },
    resendInvitation: { ...change, invitation: user, expiresInSeconds: 3600 },
    withdrawInvitation: { ...change, invitation: user },
    findInvitation: { token: 'x' },
    acceptInvitation: { token: 'x', user },
    createServiceAccount: { ...change, name: 'A' },
    listServiceAccounts: { tenant, ...page },
    updateServiceAccount: { ...change, serviceAccount: user, name: 'A', isActive: true },
    deleteServiceAccount: { ...change, serviceAccount: user },
    createApiKey: {
      ...change,
      serviceAccount: user,
      name: 'K',
      permissions: ['notes:read'],
      expiresAt: new Date('2999-01-01'),
    },
    listApiKeys: { tenant, serviceAccount: user, ...page },
    updateApiKey: {
      ...change,
      apiKey: user,
      name: 'K',
      permissions: ['notes:read'],
      expiresAt: new Date('2999-01-01'),
    },
    rotateApiKey: { ...change, apiKey: user, overlapSeconds: 60 },
    revokeApiKey: { ...change, apiKey: user },
    startImpersonation: { ...member, reason: 'Ticket', minutes: 5 },
    endImpersonation: { ...change, impersonation: user },
    listImpersonations: { tenant, ...page },
    listOwnInvitations: { user, ...page },
    acceptOwnInvitation: { invitation: user, user },
    declineInvitation: { invitation: user, user },
    listSessions: { user, after: user, limit: 1 },
    endSession: { user, session: user, actor: user },
    endOtherSessions: { user, session: user, actor: user },
    addDomain: { ...change, host: 'a.example.org' },
    verifyDomain: { ...change, domain: user },
    listDomains: { tenant, ...page },
    removeDomain: { ...change, domain: user },
    isProvenHost: { host: 'a.example.org' },
    addEmailDomain: { ...change, domain: 'example.org', roles: ['Member'] },
    verifyEmailDomain: { ...change, domain: user },
    listEmailDomains: { tenant, ...page },
    updateEmailDomain: { ...change, domain: user, roles: ['Member'] },
    removeEmailDomain: { ...change, domain: user },
    listJoinableTenants: { user },
    joinTenant: { tenant: user, user },
    createUser: { email: 'b@example.com', name: 'B', emailVerified: true, actor: user },
    listUsers: { search: 'x', disabled: true, after: 'a@b.example', limit: 1 },
    grantPlatformRole: { user, actor: user },
    revokePlatformRole: { user, actor: user },
    listPlatformAdministrators: page,
    findUserByIdentity: identity,
    linkIdentity: { ...identity, user, actor: user },
    unlinkIdentity: { ...identity, user, actor: user, allowLast: true },
    updateUser: { user, name: 'A', image: 'https://a.example/a.png', actor: user },
    deleteUser: { user, actor: user },
    disableUser: { user, actor: user },
    enableUser: { user, actor: user },
    revokeUserTokens: { user, actor: user },
    issueAccessToken: { user, tenant, actor: user },
    rotateSigningKeys: { withdraw: true, actor: user },
    runWithTenant: { tenant },
    withLock: { name: 'x', timeoutMs: 0, signal: new AbortController().signal },
    onEvent: { name: 'x', events: ['tenant.created'], from: 'start' },
    activity: { withQueries: true },
    backup: {
      ...{ tenant, to: '/dev/null/nowhere', encryptTo: 'age1', method: 'copy', actor: user },
      ...{ onProgress: () => undefined, signal: new AbortController().signal, allowDeleted: true },
    },
    startTenantExport: { ...change, encryptTo: ['age1x'], expiresInSeconds: 60 },
    listTenantExports: { tenant, ...page },
    getTenantExport: { ...change, export: user },
    deleteTenantExport: { ...change, export: user },
    openTenantExport: { ...change, export: user },
    restore: {
      ...{
        from: '/dev/null/nowhere',
        tenant,
        identity: 'x',
        allowOtherTenant: true,
        allowUnsigned: true,
        keepDays: 1,
        actor: user,
      },
      ...{ onProgress: () => undefined, signal: new AbortController().signal },
    },
    swapBack: { tenant, keepDays: 1, actor: user },
    adoptDatabase: {
      ...{
        database: 'x',
        slug: 'other',
        name: 'Other',
        owner: user,
        schema: '0001_notes.sql',
        installation: user,
        actor: user,
      },
    },
    'fleet.migrate': {
      tenants: [tenant],
      label: 'a',
      canary: 1,
      parallelism: 1,
      stopAfter: 1,
      dryRun: true,
      verify: true,
      lockTimeoutMs: 1,
      estimate: { tenants: 1, ms: 1 },
      statementTimeoutMs: 1,
      actor: user,
    },
    'fleet.rehearse': {
      ...{ tenants: 1, sampleAboveBytes: 1_000_000, parallelism: 1, signal: new AbortController().signal, actor: user },
      ...{ onResult: () => undefined, onProgress: () => undefined },
    },
    'fleet.revert': {
      ...{ last: 1, tenants: [tenant], label: 'a', canary: 1, stopAfter: 1, lockTimeoutMs: 100 },
      ...{ statementTimeoutMs: 100, actor: user },
    },
    'fleet.acceptChecksum': {
      ...{ migration: '0001_notes.sql', tenants: [tenant], label: 'a', parallelism: 1, stopAfter: 1, actor: user },
    },
    'fleet.status': { limit: 1 },
    'fleet.seed': {
      ...{ tenants: [tenant], label: 'a', profile: 'dev', canary: 1, parallelism: 1, stopAfter: 1 },
      ...{ statementTimeoutMs: 1, actor: user },
    },
    'fleet.exec': {
      ...{ sql: 'select 1', params: [1], write: true, statementTimeoutMs: 1, maxRows: 1 },
      ...{ tenants: [tenant], label: 'a', canary: 1, parallelism: 1, stopAfter: 1, actor: user },
    },
    'fleet.check': {
      ...{ tenants: [tenant], label: 'a', parallelism: 1, anyVersion: true, signal: new AbortController().signal },
      onResult: () => undefined,
    },
    'audit.list': {
      ...{ tenant, after: 0, limit: 1, action: 'role.', by: user },
      ...{ from: new Date(0), to: new Date() },
    },
    'audit.export': {
      ...{ tenant, after: 0, action: 'role.', by: user, from: new Date(0), to: new Date() },
    },
    'audit.verify': { tenant },
    'audit.record': { tenant, action: 'app.note.read', subject: 'note:1', data: { pages: 1 }, actor: user },
    'access.assignRole': { ...member, role: 'Admin' },
    'access.unassignRole': { ...member, role: 'Admin' },
    'access.setMemberRoles': { ...member, roles: ['Admin'] },
    'access.setOverride': { ...member, permission: 'x:read', effect: 'deny', expiresAt: new Date(Date.now() + 60_000) },
    'access.clearOverride': { ...member, permission: 'x:read' },
    'access.listOverrides': { tenant, user },
    'access.createRole': { tenant, name: 'Clerk', description: 'x', actor: user },
    'access.updateRole': { ...role, name: 'Clerks', description: 'x', isActive: true, version: 'x' },
    'access.setRoleActive': { ...role, isActive: false },
    'access.deleteRole': role,
    'access.grantPermission': { ...role, permission: 'x:read' },
    'access.revokePermission': { ...role, permission: 'x:read' },
    'access.includeRole': { ...role, included: 'Member' },
    'access.excludeRole': { ...role, included: 'Member' },
    'access.listRoles': { tenant, after: 'Admin', limit: 1 },
    'access.getRole': { tenant, role: 'Admin' },
    'access.listPermissions': { name: 'x:read', after: 'a:read', limit: 1 },
    'access.listRouteRules': { after: { method: 'GET', path: '/x', permission: 'x:read' }, limit: 1 },
    'access.createPermission': { name: 'x:read', description: 'x', category: 'y', actor: user },
    'access.updatePermission': { permission: 'x:read', description: 'x', category: 'y', actor: user },
    'access.setPermissionActive': { permission: 'x:read', isActive: false, actor: user },
    'access.createCategory': { name: 'y', description: 'x', actor: user },
    'access.updateCategory': { category: 'y', name: 'z', description: 'x', actor: user },
    'access.deleteCategory': { category: 'y', actor: user },
    'access.createRouteRule': rule,
    'access.setRouteRuleActive': { ...rule, isActive: false },
    'access.deleteRouteRule': rule,
    'access.isDefined': { kind: 'role', name: 'Clerk' },
    'access.effectivePermissions': { tenant, user },
    'access.explain': { tenant, user, permission: 'x:read' },
  }
}

/** Functions that take only a tenant or a user, as text. */
const alone = [
  'getTenant',
  'findTenant',
  'getTenantUsage',
  'getUser',
  'initializeTenantSchema',
  'listMemberships',
  'listIdentities',
  'findUserByEmail',
  'findOwnershipOffer',
]
/** Functions whose properties are all optional: they can be called without an object. */
const withoutInput = [
  'listTenants',
  'searchTenants',
  'listUsers',
  'listPlatformAdministrators',
  'rotateSigningKeys',
  'activity',
  'audit.verify',
  'access.listPermissions',
  'access.listRouteRules',
  'fleet.migrate',
  'fleet.rehearse',
  'fleet.status',
  'fleet.check',
  'fleet.seed',
]
/** Functions that take nothing, and those that take a result of an earlier call or request: a tenant, a member. */
const others = [
  ...[
    'jwks',
    'clientAddress',
    'createTenantDatabase',
    'fillStock',
    'reconcile',
    'accountsHost',
    'platformTokens',
    'stats',
    'health',
    'close',
  ],
  'summary',
  'fleet.lastRehearsal',
  ...['audit.anchor', 'access.listCategories'],
  ...['getTenantPool', 'can', 'permissionsOf'],
]

type AnyFunction = (...values: unknown[]) => Promise<unknown>

function functionOf(name: string): AnyFunction {
  const [key = '', inner] = name.split('.')
  const found = (tenancy as unknown as Record<string, unknown>)[key]
  return (inner === undefined ? found : (found as Record<string, unknown>)[inner]) as AnyFunction
}

const callback = () => 'called'

/** Returns the error of a call. An error that is thrown synchronously, not by the promise, fails the test. */
async function refusal(name: string, input: unknown): Promise<{ code: string; message: string }> {
  const answer = functionOf(name)(input, callback)
  return answer.then(
    (value) => ({ code: 'none', message: `${name} answered ${JSON.stringify(value)}` }),
    (error: { code?: string; message: string }) => ({ code: String(error.code), message: error.message }),
  )
}

const codesOf = (name: string) =>
  name === 'createTenant' ? /^TENANCY_(REQUEST|TENANT_INPUT|TENANT_SLUG)_INVALID$/ : /^TENANCY_REQUEST_INVALID$/

async function expectRefusal(name: string, input: unknown, named: string): Promise<void> {
  const { code, message } = await refusal(name, input)
  expect(code, message).toMatch(codesOf(name))
  expect(message).toContain(named)
}

/** Returns values of every type except the value's own type. */
function valuesUnlike(value: unknown): fc.Arbitrary<unknown> {
  const wrong = [42, 1n, true, 'text', Symbol('x'), { id: 'x' }, ['text'], () => 1, new Date()]
  const kind = (one: unknown) => Object.prototype.toString.call(one)
  return fc.constantFrom(...wrong.filter((one) => kind(one) !== kind(value)))
}

const anyFunction = fc.constantFrom(...Object.keys(inputsOf('', '')))
const written = async () => (await tenancy.audit.verify()).entries

test('every function of tenancy is covered by this test', () => {
  const { access, audit, fleet, pipeline: _pipeline, rules: _rules, config: _config, ...rest } = tenancy
  const names = (of: object, prefix = '') =>
    Object.entries(of)
      .filter(([, value]) => typeof value === 'function')
      .map(([name]) => prefix + name)
  const all = [...names(rest), ...names(access, 'access.'), ...names(audit, 'audit.'), ...names(fleet, 'fleet.')]
  expect([...Object.keys(inputs), ...alone, ...others].toSorted()).toEqual(all.toSorted())
})

test('a function that takes an object refuses anything else, several values included, and says what it takes', async () => {
  const before = await written()
  const noObject = fc.oneof(
    fc.constantFrom(undefined, null),
    fc.string(),
    fc.integer(),
    fc.bigInt(),
    fc.boolean(),
    fc.array(fc.string()),
    fc.constantFrom(Symbol('x'), () => 1),
  )
  await fc.assert(
    fc.asyncProperty(anyFunction, noObject, async (name, value) => {
      if (value === undefined && withoutInput.includes(name)) return
      const [first = ''] = Object.keys(inputs[name]!)
      await expectRefusal(name, value, 'expected one object { ')
      await expectRefusal(name, value, first)
    }),
    { numRuns: 500 },
  )
  expect(await written()).toBe(before)
})

test('a function refuses an object whose getter or proxy throws, and leaves no rejection unhandled', async () => {
  const before = await written()
  for (const name of Object.keys(inputs)) {
    const [key = ''] = Object.keys(inputs[name]!)
    const lazy = Object.defineProperty({ ...inputs[name] }, key, {
      enumerable: true,
      get: () => {
        throw new Error('lazy')
      },
    })
    await expectRefusal(name, lazy, 'cannot be read')
    const { proxy, revoke } = Proxy.revocable({ ...inputs[name] }, {})
    revoke()
    await expect(functionOf(name)(proxy, callback), name).rejects.toMatchObject({
      code: expect.stringMatching(codesOf(name)) as string,
    })
  }
  expect(await written()).toBe(before)
})

test('a function goes by its object as it was at the call, whatever the caller does with it meanwhile', async () => {
  const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
  const input: { name: string; slug: string; owner: string | undefined } = { name: 'Late', slug: 'late', owner }
  const created = functionOf('createTenant')(input)
  input.owner = undefined
  expect(await created).toMatchObject({ slug: 'late' })
  const role: Record<string, unknown> = { tenant: 'late', user: owner, role: 'Admin' }
  const assigned = functionOf('access.assignRole')(role)
  delete role['user']
  await expect(assigned).resolves.toBeUndefined()
})

test('a message about an input stays short, however long a key is', async () => {
  const { message } = await refusal('addMember', { ...inputs['addMember'], ['x'.repeat(1_000_000)]: 1 })
  expect(message.length).toBeLessThan(700)
})

test('a function refuses an object with an unknown key, and names the key', async () => {
  const before = await written()
  await fc.assert(
    fc.asyncProperty(anyFunction, fc.constantFrom('acter', 'tenantId', 'options', 'id', '0'), async (name, key) => {
      await expectRefusal(name, { ...inputs[name], [key]: 'x' }, key)
    }),
    { numRuns: 300 },
  )
  expect(await written()).toBe(before)
})

test('a function refuses an object with a value of another type, and names its key', async () => {
  const before = await written()
  const cases = anyFunction.chain((name) =>
    fc
      .constantFrom(...Object.keys(inputsOf('', '')[name]!))
      .chain((key) => valuesUnlike(inputsOf('', '')[name]![key]).map((value) => ({ name, key, value }))),
  )
  // One text, or a list of them.
  const isList = (name: string, key: string) => ['backup.encryptTo', 'restore.identity'].includes(`${name}.${key}`)
  await fc.assert(
    fc.asyncProperty(cases, async ({ name, key, value }) => {
      if (Array.isArray(value) && isList(name, key)) return
      await expectRefusal(name, { ...inputs[name], [key]: value }, key)
    }),
    { numRuns: 1000 },
  )
  expect(await written()).toBe(before)
})

test('a function refuses an object without a required key, and names the key', async () => {
  const optional: Readonly<Record<string, readonly string[]>> = {
    createTenant: ['contactEmail', 'maxUsers', 'labels'],
    'fleet.exec': [
      ...['params', 'write', 'statementTimeoutMs', 'maxRows', 'tenants', 'label', 'canary', 'parallelism', 'stopAfter'],
    ],
    updateTenant: ['name', 'contactEmail', 'maxUsers'],
    'fleet.revert': ['canary', 'stopAfter', 'lockTimeoutMs', 'statementTimeoutMs', 'tenants', 'label'],
    'fleet.acceptChecksum': ['tenants', 'label', 'parallelism', 'stopAfter'],
    createUser: ['name', 'emailVerified'],
    withLock: ['timeoutMs', 'signal'],
    onEvent: ['events', 'from'],
    updateUser: ['name', 'image'],
    'audit.record': ['tenant', 'subject', 'data'],
    addMember: ['roles', 'isDefault'],
    unlinkIdentity: ['allowLast'],
    issueAccessToken: ['tenant'],
    startTenantExport: ['encryptTo', 'expiresInSeconds'],
    listTenantExports: ['after', 'limit'],
    backup: ['allowDeleted', 'encryptTo', 'method', 'onProgress', 'signal'],
    restore: ['identity', 'allowOtherTenant', 'allowUnsigned', 'keepDays', 'onProgress', 'signal'],
    swapBack: ['keepDays'],
    adoptDatabase: ['name', 'schema', 'installation'],
    listMembers: ['after', 'limit'],
    searchMembers: ['search', 'status', 'role', 'after', 'limit'],
    updateMember: ['position', 'department', 'attributes', 'version'],
    offerOwnership: ['keep'],
    updateTenantSettings: ['expectedVersion'],
    createInvitation: ['expiresInSeconds'],
    listInvitations: ['after', 'limit'],
    listDomains: ['after', 'limit'],
    listEmailDomains: ['after', 'limit'],
    addEmailDomain: ['roles'],
    resendInvitation: ['expiresInSeconds'],
    listServiceAccounts: ['after', 'limit'],
    updateServiceAccount: ['name', 'isActive'],
    createApiKey: ['expiresAt'],
    listApiKeys: ['serviceAccount', 'after', 'limit'],
    updateApiKey: ['name', 'permissions', 'expiresAt'],
    rotateApiKey: ['overlapSeconds'],
    listImpersonations: ['after', 'limit'],
    listOwnInvitations: ['after', 'limit'],
    listSessions: ['after', 'limit'],
    endOtherSessions: ['session'],
    'audit.export': ['after', 'action', 'by', 'from', 'to'],
    'audit.list': ['after', 'limit', 'action', 'by', 'from', 'to'],
    'access.setOverride': ['expiresAt'],
    'access.listOverrides': ['user'],
    'access.createRole': ['description'],
    'access.updateRole': ['name', 'description', 'isActive', 'version'],
    'access.listRoles': ['after', 'limit'],
    'access.createPermission': ['description', 'category'],
    'access.updatePermission': ['description', 'category'],
    'access.createCategory': ['description'],
    'access.updateCategory': ['name', 'description'],
  }
  const before = await written()
  for (const [name, input] of Object.entries(inputs)) {
    if (withoutInput.includes(name)) continue
    const needed = Object.keys(input).filter((key) => key !== 'actor' && !optional[name]?.includes(key))
    expect(needed).not.toEqual([])
    for (const key of needed) {
      const { [key]: _missing, ...rest } = input
      await expectRefusal(name, rest, name === 'access.explain' && key === 'permission' ? 'input' : key)
    }
  }
  expect(await written()).toBe(before)
})

test.each(alone)('%s refuses a value that is not text', async (name) => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.constantFrom(undefined, null), valuesUnlike('')), async (value) => {
      await expectRefusal(
        name,
        value,
        /User|Member|Identities/.test(name) && name !== 'findUserByEmail' ? 'user: ' : '',
      )
    }),
  )
})

test('getTenantPool refuses a value that names no tenant, at once and with a code', () => {
  for (const value of [undefined, null, 'acme', 42, Symbol('x'), [], {}, { id: 'x' }, { slug: 1, databaseId: 2 }]) {
    expect(() => tenancy.getTenantPool(value as never)).toThrow(
      expect.objectContaining({ code: 'TENANCY_TENANT_NOT_FOUND' }),
    )
  }
})

test('runWithTenant refuses a call without a callback', async () => {
  for (const value of [undefined, null, 'acme', {}]) {
    await expect(tenancy.runWithTenant({ tenant: 'acme' }, value as never)).rejects.toMatchObject({
      code: 'TENANCY_REQUEST_INVALID',
      message: expect.stringContaining('callback'),
    })
  }
})
