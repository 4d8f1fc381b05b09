import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Operation } from '../../../src/api/operation.js'
import { operations as ofTenantsAndUsers, platformOperations } from '../../../src/api/operations/index.js'
import { secret, type Tenant } from '../../../src/index.js'
import { type ApiApp, type ApiAnswer, type Caller, createApiApp } from '../api-app.js'

/** Every operation of the product, those to come included. */
export const operations: readonly Operation[] = [...ofTenantsAndUsers, ...platformOperations]
export const isOfPlatform = ({ access }: Operation) => 'platform' in access
export const nameOf = ({ method, path }: Operation) => `${method.toUpperCase()} ${path}`
/** Operations of one tenant, by its members. */
export const ofTenants = operations.filter((each) => each.path.includes('{tenant}') && !isOfPlatform(each))

/** Everything that an id or name in a request can mean, by the name of the parameter or field. */
export type Ids = Readonly<Record<string, string>>

/** Things that requests can be about, made for one test. */
export interface Scene {
  readonly tenant: Tenant
  readonly owner: Caller
  /** The owner, with a token of the session. */
  readonly ownerInSession: Caller
  readonly member: Caller
  /** Somebody with an open invitation to the tenant. */
  readonly guest: Caller
  readonly guestEmail: string
  /** Somebody whose address is of the e-mail domain of the tenant, which its name servers prove. */
  readonly joiner: Caller
  /** The token of that invitation. */
  readonly token: string
  /** Ids for operations of tenants and users, by name of the parameter. */
  readonly ids: Ids
  /** Ids and names for operations of the platform. */
  readonly platformIds: Ids
}

/** A lock that a test holds. */
export interface Blocked {
  /** Resolves when somebody waits for it. */
  waited(): Promise<void>
  release(): Promise<void>
}

/** An installation with two tenants that know nothing of each other. */
export interface World {
  readonly api: ApiApp
  readonly administrator: Caller & { readonly accessToken: string }
  /** Makes things in a tenant. Default: one that scenes share. */
  createScene(tenant?: 'shared' | 'new' | 'foreign'): Promise<Scene>
  /** What is in the catalog, apart from counts of requests: equal texts, equal content. */
  fingerprint(except?: readonly string[]): Promise<string>
  /** Locks the tenant's row, which every change of access in it takes first. */
  block(tenantId: string): Promise<Blocked>
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
  close(): Promise<void>
}

const tenantSettings = z.object({
  theme: z.enum(['light', 'dark']).default('light'),
  mail: z.object({ host: z.string().default('localhost'), password: secret(z.string()).optional() }).prefault({}),
})

const shortName = (prefix: string) => `${prefix}-${randomUUID().slice(0, 8)}`

/** Refused requests are counted, too, and databases are looked after in the background. */
const notCompared = ['limited_requests', 'database_servers', 'tenant_databases']

