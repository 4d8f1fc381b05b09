import { randomUUID } from 'node:crypto'
import type { Operation } from '../../../src/api/operation.js'
import type { ApiAnswer, Caller } from '../api-app.js'
import { type Ids, isOfPlatform, type Scene, type World } from './world.js'

/** What a right request of an operation needs beside the ids in its path. */
interface Fixture {
  /** A right body. Operations that take one must have it. */
  readonly body?: (ids: Ids, scene: Scene) => object
  /** Fields of the query that the operation demands, or that are ids. */
  readonly query?: (ids: Ids, scene: Scene) => Readonly<Record<string, string>>
  /** Default: the owner of the tenant, or an administrator of the platform. */
  readonly as?: (scene: Scene, world: World) => Caller
  /** Makes what the request is about, where no scene has it. */
  readonly before?: (scene: Scene, world: World) => Promise<unknown>
  /** Whether it ends the tenant or the owner's tokens, or changes them for others: it gets its own. Default: false. */
  readonly endsPlace?: boolean
}

const uniqueName = (prefix: string) => `${prefix}-${randomUUID().slice(0, 8)}`
const guest = ({ guest: invited }: Scene) => invited
const member = ({ member: someone }: Scene) => someone
const offer = ({ ids, owner, member: to }: Scene, { api }: World) =>
  api.tenancy.offerOwnership({ tenant: ids['tenant'] ?? '', from: owner.id, to: to.id })
const rule = { method: 'GET', path: '/things/{id}' }
const access = ({ api }: World) => api.tenancy.access
const createRule = ({ platformIds }: Scene, world: World) =>
  access(world).createRouteRule({ ...rule, permission: platformIds['permission'] ?? '' })
const of = ({ ids }: Scene) => ({ tenant: ids['tenant'] ?? '', user: ids['user'] ?? '' })

