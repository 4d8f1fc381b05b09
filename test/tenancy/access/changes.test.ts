import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy, Tenant, User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { withAdmin } from '../../support/server.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

const maxStalenessMs = 1000

let installation: Installation
/** The serving process. */
let tenancy: Tenancy
/** Stands for another process of the installation: the serving one receives its changes by LISTEN. */
let other: Tenancy
let app: FastifyInstance
let acme: Tenant
let member: User
let token: string

const reports = async (served = app, withToken = token) =>
  outcome(await served.inject({ url: '/reports', headers: bearer(withToken) }))

beforeAll(async () => {
  installation = createInstallation({ TENANT_MAX_STALENESS_MS: String(maxStalenessMs) })
  // At once, because that is how deployments start.
  ;[tenancy, other] = await Promise.all([installation.open(), installation.open()])
  const owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  member = await tenancy.createUser({ email: 'member@example.com', emailVerified: true })
  acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
  await tenancy.addMember({ tenant: 'acme', user: member.id })
  token = (await tenancy.issueAccessToken({ user: member.id })).token
  app = await createNotesApp(tenancy)
})
afterAll(async () => {
  await app?.close()
  await installation.drop()
})

async function assignAdmin(): Promise<void> {
  await tenancy.access.assignRole({ user: member.id, tenant: acme.id, role: 'Admin' })
  expect(await reports()).toBe('200')
}

/** Sends requests until one is refused. Returns how long after the change the last allowed request began. */
async function allowedForMs(changedAtMs: number): Promise<number> {
  for (let lastMs = 0; ;) {
    const startedAtMs = performance.now()
    const answer = await reports()
    if (answer === '403 TENANCY_ACCESS_DENIED') return lastMs
    expect(answer).toBe('200')
    lastMs = startedAtMs - changedAtMs
    await sleep(5)
  }
}

test('a change by the serving process applies to its next request', async () => {
  for (let round = 0; round < 20; round += 1) {
    await assignAdmin()
    await tenancy.access.unassignRole({ user: member.id, tenant: acme.id, role: 'Admin' })
    expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
  }
})

test('a role that another process revokes has no effect after maxStalenessMs', async () => {
  for (let round = 0; round < 5; round += 1) {
    await assignAdmin()
    await other.access.unassignRole({ user: member.id, tenant: acme.id, role: 'Admin' })
    expect(await allowedForMs(performance.now())).toBeLessThanOrEqual(maxStalenessMs)
  }
})

test('a role that plain SQL revokes has no effect after maxStalenessMs, even if the serving process receives no change message', async () => {
  await assignAdmin()
  const changedAtMs = await withAdmin(async (admin) => {
    const ended = await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query ~* 'listen|notify' and pid <> pg_backend_pid()`,
    )
    expect(ended.rowCount).toBe(2)
    await admin.query(
      `delete from user_tenant_roles using roles where role_id = roles.id and roles.name = 'Admin' and user_id = $1`,
      [member.id],
    )
    return performance.now()
  }, installation.catalogName)
  expect(await allowedForMs(changedAtMs)).toBeLessThanOrEqual(maxStalenessMs)
})

test('a permission that another process deactivates and the rules that it adds reach the serving process', async () => {
  await assignAdmin()
  await other.access.setPermissionActive({ permission: 'reports:read', isActive: false })
  expect(await allowedForMs(performance.now())).toBeLessThanOrEqual(maxStalenessMs)
  await other.access.setPermissionActive({ permission: 'reports:read', isActive: true })
  while ((await reports()) !== '200') await sleep(5)
  await tenancy.access.unassignRole({ user: member.id, tenant: acme.id, role: 'Admin' })
})

test('a direct deny wins over the role, a direct allow works without a role, and a temporary allow expires by itself', async () => {
  const override = { user: member.id, tenant: acme.id, permission: 'reports:read' } as const
  await assignAdmin()
  await tenancy.access.setOverride({ ...override, effect: 'deny' })
  expect(await reports()).toBe('403 TENANCY_ACCESS_DENIED')
  await tenancy.access.unassignRole({ user: member.id, tenant: acme.id, role: 'Admin' })
  await tenancy.access.setOverride({ ...override, effect: 'allow' })
  expect(await reports()).toBe('200')
  const endsAtMs = Date.now() + 500
  await tenancy.access.setOverride({ ...override, effect: 'allow', expiresAt: new Date(endsAtMs) })
  for (;;) {
    const startedAtMs = Date.now()
    const answer = await reports()
    if (answer === '403 TENANCY_ACCESS_DENIED') break
    expect(answer).toBe('200')
    // The catalog's clock and this one belong to the same machine. 50 ms allow for rounding and steps of the clock.
    expect(startedAtMs).toBeLessThanOrEqual(endsAtMs + 50)
    await sleep(5)
  }
})

test('with maxStalenessMs 0 (strict), a change by another process applies to the next request', async () => {
  const strict = await installation.open({ env: { TENANT_MAX_STALENESS_MS: '0' } })
  const strictApp = await createNotesApp(strict)
  for (let round = 0; round < 5; round += 1) {
    await other.access.assignRole({ user: member.id, tenant: acme.id, role: 'Admin' })
    expect(await reports(strictApp)).toBe('200')
    await other.access.unassignRole({ user: member.id, tenant: acme.id, role: 'Admin' })
    expect(await reports(strictApp)).toBe('403 TENANCY_ACCESS_DENIED')
  }
  await other.disableUser({ user: member.id })
  expect(await reports(strictApp)).toBe('401 TENANCY_AUTH_USER_REFUSED')
  await strictApp.close()
})
