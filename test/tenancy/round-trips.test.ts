import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { z } from 'zod'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { defineAccess, type Tenancy, type Tenant } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'

/** Most round trips of a function, and the functions that are held to less. */
const most = 4
const mostOf: Readonly<Record<string, number>> = {
  addMember: 3,
  searchMembers: 2,
  getMember: 2,
  findInvitation: 1,
  acceptInvitation: 1,
  acceptOwnInvitation: 1,
  declineInvitation: 2,
  listSessions: 1,
  endSession: 1,
  endOtherSessions: 1,
}

/** Functions whose work has no bound, or is DDL: their round trips are not counted. */
const exempt: Readonly<Record<string, string>> = {
  createTenantDatabase: 'builds a database',
  fillStock: 'builds databases until the stock is full',
  initializeTenantSchema: "applies schema files in the tenant's database",
  reconcile: 'compares all databases of the server with the catalog, and drops those that are due',
  purgeTenant: 'drops a database',
  backup: 'reads a whole database',
  restore: 'builds and fills a database',
  swapBack: 'ends the sessions of a database',
  adoptDatabase: 'changes roles and privileges in a database',
  'audit.verify': 'reads the whole log, a thousand entries a round trip',
  'audit.anchor': 'anchors all chains, some hundreds a round trip',
  onEvent: 'goes on in the background',
  close: 'ends the connections',
  clientAddress: 'asks nobody',
}

/** TXT records. */
const published = new Map<string, string[]>()

/** The round trips of one call: counted in its own asynchronous context, so that nothing else in the process counts. */
const counting = new AsyncLocalStorage<{ trips: number }>()

let installation: Installation
let tenancy: Tenancy
let folder: string
let tenant: Tenant
let other: Tenant
let owner: string
/** An Admin, who is no Owner. */
let admin: string
let count = 0

beforeAll(async () => {
  // Where `pg` waits for the server: the end of each message, and each step of a connection that opens.
  const connection = (pg.Connection as unknown as { prototype: Record<string, (...given: unknown[]) => unknown> })
    .prototype
  for (const name of ['sync', 'query', 'flush', 'startup', 'password', 'sendSASLInitialResponseMessage']) {
    const send = connection[name]!
    vi.spyOn(connection, name).mockImplementation(function (this: unknown, ...given) {
      const counter = counting.getStore()
      if (counter !== undefined) counter.trips += 1
      return send.apply(this, given)
    })
  }
  installation = createInstallation({
    TENANT_READY_DATABASES: '3',
    TENANT_OIDC_ISSUERS: JSON.stringify([{ issuer: 'https://login.example.com', audience: 'x' }]),
  })
  const access = defineAccess({
    permissions: { 'notes:read': '', 'notes:write': '' },
    routes: { 'GET /notes': 'notes:read' },
    roles: { Member: { permissions: [] }, Admin: { permissions: '*' } },
  })
  folder = await mkdtemp(join(tmpdir(), 't2f-exports-'))
  tenancy = await installation.open({
    access,
    exports: { folder },
    tenantSettings: z.object({ count: z.int().default(0) }),
    domains: { resolveTxt: async (name) => published.get(name) ?? [], maxPerTenant: 100 },
  })
  await tenancy.fillStock()
  ;[owner, admin] = [await newUser(), await newUser()]
  tenant = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner })
  other = await tenancy.createTenant({ name: 'Other', slug: 'other', owner, maxUsers: 1 })
  await tenancy.addMember({ tenant: 'acme', user: admin, roles: ['Admin', 'Member'] })
  await tenancy.fillStock()
})
afterAll(async () => {
  vi.restoreAllMocks()
  await installation.drop()
  await rm(folder, { recursive: true })
})

/** A user whose address is invited. */
async function invited() {
  const given = newInvitation()
  const { id: user } = await tenancy.createUser({ email: given.email, emailVerified: true })
  const { invitation } = await tenancy.createInvitation(given)
  return { user, invitation: invitation.id }
}

async function newUser(): Promise<string> {
  count += 1
  return (await tenancy.createUser({ email: `user-${count}@example.com`, emailVerified: true })).id
}

async function newMember(roles: readonly string[] = ['Member']): Promise<string> {
  const user = await newUser()
  await tenancy.addMember({ tenant: 'acme', user, roles })
  return user
}

/** Offers the ownership to a new member. */
async function newOffer(): Promise<string> {
  const to = await newMember()
  await tenancy.withdrawOwnership({ tenant: 'acme' }).catch(() => {})
  await tenancy.offerOwnership({ tenant: 'acme', from: owner, to })
  return to
}

function newInvitation() {
  count += 1
  return { tenant: 'acme', email: `invited-${count}@example.com`, roles: ['Member'], actor: owner }
}

async function newAccount(): Promise<string> {
  count += 1
  return (await tenancy.createServiceAccount({ tenant: 'acme', name: `Account ${count}` })).id
}

async function newKey(): Promise<string> {
  const given = { tenant: 'acme', serviceAccount: await newAccount(), name: 'K', permissions: ['notes:read'] }
  return (await tenancy.createApiKey(given)).apiKey.id
}

function newDomain(isProven = true) {
  count += 1
  return added(tenancy.addDomain({ ...by, host: `h${count}.example.org` }), isProven)
}

function newEmailDomain(isProven = true) {
  count += 1
  return added(
    tenancy.addEmailDomain({ ...by, domain: `e${count}.example.org`, roles: ['Member'], actor: owner }),
    isProven,
  )
}