/** By the id of the operation. A new operation with a body, or with a field of the query that is an id, is added here. */
export const fixtures: Readonly<Record<string, Fixture>> = {
  chooseDefaultTenant: { body: ({ tenant }) => ({ tenant }) },
  endOwnSession: { endsPlace: true },
  endOtherSessions: {
    endsPlace: true,
    as: ({ ownerInSession }) => ownerInSession,
  },
  acceptOwnInvitation: { as: guest },
  declineOwnInvitation: { as: guest },
  createTenant: { body: () => ({ name: 'Made', slug: uniqueName('made') }) },
  updateTenant: { body: () => ({ name: uniqueName('N'), contactEmail: 'a@example.com' }) },
  deleteTenant: { endsPlace: true },
  renameTenant: { endsPlace: true, body: () => ({ slug: uniqueName('renamed') }) },
  updateMember: { body: () => ({ position: 'x', department: null, attributes: { colour: 'red' } }) },
  updateOwnMembership: { body: () => ({ position: uniqueName('P'), department: 'y' }) },
  setMemberRoles: { body: () => ({ roles: ['Member', 'Admin'] }) },
  setMemberActive: { body: () => ({ isActive: false }) },
  leaveTenant: { as: member },
  createInvitation: {
    body: () => ({ email: `${randomUUID()}@example.com`, roles: ['Member'], expiresInSeconds: 3600 }),
  },
  resendInvitation: { body: () => ({ expiresInSeconds: 3600 }) },
  previewInvitation: { body: (_, { token }) => ({ token }) },
  acceptInvitation: { as: guest, body: (_, { token }) => ({ token }) },
  offerOwnership: { endsPlace: true, body: ({ to }) => ({ to, keep: 'Admin' }) },
  getOwnershipOffer: { endsPlace: true, before: offer },
  withdrawOwnership: { endsPlace: true, before: offer },
  acceptOwnership: { endsPlace: true, before: offer, as: member },
  declineOwnership: { endsPlace: true, before: offer, as: member },
  createRole: { body: () => ({ name: uniqueName('R'), description: 'x' }) },
  updateRole: { body: () => ({ name: uniqueName('R'), description: 'x', isActive: false }) },
  revokePermission: {
    before: ({ ids: { tenant = '', role = '', permission = '' } }, world) =>
      access(world).grantPermission({ tenant, role, permission }),
  },
  excludeRole: {
    before: ({ ids: { tenant = '', role = '', included = '' } }, world) =>
      access(world).includeRole({ tenant, role, included }),
  },
  explainAccess: { body: ({ user }) => ({ user, permission: 'members:read' }) },
  unassignRole: {
    before: (scene, world) => access(world).assignRole({ ...of(scene), role: scene.ids['role'] ?? '' }),
  },
  setOverride: { body: () => ({ effect: 'deny', expiresAt: '2999-01-01T00:00:00Z' }) },
  clearOverride: {
    before: (scene, world) => access(world).setOverride({ ...of(scene), permission: 'members:read', effect: 'deny' }),
  },
  addDomain: { body: () => ({ host: `app.${uniqueName('zone')}.example.org` }) },
  addEmailDomain: { body: () => ({ domain: `${uniqueName('zone')}.example.org`, roles: ['Member'] }) },
  updateEmailDomain: { body: () => ({ roles: ['Member'] }) },
  joinTenant: {
    as: ({ joiner }) => joiner,
    before: ({ tenant, ids }, { api }) =>
      api.tenancy.verifyEmailDomain({ tenant: tenant.id, domain: ids['emailDomain'] ?? '' }),
  },
  createServiceAccount: { body: () => ({ name: uniqueName('Account') }) },
  updateServiceAccount: { body: () => ({ name: uniqueName('Account'), isActive: false }) },
  createApiKey: {
    body: ({ serviceAccount }) => ({
      ...{ serviceAccount, name: 'K', permissions: ['tenant:read'], expiresAt: '2999-01-01T00:00:00Z' },
    }),
  },
  listApiKeys: { query: ({ serviceAccount = '' }) => ({ serviceAccount }) },
  updateApiKey: { body: () => ({ name: uniqueName('K'), permissions: [], expiresAt: null }) },
  rotateApiKey: { body: () => ({ overlapSeconds: 0 }) },
  listAuditEntries: { query: ({ actor = '' }) => ({ actor }) },
  exportAuditEntries: { query: ({ actor = '' }) => ({ actor }) },
  updateTenantSettings: { body: () => ({ theme: 'dark', mail: { host: uniqueName('host'), password: 'hunter22' } }) },

  exchangePlatformToken: { as: (_, { administrator: { id, accessToken } }) => ({ id, token: accessToken }) },
  listPlatformAuditEntries: { query: ({ actor = '' }) => ({ actor }) },
  exportPlatformAuditEntries: { query: ({ actor = '' }) => ({ actor }) },
  startExport: { body: () => ({ expiresInSeconds: 60 }) },
  deleteExport: { endsPlace: true },
  startPlatformExport: { body: () => ({ expiresInSeconds: 60 }) },
  deletePlatformExport: { endsPlace: true },
  startImpersonation: { body: ({ user }) => ({ user, reason: 'Ticket 4711', minutes: 60 }) },
  createPlatformTenant: {
    body: ({ owner }) => ({
      ...{ name: 'Made', slug: uniqueName('made'), owner, contactEmail: null, maxUsers: 7, labels: ['a'] },
    }),
  },
  updatePlatformTenant: { body: () => ({ name: uniqueName('N'), contactEmail: null, maxUsers: 100_000 }) },
  deletePlatformTenant: { endsPlace: true },
  renamePlatformTenant: { endsPlace: true, body: () => ({ slug: uniqueName('renamed') }) },
  labelPlatformTenant: { body: () => ({ labels: [uniqueName('label')] }) },
  suspendTenant: { endsPlace: true },
  activateTenant: {
    endsPlace: true,
    before: ({ tenant }, { api }) => api.tenancy.suspendTenant({ tenant: tenant.id }),
  },
  undeleteTenant: {
    endsPlace: true,
    before: ({ tenant }, { api }) => api.tenancy.deleteTenant({ tenant: tenant.id }),
  },
  purgeTenant: {
    endsPlace: true,
    body: (_, { tenant }) => ({ confirm: tenant.slug }),
    before: ({ tenant }, { api }) => api.tenancy.deleteTenant({ tenant: tenant.id }),
  },
  findUserByEmail: { query: (_, { guestEmail }) => ({ email: guestEmail }) },
  createUser: { body: () => ({ email: `${randomUUID()}@example.com`, name: 'N', emailVerified: true }) },
  enableUser: { before: ({ member: { id } }, { api }) => api.tenancy.disableUser({ user: id }) },
  createPermission: {
    body: ({ category }) => ({ name: `${uniqueName('more')}:read`, description: 'x', category }),
  },
  updatePermission: { body: ({ category }) => ({ description: uniqueName('D'), category }) },
  createCategory: { body: () => ({ name: uniqueName('Category'), description: 'x' }) },
  updateCategory: { body: () => ({ name: uniqueName('Category'), description: 'x' }) },
  createRouteRule: { body: ({ permission }) => ({ ...rule, permission }) },
  updateRouteRule: { before: createRule, body: ({ permission }) => ({ ...rule, permission, isActive: false }) },
  deleteRouteRule: { before: createRule, query: ({ permission = '' }) => ({ ...rule, permission }) },
  createBuiltInRole: { body: () => ({ name: uniqueName('R'), description: 'x' }) },
  updateBuiltInRole: { body: () => ({ name: uniqueName('R'), description: 'x' }) },
  revokeFromBuiltInRole: {
    before: ({ platformIds: { role = '', permission = '' } }, world) =>
      access(world).grantPermission({ tenant: null, role, permission }),
  },
  excludeFromBuiltInRole: {
    before: ({ platformIds: { role = '', included = '' } }, world) =>
      access(world).includeRole({ tenant: null, role, included }),
  },
  revokePlatformRole: { before: ({ ids }, { api }) => api.tenancy.grantPlatformRole({ user: ids['user'] ?? '' }) },
}