/** Opens the world. */
export async function createWorld(): Promise<World> {
  /** What the name servers know. */
  const records = new Map<string, string[]>()
  const domains = { resolveTxt: async (name: string) => records.get(name) ?? [], maxPerTenant: 200 }
  const api = await createApiApp(undefined, {}, { tenantSettings, domains })
  const { catalog } = api.tenancy.accountsHost()
  const query = async <Row extends object>(text: string, values: readonly unknown[] = []) =>
    (await catalog.query<Row>(text, [...values])).rows
  const [owner, stranger] = [await api.createUser(), await api.createUser()]
  const places = {
    shared: await placeOf(owner),
    foreign: await placeOf(stranger),
  }
  let scenes = 0
  const administrator = await api.createAdministrator()
  // One more, so that none is the last.
  await api.createAdministrator()
  const tables = (
    await query<{ name: string }>(
      `select quote_ident(table_name) as name from information_schema.tables
       where table_schema = 'public' and table_type = 'BASE TABLE' and table_name <> all($1) order by 1`,
      [notCompared],
    )
  ).map(({ name }) => name)

  async function newPlace() {
    return placeOf(await api.createUser())
  }

  /** A tenant with an export that is ready. */
  async function placeOf(by: Caller) {
    const tenant = await api.createTenant(by)
    const { id } = await api.tenancy.startTenantExport({ tenant: tenant.id, actor: by.id })
    await exportsEnded()
    return { tenant, owner: by, export: id }
  }

  async function exportsEnded() {
    const underWay = () => query("select from tenant_exports where state in ('queued', 'running')")
    while ((await underWay()).length > 0) await sleep(20)
  }

  return {
    ...{ api, administrator, query },
    async createScene(where = 'shared') {
      scenes += 1
      // A tenant has at most 100 service accounts.
      if (scenes % 50 === 0) places.shared = await newPlace()
      const { tenant, owner: by, export: exported } = where === 'new' ? await newPlace() : places[where]
      const { tenancy } = api
      const of = { tenant: tenant.id, actor: by.id }
      const [member, guest] = [await api.join(tenant, ['Member']), await api.createUser()]
      const createRole = async (place: string | null) =>
        tenancy.access.createRole({ tenant: place, name: shortName('R') })
      const [role, included] = [await createRole(tenant.id), await createRole(tenant.id)]
      const [builtIn, builtInIncluded] = [await createRole(null), await createRole(null)]
      const { id: serviceAccount } = await tenancy.createServiceAccount({ ...of, name: shortName('Account') })
      const key = { ...of, serviceAccount, name: 'Key', permissions: ['tenant:read'] }
      const { apiKey } = await tenancy.createApiKey(key)
      const guestEmail = (await tenancy.getUser(guest.id)).email
      const invited = await tenancy.createInvitation({ ...of, email: guestEmail, roles: [] })
      const family = randomUUID()
      const [session] = await query<{ id: string }>(
        `insert into refresh_families (id, user_id, token_hash, expires_at)
         values ($1, $2, sha256($3::text::bytea), now() + interval '1 hour') returning session_id(id) as id`,
        [family, by.id, family],
      )
      const inSession = { user: by.id, session: session?.id ?? '' }
      const { token } = await tenancy.accountsHost().issueAccessToken(inSession)
      const zone = `${shortName('zone')}.example.org`
      const domain = await tenancy.addDomain({ ...of, host: `app.${zone}` })
      const emailDomain = await tenancy.addEmailDomain({ ...of, domain: zone })
      for (const { recordName, recordValue } of [domain, emailDomain]) records.set(recordName, [recordValue])
      const { id: joinerId } = await tenancy.createUser({ email: `joiner@${zone}`, emailVerified: true })
      const joiner = { id: joinerId, token: (await tenancy.issueAccessToken({ user: joinerId })).token }
      const permission = `${shortName('things')}:read`
      await tenancy.access.createPermission({ name: permission })
      const category = shortName('Category')
      await tenancy.access.createCategory({ name: category })
      const { impersonation } = await tenancy.startImpersonation({
        ...{ tenant: tenant.id, user: member.id, reason: 'Ticket', minutes: 60, actor: administrator.id },
      })
      const people = { user: member.id, to: member.id, owner: by.id, actor: by.id }
      return {
        ...{
          tenant,
          owner: by,
          ownerInSession: { id: by.id, token },
          member,
          guest,
          guestEmail,
          joiner,
          token: invited.token,
        },
        ids: {
          ...{ ...people, id: tenant.id, domain: domain.id, emailDomain: emailDomain.id, export: exported },
          ...{ tenant: tenant.id, role: role.id, included: included.id, permission: 'members:read' },
          ...{ invitation: invited.invitation.id, serviceAccount, apiKey: apiKey.id, session: session?.id ?? '' },
        },
        platformIds: {
          ...{ ...people, domain: domain.id, emailDomain: emailDomain.id },
          ...{ tenant: tenant.id, role: builtIn.id, included: builtInIncluded.id, permission, category },
          ...{ impersonation: impersonation.id, export: exported },
        },
      }
    },
    async block(tenantId) {
      const client = await catalog.connect()
      await client.query('begin')
      await client.query('select from tenants where id = $1 for update', [tenantId])
      return {
        async waited() {
          const waiting = () =>
            query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
          while ((await waiting()).length === 0) await sleep(5)
        },
        async release() {
          await client.query('rollback')
          client.release()
        },
      }
    },
    async fingerprint(except = []) {
      await exportsEnded()
      const parts: string[] = []
      for (const table of tables.filter((name) => !except.includes(name))) {
        const [row] = await query<{ hash: string | null }>(
          `select md5(string_agg(each::text, E'\\n' order by each::text)) as hash from ${table} as each`,
        )
        parts.push(`${table}: ${row?.hash ?? 'empty'}`)
      }
      return parts.join('\n')
    },
    query,
    close: () => api.close(),
  }
}

/** What differs between two answers to equal requests, and says nothing. */
const incidental = new Set(['date', 'ratelimit', 'connection', 'keep-alive'])

const uuids = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

/** Everything that an answer tells: two that are to be the same are equal. Ids, which the caller has sent, are left out. */
export function told({ status, json, headers }: ApiAnswer, sent = ''): object {
  const given = JSON.stringify(json) ?? ''
  const text = (sent === '' ? given : given.replaceAll(JSON.stringify(sent).slice(1, -1), '<id>')).replaceAll(
    uuids,
    '<id>',
  )
  const repeats = text.includes('<id>')
  const others = Object.entries(headers).filter(
    ([name]) => !incidental.has(name) && !(repeats && name === 'content-length'),
  )
  return { status, text, headers: others.toSorted(([a], [b]) => (a < b ? -1 : 1)) }
}