async function added<Added extends { readonly recordName: string; readonly recordValue: string }>(
  adding: Promise<Added>,
  isProven: boolean,
): Promise<Added> {
  const domain = await adding
  if (isProven) published.set(domain.recordName, [domain.recordValue])
  return domain
}

/** An export of the tenant that is ready. */
async function readyExport(): Promise<string> {
  const [known] = await tenancy.listTenantExports({ tenant: 'acme' })
  const { id } = known ?? (await tenancy.startTenantExport({ tenant: 'acme' }))
  await vi.waitFor(
    async () => expect(await tenancy.getTenantExport({ tenant: 'acme', export: id })).toMatchObject({ state: 'ready' }),
    { timeout: 20_000, interval: 50 },
  )
  return id
}

async function newRole(): Promise<string> {
  count += 1
  return (await tenancy.access.createRole({ tenant: 'acme', name: `Role ${count}` })).name
}

async function newPermission(): Promise<string> {
  count += 1
  await tenancy.access.createPermission({ name: `thing-${count}:read` })
  return `thing-${count}:read`
}

async function newCategory(): Promise<string> {
  count += 1
  await tenancy.access.createCategory({ name: `Category ${count}` })
  return `Category ${count}`
}

async function newRule() {
  count += 1
  const rule = { method: 'GET', path: `/notes/${count}`, permission: 'notes:read' }
  await tenancy.access.createRouteRule(rule)
  return rule
}

async function newIdentity() {
  count += 1
  const identity = { issuer: 'https://login.example.com', subject: `subject-${count}`, user: await newUser() }
  await tenancy.linkIdentity(identity)
  return identity
}

/** A case: prepares, and returns the call to count. With a code: the call is refused with it. */
interface Case {
  readonly title: string
  readonly prepare: () => Promise<() => unknown> | (() => unknown)
  readonly code?: string
}
const succeeds = (title: string, prepare: Case['prepare']): Case => ({ title, prepare })
const refused = (code: string, prepare: Case['prepare']): Case => ({ title: `refused with ${code}`, prepare, code })