/** A request that can be sent with other ids, or another body. */
export interface Prepared {
  readonly scene: Scene
  readonly ids: Ids
  readonly body: object | undefined
  /** Sends it. What is given takes the place of what is right. */
  send(other?: SentParts): Promise<ApiAnswer>
}

/** Parts of a request that are not the right ones. */
export interface SentParts {
  readonly ids?: Ids
  /** Text goes out as it is. */
  readonly body?: unknown
  /** Null: nobody. */
  readonly as?: Caller | null
  readonly headers?: Readonly<Record<string, string>>
}

/** Makes everything that a right request of the operation is about. */
export async function prepare(world: World, operation: Operation, shared?: Scene): Promise<Prepared> {
  const fixture = fixtures[operation.id] ?? {}
  const scene = shared ?? (await world.createScene(fixture.endsPlace === true ? 'new' : 'shared'))
  const own = isOfPlatform(operation) ? scene.platformIds : scene.ids
  if (shared === undefined) await fixture.before?.(scene, world)
  const caller = fixture.as?.(scene, world) ?? (isOfPlatform(operation) ? world.administrator : scene.owner)
  return {
    ...{ scene, ids: own, body: fixture.body?.(own, scene) },
    async send({ ids = own, as = caller, headers, ...rest } = {}) {
      const body = 'body' in rest ? rest.body : fixture.body?.(ids, scene)
      const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(idOf(ids, name)))
      const query = String(new URLSearchParams(fixture.query?.(ids, scene)))
      // The header names the tenant of operations that have none in their path.
      const named = operation.id === 'listOwnPermissions' ? { 'x-tenant-id': scene.tenant.id } : {}
      return world.api.call(`${operation.method.toUpperCase()} ${path}${query === '' ? '' : `?${query}`}`, {
        ...{ as: as ?? undefined, headers: { ...named, ...headers } },
        ...(body === undefined ? {} : { body }),
      })
    },
  }
}

function idOf(ids: Ids, name: string): string {
  const id = ids[name]
  if (id === undefined) throw new Error(`the scene has nothing for the parameter ${name}: add it in world.ts`)
  return id
}