// Tenants by their slug, which may cost a look-up that an id does not.
const by = { tenant: 'acme' }
const cases: Readonly<Record<string, readonly Case[]>> = {
  createTenant: [
    succeeds('with stock', () => () => tenancy.createTenant({ name: 'New', slug: 'new-one', owner })),
    refused('TENANCY_TENANT_SLUG_TAKEN', () => () => tenancy.createTenant({ name: 'Acme', slug: 'acme', owner })),
  ],
  getTenant: [
    succeeds('found', () => () => tenancy.getTenant('acme')),
    refused('TENANCY_TENANT_NOT_FOUND', () => () => tenancy.getTenant('nobody')),
  ],
  findTenant: [succeeds('found', () => () => tenancy.findTenant('acme'))],
  listTenants: [
    succeeds('all', () => () => tenancy.listTenants()),
    succeeds('those behind', () => () => tenancy.listTenants({ behind: true })),
    succeeds('those with a label', () => () => tenancy.listTenants({ label: 'beta' })),
  ],
  setTenantLabels: [
    succeeds(
      'others',
      () => () => tenancy.setTenantLabels({ tenant: 'acme', labels: [`l-${(count += 1)}`], actor: owner }),
    ),
  ],
  getTenantSettings: [
    succeeds('by slug', () => () => tenancy.getTenantSettings({ tenant: 'acme' })),
    refused('TENANCY_TENANT_NOT_FOUND', () => () => tenancy.getTenantSettings({ tenant: 'nobody' })),
  ],
  showTenantSettings: [succeeds('by slug', () => () => tenancy.showTenantSettings({ tenant: 'acme' }))],
  updateTenantSettings: [
    succeeds(
      'by slug',
      () => () => tenancy.updateTenantSettings({ tenant: 'acme', changes: { count: (count += 1) }, actor: owner }),
    ),
    refused(
      'TENANCY_CHANGE_OUTDATED',
      () => () => tenancy.updateTenantSettings({ tenant: 'acme', changes: { count: 1 }, expectedVersion: 999 }),
    ),
  ],
  updateTenant: [
    succeeds('by slug', () => () => tenancy.updateTenant({ tenant: 'other', name: 'New name', actor: owner })),
  ],
  renameTenant: [
    succeeds('to a free slug', async () => {
      const { id } = await tenancy.createTenant({ name: 'Old', slug: 'old-slug', owner })
      return () => tenancy.renameTenant({ tenant: id, slug: 'new-slug', actor: owner })
    }),
    refused('TENANCY_TENANT_SLUG_TAKEN', () => () => tenancy.renameTenant({ tenant: 'other', slug: 'acme' })),
  ],
  getTenantUsage: [
    succeeds('by slug', () => () => tenancy.getTenantUsage('acme')),
    refused('TENANCY_TENANT_NOT_FOUND', () => () => tenancy.getTenantUsage('nobody')),
  ],
  searchTenants: [
    succeeds('a page', () => () => tenancy.searchTenants({ search: 'o', statuses: ['active'], limit: 1 })),
  ],
  isSlugAvailable: [succeeds('taken', () => () => tenancy.isSlugAvailable({ slug: 'acme' }))],
  releaseSlug: [
    succeeds('of a renamed tenant', async () => {
      const { id } = await tenancy.createTenant({ name: 'Former', slug: 'former-slug', owner })
      await tenancy.renameTenant({ tenant: id, slug: 'latter-slug' })
      return () => tenancy.releaseSlug({ slug: 'former-slug', actor: owner })
    }),
    refused('TENANCY_TENANT_NOT_FOUND', () => () => tenancy.releaseSlug({ slug: 'acme', actor: owner })),
  ],
  summary: [succeeds('of all', () => () => tenancy.summary())],
  suspendTenant: [
    succeeds('active', async () => {
      await tenancy.reactivateTenant({ tenant: 'other' }).catch(() => {})
      return () => tenancy.suspendTenant({ tenant: 'other', actor: owner })
    }),
    refused('TENANCY_TENANT_STATE_CONFLICT', async () => {
      await tenancy.suspendTenant({ tenant: 'other' }).catch(() => {})
      return () => tenancy.suspendTenant({ tenant: 'other' })
    }),
  ],
  reactivateTenant: [
    succeeds('suspended', async () => {
      await tenancy.suspendTenant({ tenant: 'other' }).catch(() => {})
      return () => tenancy.reactivateTenant({ tenant: 'other', actor: owner })
    }),
  ],
  deleteTenant: [
    succeeds('active', async () => {
      await tenancy.undeleteTenant({ tenant: 'other' }).catch(() => {})
      return () => tenancy.deleteTenant({ tenant: 'other', actor: owner })
    }),
  ],
  undeleteTenant: [
    succeeds('its schema up to date', async () => {
      await tenancy.deleteTenant({ tenant: 'other' }).catch(() => {})
      return () => tenancy.undeleteTenant({ tenant: 'other', actor: owner })
    }),
    refused('TENANCY_TENANT_STATE_CONFLICT', () => () => tenancy.undeleteTenant(by)),
  ],
  addMember: [
    succeeds('by an operator', async () => {
      const user = await newUser()
      return () => tenancy.addMember({ ...by, user })
    }),
    succeeds('by an actor, with two roles', async () => {
      const user = await newUser()
      return () => tenancy.addMember({ ...by, user, roles: ['Member', 'Admin'], actor: owner })
    }),
    refused('TENANCY_MEMBER_EXISTS', () => () => tenancy.addMember({ ...by, user: owner, actor: owner })),
    refused('TENANCY_ACCESS_GRANT_REFUSED', async () => {
      const user = await newUser()
      return () => tenancy.addMember({ ...by, user, roles: ['Owner'], actor: admin })
    }),
    refused('TENANCY_MEMBER_LIMIT_REACHED', async () => {
      const user = await newUser()
      return () => tenancy.addMember({ tenant: other.slug, user, actor: owner })
    }),
  ],
  removeMember: [
    succeeds('by an actor', async () => {
      const user = await newMember()
      return () => tenancy.removeMember({ ...by, user, actor: owner })
    }),
    refused('TENANCY_MEMBER_LAST_OWNER', () => () => tenancy.removeMember({ ...by, user: owner, actor: owner })),
    refused('TENANCY_ACCESS_CHANGE_REFUSED', () => () => tenancy.removeMember({ ...by, user: owner, actor: admin })),
  ],
  setMemberActive: [
    succeeds('deactivated', async () => {
      const user = await newMember()
      return () => tenancy.setMemberActive({ ...by, user, isActive: false, actor: owner })
    }),
    succeeds('activated', async () => {
      const user = await newMember()
      await tenancy.setMemberActive({ ...by, user, isActive: false })
      return () => tenancy.setMemberActive({ ...by, user, isActive: true, actor: owner })
    }),
    refused(
      'TENANCY_MEMBER_LAST_OWNER',
      () => () => tenancy.setMemberActive({ ...by, user: owner, isActive: false, actor: owner }),
    ),
  ],
  setDefaultTenant: [
    succeeds('of two', () => () => tenancy.setDefaultTenant({ ...by, user: owner, actor: owner })),
    refused('TENANCY_MEMBER_NOT_FOUND', async () => {
      const user = await newUser()
      return () => tenancy.setDefaultTenant({ ...by, user, actor: owner })
    }),
  ],
  listMemberships: [succeeds('of a member', () => () => tenancy.listMemberships(owner))],
  listMembers: [succeeds('by slug', () => () => tenancy.listMembers(by))],
  searchMembers: [
    succeeds('a page', () => () => tenancy.searchMembers({ ...by, limit: 2 })),
    succeeds('by text and role', () => () => tenancy.searchMembers({ ...by, search: 'user', role: 'Member' })),
  ],
  getMember: [
    succeeds('by slug', () => () => tenancy.getMember({ ...by, user: owner })),
    refused('TENANCY_MEMBER_NOT_FOUND', async () => {
      const user = await newUser()
      return () => tenancy.getMember({ ...by, user })
    }),
  ],
  updateMember: [
    succeeds('by an actor', async () => {
      const user = await newMember()
      return () => tenancy.updateMember({ ...by, user, position: 'Clerk', actor: owner })
    }),
    refused('TENANCY_MEMBER_VERSION_CONFLICT', async () => {
      const user = await newMember()
      return () => tenancy.updateMember({ ...by, user, position: 'Clerk', version: 'old', actor: owner })
    }),
  ],
  leaveTenant: [
    succeeds('a member', async () => {
      const user = await newMember()
      return () => tenancy.leaveTenant({ ...by, user })
    }),
    refused('TENANCY_MEMBER_LAST_OWNER', () => () => tenancy.leaveTenant({ ...by, user: owner })),
  ],
  offerOwnership: [
    succeeds('to a member', async () => {
      const to = await newMember()
      await tenancy.withdrawOwnership(by).catch(() => {})
      return () => tenancy.offerOwnership({ ...by, from: owner, to })
    }),
    refused('TENANCY_OWNERSHIP_OFFER_EXISTS', async () => {
      const to = await newOffer()
      return () => tenancy.offerOwnership({ ...by, from: owner, to })
    }),
  ],
  findOwnershipOffer: [succeeds('by slug', () => () => tenancy.findOwnershipOffer('acme'))],
  acceptOwnership: [
    succeeds('of another Owner', async () => {
      const [from, user] = [await newMember(['Owner']), await newMember()]
      await tenancy.withdrawOwnership(by).catch(() => {})
      await tenancy.offerOwnership({ ...by, from, to: user })
      return () => tenancy.acceptOwnership({ ...by, user })
    }),
  ],
  declineOwnership: [
    succeeds('an offer', async () => {
      const user = await newOffer()
      return () => tenancy.declineOwnership({ ...by, user })
    }),
  ],
  withdrawOwnership: [
    succeeds('by the giver', async () => {
      await newOffer()
      return () => tenancy.withdrawOwnership({ ...by, actor: owner })
    }),
    refused('TENANCY_ACCESS_CHANGE_REFUSED', async () => {
      await newOffer()
      return () => tenancy.withdrawOwnership({ ...by, actor: admin })
    }),
  ],
  createInvitation: [
    succeeds('of a new address', () => () => tenancy.createInvitation(newInvitation())),
    succeeds('of an address that somebody else has invited', async () => {
      const invitation = newInvitation()
      await tenancy.createInvitation({ ...invitation, actor: admin })
      return () => tenancy.createInvitation(invitation)
    }),
    refused(
      'TENANCY_ACCESS_GRANT_REFUSED',
      () => () => tenancy.createInvitation({ ...newInvitation(), roles: ['Owner'], actor: admin }),
    ),
  ],
  listInvitations: [succeeds('by slug', () => () => tenancy.listInvitations(by))],
  resendInvitation: [
    succeeds('by an actor', async () => {
      const { invitation } = await tenancy.createInvitation(newInvitation())
      return () => tenancy.resendInvitation({ ...by, invitation: invitation.id, actor: owner })
    }),
  ],
  withdrawInvitation: [
    succeeds('by another actor', async () => {
      const { invitation } = await tenancy.createInvitation(newInvitation())
      return () => tenancy.withdrawInvitation({ ...by, invitation: invitation.id, actor: admin })
    }),
  ],
  createServiceAccount: [
    succeeds('by an actor', () => () => tenancy.createServiceAccount({ ...by, name: 'Importer', actor: admin })),
  ],
  listServiceAccounts: [succeeds('by slug', () => () => tenancy.listServiceAccounts(by))],
  updateServiceAccount: [
    succeeds('activated by an actor', async () => {
      const serviceAccount = await newAccount()
      await tenancy.updateServiceAccount({ ...by, serviceAccount, isActive: false })
      return () => tenancy.updateServiceAccount({ ...by, serviceAccount, isActive: true, actor: admin })
    }),
  ],
  deleteServiceAccount: [
    succeeds('by an actor', async () => {
      const serviceAccount = await newAccount()
      return () => tenancy.deleteServiceAccount({ ...by, serviceAccount, actor: admin })
    }),
  ],
  startImpersonation: [
    succeeds('of a member', async () => {
      const user = await newUser()
      await tenancy.grantPlatformRole({ user })
      await tenancy.issueAccessToken({ user })
      return () => tenancy.startImpersonation({ ...by, user: owner, reason: 'Ticket', minutes: 5, actor: user })
    }),
    refused('TENANCY_IMPERSONATION_REFUSED', async () => {
      const user = await newMember()
      return () => tenancy.startImpersonation({ ...by, user, reason: 'Ticket', minutes: 5, actor: owner })
    }),
  ],
  endImpersonation: [
    succeeds('under way', async () => {
      const user = await newUser()
      await tenancy.grantPlatformRole({ user })
      const { impersonation } = await tenancy.startImpersonation({
        ...{ ...by, user: owner, reason: 'Ticket', minutes: 5, actor: user },
      })
      return () => tenancy.endImpersonation({ ...by, impersonation: impersonation.id, actor: user })
    }),
    refused(
      'TENANCY_IMPERSONATION_NOT_FOUND',
      () => () => tenancy.endImpersonation({ ...by, impersonation: owner, actor: owner }),
    ),
  ],
  listImpersonations: [succeeds('by slug', () => () => tenancy.listImpersonations(by))],
  createApiKey: [
    succeeds('by an actor', async () => {
      const given = { ...by, serviceAccount: await newAccount(), name: 'K', permissions: ['notes:read', 'notes:write'] }
      return () => tenancy.createApiKey({ ...given, actor: admin })
    }),
    refused('TENANCY_API_KEY_PERMISSION_REFUSED', async () => {
      const given = { ...by, serviceAccount: await newAccount(), name: 'K', permissions: ['keys:read'] }
      return () => tenancy.createApiKey({ ...given, actor: admin })
    }),
  ],
  listApiKeys: [succeeds('by slug', () => () => tenancy.listApiKeys(by))],
  updateApiKey: [
    succeeds('by an actor', async () => {
      const apiKey = await newKey()
      return () => tenancy.updateApiKey({ ...by, apiKey, permissions: ['notes:write'], actor: admin })
    }),
  ],
  rotateApiKey: [
    succeeds('by an actor', async () => {
      const apiKey = await newKey()
      return () => tenancy.rotateApiKey({ ...by, apiKey, actor: admin })
    }),
  ],
  revokeApiKey: [
    succeeds('by an actor', async () => {
      const apiKey = await newKey()
      return () => tenancy.revokeApiKey({ ...by, apiKey, actor: admin })
    }),
  ],
  findInvitation: [
    succeeds('usable', async () => {
      const { token } = await tenancy.createInvitation(newInvitation())
      return () => tenancy.findInvitation({ token })
    }),
  ],
  addDomain: [
    succeeds('by an actor', () => () => tenancy.addDomain({ ...by, host: 'added.example.org', actor: owner })),
    refused('TENANCY_DOMAIN_INVALID', () => () => tenancy.addDomain({ ...by, host: 'co.uk' })),
  ],
  verifyDomain: [
    succeeds('published', async () => {
      const { id } = await newDomain()
      return () => tenancy.verifyDomain({ ...by, domain: id, actor: owner })
    }),
    refused('TENANCY_DOMAIN_NOT_PROVEN', async () => {
      const { id } = await newDomain(false)
      return () => tenancy.verifyDomain({ ...by, domain: id })
    }),
  ],
  listDomains: [succeeds('by slug', () => () => tenancy.listDomains(by))],
  removeDomain: [
    succeeds('by an actor', async () => {
      const { id } = await newDomain()
      return () => tenancy.removeDomain({ ...by, domain: id, actor: owner })
    }),
  ],
  isProvenHost: [succeeds('of nobody', () => () => tenancy.isProvenHost({ host: 'nobody.example.org' }))],
  addEmailDomain: [
    succeeds(
      'with roles',
      () => () => tenancy.addEmailDomain({ ...by, domain: 'added.example.org', roles: ['Member'], actor: owner }),
    ),
  ],
  verifyEmailDomain: [
    succeeds('published', async () => {
      const { id } = await newEmailDomain()
      return () => tenancy.verifyEmailDomain({ ...by, domain: id, actor: owner })
    }),
  ],
  listEmailDomains: [succeeds('by slug', () => () => tenancy.listEmailDomains(by))],
  updateEmailDomain: [
    succeeds('by an actor', async () => {
      const { id } = await newEmailDomain()
      return () => tenancy.updateEmailDomain({ ...by, domain: id, roles: ['Member'], actor: owner })
    }),
  ],
  removeEmailDomain: [
    succeeds('by an actor', async () => {
      const { id } = await newEmailDomain()
      return () => tenancy.removeEmailDomain({ ...by, domain: id, actor: owner })
    }),
  ],
  listJoinableTenants: [succeeds('of a user', () => () => tenancy.listJoinableTenants({ user: owner }))],
  joinTenant: [
    succeeds('with authority and audit', async () => {
      const { id, domain } = await newEmailDomain()
      await tenancy.verifyEmailDomain({ ...by, domain: id })
      const { id: user } = await tenancy.createUser({ email: `a@${domain}`, emailVerified: true })
      return () => tenancy.joinTenant({ tenant: tenant.id, user })
    }),
    refused('TENANCY_DOMAIN_JOIN_REFUSED', async () => {
      const user = await newUser()
      return () => tenancy.joinTenant({ tenant: tenant.id, user })
    }),
  ],
  acceptInvitation: [
    succeeds('with authority and audit', async () => {
      const invitation = newInvitation()
      const { id: user } = await tenancy.createUser({ email: invitation.email, emailVerified: true })
      const { token } = await tenancy.createInvitation(invitation)
      return () => tenancy.acceptInvitation({ token, user })
    }),
    refused('TENANCY_INVITATION_INVALID', async () => {
      const user = await newUser()
      const { token } = await tenancy.createInvitation(newInvitation())
      return () => tenancy.acceptInvitation({ token, user })
    }),
  ],
  listOwnInvitations: [succeeds('of an address', () => () => tenancy.listOwnInvitations({ user: owner }))],
  acceptOwnInvitation: [
    succeeds('with authority and audit', async () => {
      const { user, invitation } = await invited()
      return () => tenancy.acceptOwnInvitation({ invitation, user })
    }),
  ],
  declineInvitation: [
    succeeds('with audit', async () => {
      const { user, invitation } = await invited()
      return () => tenancy.declineInvitation({ invitation, user })
    }),
    refused('TENANCY_INVITATION_INVALID', async () => {
      const { invitation } = await invited()
      return () => tenancy.declineInvitation({ invitation, user: owner })
    }),
  ],
  listSessions: [succeeds('of a user', () => () => tenancy.listSessions({ user: owner }))],
  endSession: [refused('TENANCY_SESSION_NOT_FOUND', () => () => tenancy.endSession({ user: owner, session: owner }))],
  endOtherSessions: [succeeds('of a user', () => () => tenancy.endOtherSessions({ user: owner, session: owner }))],
  createUser: [
    succeeds('new', () => () => tenancy.createUser({ email: 'new@example.com', actor: owner })),
    refused('TENANCY_USER_EXISTS', () => () => tenancy.createUser({ email: 'user-1@example.com' })),
  ],
  findUserByEmail: [succeeds('found', () => () => tenancy.findUserByEmail('user-1@example.com'))],
  listUsers: [succeeds('a page', () => () => tenancy.listUsers({ search: 'user', limit: 5 }))],
  grantPlatformRole: [
    succeeds('by an administrator', async () => {
      await tenancy.grantPlatformRole({ user: owner })
      const user = await newUser()
      return () => tenancy.grantPlatformRole({ user, actor: owner })
    }),
    refused('TENANCY_ACCESS_GRANT_REFUSED', async () => {
      const actor = await newUser()
      return () => tenancy.grantPlatformRole({ user: owner, actor })
    }),
  ],
  revokePlatformRole: [
    succeeds('by an operator', async () => {
      const user = await newUser()
      await tenancy.grantPlatformRole({ user })
      return () => tenancy.revokePlatformRole({ user })
    }),
  ],
  listPlatformAdministrators: [succeeds('all', () => () => tenancy.listPlatformAdministrators())],
  findUserByIdentity: [
    succeeds('found', async () => {
      const { issuer, subject } = await newIdentity()
      return () => tenancy.findUserByIdentity({ issuer, subject })
    }),
  ],
  listIdentities: [succeeds('of a user', () => () => tenancy.listIdentities(owner))],
  linkIdentity: [
    succeeds('new', async () => {
      const { issuer, user } = await newIdentity()
      return () => tenancy.linkIdentity({ issuer, subject: `new-${count}`, user, actor: owner })
    }),
    refused('TENANCY_IDENTITY_TAKEN', async () => {
      const identity = await newIdentity()
      return () => tenancy.linkIdentity({ ...identity, user: owner, actor: owner })
    }),
  ],
  unlinkIdentity: [
    succeeds('the last one', async () => {
      const identity = await newIdentity()
      return () => tenancy.unlinkIdentity({ ...identity, allowLast: true, actor: owner })
    }),
    refused('TENANCY_IDENTITY_LAST', async () => {
      const identity = await newIdentity()
      return () => tenancy.unlinkIdentity({ ...identity, actor: owner })
    }),
  ],
  getUser: [succeeds('found', () => () => tenancy.getUser(owner))],
  updateUser: [
    succeeds('with another name', async () => {
      const user = await newUser()
      return () => tenancy.updateUser({ user, name: 'Other', image: null, actor: owner })
    }),
  ],
  deleteUser: [
    succeeds('a member', async () => {
      const user = await newMember()
      return () => tenancy.deleteUser({ user, actor: owner })
    }),
    refused('TENANCY_MEMBER_LAST_OWNER', () => () => tenancy.deleteUser({ user: owner })),
  ],
  disableUser: [
    succeeds('enabled', async () => {
      const user = await newUser()
      return () => tenancy.disableUser({ user, actor: owner })
    }),
  ],
  enableUser: [
    succeeds('disabled', async () => {
      const user = await newUser()
      await tenancy.disableUser({ user })
      return () => tenancy.enableUser({ user, actor: owner })
    }),
  ],
  revokeUserTokens: [
    succeeds('of a user', async () => {
      const user = await newUser()
      return () => tenancy.revokeUserTokens({ user, actor: owner })
    }),
  ],
  withLock: [succeeds('a free one', () => () => tenancy.withLock({ name: 'x' }, () => 'done'))],
  issueAccessToken: [
    succeeds('bound to a tenant', async () => {
      await tenancy.issueAccessToken({ user: owner })
      return () => tenancy.issueAccessToken({ user: owner, tenant: 'acme', actor: owner })
    }),
  ],
  rotateSigningKeys: [
    succeeds('to withdraw a key', async () => {
      await tenancy.jwks()
      return () => tenancy.rotateSigningKeys({ withdraw: true, actor: owner })
    }),
  ],
  jwks: [succeeds('read lately', () => () => tenancy.jwks())],
  runWithTenant: [succeeds('by slug', () => () => tenancy.runWithTenant(by, () => 'done'))],
  activity: [succeeds('of all tenants', () => () => tenancy.activity())],
  health: [succeeds('read anew', () => () => tenancy.health())],
  stats: [succeeds('of the process', () => () => tenancy.stats())],
  platformTokens: [succeeds('of the process', () => () => tenancy.platformTokens())],
  accountsHost: [succeeds('of the process', () => () => tenancy.accountsHost())],
  getTenantPool: [succeeds('of a tenant', () => () => tenancy.getTenantPool(tenant))],
  can: [succeeds('nobody', () => () => tenancy.can(undefined, 'notes:read'))],
  permissionsOf: [succeeds('nobody', () => () => tenancy.permissionsOf(undefined))],
  'audit.record': [
    succeeds('for a tenant', () => () => tenancy.audit.record({ ...by, action: 'app.note.read', actor: owner })),
  ],
  startTenantExport: [
    succeeds('by slug', () => () => tenancy.startTenantExport({ ...by, actor: owner })),
    refused('TENANCY_TENANT_NOT_FOUND', () => () => tenancy.startTenantExport({ tenant: 'nobody' })),
  ],
  listTenantExports: [succeeds('by slug', () => () => tenancy.listTenantExports(by))],
  getTenantExport: [
    succeeds('by slug', async () => {
      const id = await readyExport()
      return () => tenancy.getTenantExport({ ...by, export: id })
    }),
  ],
  openTenantExport: [
    succeeds('by slug', async () => {
      const id = await readyExport()
      return () => tenancy.openTenantExport({ ...by, export: id, actor: owner })
    }),
  ],
  deleteTenantExport: [
    succeeds('by slug', async () => {
      const id = await readyExport()
      return () => tenancy.deleteTenantExport({ ...by, export: id, actor: owner })
    }),
    refused('TENANCY_EXPORT_NOT_FOUND', () => () => tenancy.deleteTenantExport({ ...by, export: owner })),
  ],
  'audit.export': [succeeds('by slug, until the first entry is asked for', () => () => tenancy.audit.export(by))],
  'audit.list': [succeeds('by slug', () => () => tenancy.audit.list(by))],
  'access.assignRole': [
    succeeds('by an actor', async () => {
      const user = await newMember()
      return () => tenancy.access.assignRole({ ...by, user, role: 'Admin', actor: owner })
    }),
    refused('TENANCY_ACCESS_GRANT_REFUSED', async () => {
      const user = await newMember()
      return () => tenancy.access.assignRole({ ...by, user, role: 'Owner', actor: admin })
    }),
    refused(
      'TENANCY_ACCESS_CHANGE_REFUSED',
      () => () => tenancy.access.assignRole({ ...by, user: owner, role: 'Member', actor: admin }),
    ),
  ],
  'access.unassignRole': [
    succeeds('by an actor', async () => {
      const user = await newMember(['Member', 'Owner'])
      return () => tenancy.access.unassignRole({ ...by, user, role: 'Owner', actor: owner })
    }),
    succeeds('by the id of the role', async () => {
      const user = await newMember(['Member', 'Owner'])
      const { id } = await tenancy.access.getRole({ tenant: null, role: 'Owner' })
      return () => tenancy.access.unassignRole({ ...by, user, role: id, actor: owner })
    }),
    refused(
      'TENANCY_MEMBER_LAST_OWNER',
      () => () => tenancy.access.unassignRole({ tenant: 'new-one', user: owner, role: 'Owner', actor: owner }),
    ),
  ],
  'access.setMemberRoles': [
    succeeds('by an actor', async () => {
      const user = await newMember(['Member'])
      return () => tenancy.access.setMemberRoles({ ...by, user, roles: ['Admin'], actor: owner })
    }),
    refused('TENANCY_ACCESS_GRANT_REFUSED', async () => {
      const user = await newMember()
      return () => tenancy.access.setMemberRoles({ ...by, user, roles: ['Owner'], actor: admin })
    }),
    refused(
      'TENANCY_MEMBER_LAST_OWNER',
      () => () => tenancy.access.setMemberRoles({ tenant: 'new-one', user: owner, roles: ['Admin'], actor: owner }),
    ),
  ],
  'access.setOverride': [
    succeeds('to allow', async () => {
      const user = await newMember()
      return () => tenancy.access.setOverride({ ...by, user, permission: 'notes:read', effect: 'allow', actor: owner })
    }),
    succeeds('to deny', async () => {
      const user = await newMember()
      return () => tenancy.access.setOverride({ ...by, user, permission: 'notes:read', effect: 'deny', actor: owner })
    }),
  ],
  'access.clearOverride': [
    succeeds('a deny', async () => {
      const user = await newMember()
      await tenancy.access.setOverride({ ...by, user, permission: 'notes:read', effect: 'deny' })
      return () => tenancy.access.clearOverride({ ...by, user, permission: 'notes:read', actor: owner })
    }),
  ],
  'access.listOverrides': [succeeds('by slug', () => () => tenancy.access.listOverrides(by))],
  'access.createRole': [
    succeeds('by an actor', () => () => tenancy.access.createRole({ ...by, name: 'Clerk', actor: owner })),
    succeeds('built in', () => () => tenancy.access.createRole({ tenant: null, name: 'Guest' })),
    refused(
      'TENANCY_ACCESS_ROLE_EXISTS',
      () => () => tenancy.access.createRole({ ...by, name: 'Admin', actor: owner }),
    ),
  ],
  'access.updateRole': [
    succeeds('by an actor', async () => {
      const role = await newRole()
      return () => tenancy.access.updateRole({ ...by, role, name: `${role} renamed`, actor: owner })
    }),
    succeeds('renamed and switched on, by its id', async () => {
      const { id } = await tenancy.access.getRole({ ...by, role: await newRole() })
      await tenancy.access.setRoleActive({ ...by, role: id, isActive: false })
      return () =>
        tenancy.access.updateRole({ ...by, role: id, name: `Switched ${count}`, isActive: true, actor: owner })
    }),
    succeeds('to what it is', async () => {
      const role = await newRole()
      return () => tenancy.access.updateRole({ ...by, role, name: role, actor: owner })
    }),
    refused(
      'TENANCY_ACCESS_ROLE_PROTECTED',
      () => () => tenancy.access.updateRole({ ...by, role: 'Admin', name: 'x', actor: owner }),
    ),
  ],
  'access.setRoleActive': [
    succeeds('deactivated', async () => {
      const role = await newRole()
      return () => tenancy.access.setRoleActive({ ...by, role, isActive: false, actor: owner })
    }),
    succeeds('activated', async () => {
      const role = await newRole()
      await tenancy.access.setRoleActive({ ...by, role, isActive: false })
      return () => tenancy.access.setRoleActive({ ...by, role, isActive: true, actor: owner })
    }),
  ],
  'access.deleteRole': [
    succeeds('by an actor', async () => {
      const role = await newRole()
      return () => tenancy.access.deleteRole({ ...by, role, actor: owner })
    }),
    refused('TENANCY_ACCESS_ROLE_NOT_FOUND', () => () => tenancy.access.deleteRole({ ...by, role: 'x', actor: owner })),
  ],
  'access.grantPermission': [
    succeeds('by an actor', async () => {
      const role = await newRole()
      return () => tenancy.access.grantPermission({ ...by, role, permission: 'notes:read', actor: owner })
    }),
    refused('TENANCY_ACCESS_GRANT_REFUSED', async () => {
      const role = await newRole()
      const permission = await newPermission()
      return () => tenancy.access.grantPermission({ ...by, role, permission, actor: admin })
    }),
  ],
  'access.revokePermission': [
    succeeds('by an actor', async () => {
      const role = await newRole()
      await tenancy.access.grantPermission({ ...by, role, permission: 'notes:read' })
      return () => tenancy.access.revokePermission({ ...by, role, permission: 'notes:read', actor: owner })
    }),
  ],
  'access.includeRole': [
    succeeds('by an actor', async () => {
      const role = await newRole()
      return () => tenancy.access.includeRole({ ...by, role, included: 'Member', actor: owner })
    }),
    refused('TENANCY_ACCESS_ROLE_CYCLE', async () => {
      const role = await newRole()
      return () => tenancy.access.includeRole({ ...by, role, included: role, actor: owner })
    }),
  ],
  'access.excludeRole': [
    succeeds('by an actor', async () => {
      const role = await newRole()
      await tenancy.access.includeRole({ ...by, role, included: 'Member' })
      return () => tenancy.access.excludeRole({ ...by, role, included: 'Member', actor: owner })
    }),
  ],
  'access.getRole': [
    succeeds('by name', () => () => tenancy.access.getRole({ ...by, role: 'Admin' })),
    refused('TENANCY_ACCESS_ROLE_NOT_FOUND', () => () => tenancy.access.getRole({ ...by, role: 'x' })),
  ],
  'access.listRoles': [succeeds('by slug', () => () => tenancy.access.listRoles(by))],
  'access.createPermission': [
    succeeds('in a category', async () => {
      const category = await newCategory()
      return () => tenancy.access.createPermission({ name: 'reports:read', category, actor: owner })
    }),
    refused('TENANCY_ACCESS_PERMISSION_EXISTS', () => () => tenancy.access.createPermission({ name: 'notes:read' })),
  ],
  'access.updatePermission': [
    succeeds('with a category', async () => {
      const [permission, category] = [await newPermission(), await newCategory()]
      return () => tenancy.access.updatePermission({ permission, description: 'x', category, actor: owner })
    }),
  ],
  'access.setPermissionActive': [
    succeeds('deactivated', async () => {
      const permission = await newPermission()
      return () => tenancy.access.setPermissionActive({ permission, isActive: false, actor: owner })
    }),
  ],
  'access.listPermissions': [succeeds('all', () => () => tenancy.access.listPermissions())],
  'access.createCategory': [
    succeeds('new', () => () => tenancy.access.createCategory({ name: 'Reports', actor: owner })),
  ],
  'access.updateCategory': [
    succeeds('with a new name', async () => {
      const category = await newCategory()
      return () => tenancy.access.updateCategory({ category, name: `${category} renamed`, actor: owner })
    }),
  ],
  'access.deleteCategory': [
    succeeds('by an operator', async () => {
      const category = await newCategory()
      return () => tenancy.access.deleteCategory({ category, actor: owner })
    }),
    refused('TENANCY_ACCESS_CATEGORY_NOT_FOUND', () => () => tenancy.access.deleteCategory({ category: 'nothing' })),
  ],
  'access.listCategories': [succeeds('all', () => () => tenancy.access.listCategories())],
  'access.createRouteRule': [
    succeeds(
      'new',
      () => () => tenancy.access.createRouteRule({ method: 'PUT', path: '/x', permission: 'notes:read' }),
    ),
    refused('TENANCY_ACCESS_RULE_EXISTS', async () => {
      const rule = await newRule()
      return () => tenancy.access.createRouteRule(rule)
    }),
  ],
  'access.setRouteRuleActive': [
    succeeds('deactivated', async () => {
      const rule = await newRule()
      return () => tenancy.access.setRouteRuleActive({ ...rule, isActive: false, actor: owner })
    }),
  ],
  'access.deleteRouteRule': [
    succeeds('by an operator', async () => {
      const rule = await newRule()
      return () => tenancy.access.deleteRouteRule({ ...rule, actor: owner })
    }),
  ],
  'access.listRouteRules': [succeeds('all', () => () => tenancy.access.listRouteRules())],
  'access.isDefined': [succeeds('a role', () => () => tenancy.access.isDefined({ kind: 'role', name: 'Member' }))],
  'access.effectivePermissions': [
    succeeds('of a member', () => () => tenancy.access.effectivePermissions({ ...by, user: owner })),
  ],
  'access.explain': [
    succeeds('a permission', () => () => tenancy.access.explain({ ...by, user: owner, permission: 'notes:read' })),
    succeeds('a route', () => () => tenancy.access.explain({ ...by, user: owner, method: 'GET', path: '/notes' })),
  ],
}

test('every function of tenancy has its round trips counted, or a reason why not', () => {
  const { access, audit, pipeline: _pipeline, rules: _rules, config: _config, ...rest } = tenancy
  const names = (of: object, prefix = '') =>
    Object.entries(of)
      .filter(([, value]) => typeof value === 'function')
      .map(([name]) => prefix + name)
  const all = [...names(rest), ...names(access, 'access.'), ...names(audit, 'audit.')]
  expect([...Object.keys(cases), ...Object.keys(exempt)].toSorted()).toEqual(all.toSorted())
})

describe.each(Object.entries(cases))('%s', (name, casesOfIt) => {
  const limit = mostOf[name] ?? most
  test.each(casesOfIt)(`waits for the server at most ${limit} times: $title`, async ({ prepare, code }) => {
    const call = await prepare()
    // Connections that the call may use are open.
    await Promise.all([tenancy.getTenant('acme'), tenancy.activity()])
    const counter = { trips: 0 }
    const outcome = await counting.run(counter, async () => {
      const found = await Promise.resolve()
        .then(call)
        .then(
          () => undefined,
          (error: { code?: string; message: string }) => error,
        )
      return { error: found, trips: counter.trips }
    })
    expect(outcome.error?.code, outcome.error?.message).toBe(code)
    expect(outcome.trips).toBeLessThanOrEqual(limit)
  })
})
