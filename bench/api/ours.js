import pg from 'pg'
import { createTenancy, defineAccess, loadConfig, managementAccess } from 'tenants2fast'
import { createApi } from 'tenants2fast/api'
import { createWebHandler } from 'tenants2fast/web'

const most = 1_000_000

/**
 * The management API on a catalog of its own. Each method is given `few` or `many`, the tenants that its caller is in, and
 * prepares a call.
 */
export async function openOurs(url, { tenants, members, page }, creations) {
  const access = defineAccess({
    categories: managementAccess.categories,
    permissions: { ...managementAccess.permissions, 'reports:read': '' },
    roles: { Admin: { permissions: '*' }, Member: { permissions: ['reports:read'] } },
  })
  await stock(url, access, creations + 2)
  const tenancy = await createTenancy({
    config: loadConfig({ TENANT_DATABASE_URL: url, TENANT_READY_DATABASES: '0' }),
    access,
  })
  const tokens = new Map()
  const api = createApi({
    tenancy,
    // On, and so many that none is met.
    limits: {
      ...{ changesPerUser: most, changesPerTenant: most, readsPerUser: most, strangersPerAddress: most },
      ...{ invitationsPerAddress: most, sendsPerInvitation: most, invitationsPerTenant: most },
    },
    selfService: { tenantsPerUser: most, maxUsers: most },
    sendInvitation: async ({ email, token }) => void tokens.set(email, token),
  })
  const handle = createWebHandler({ tenancy, api })
  const catalog = new pg.Client({ connectionString: new URL(`/${tenancy.config.catalogDatabase}`, url).href })
  await catalog.connect()

  let count = 0
  const newUser = async () => {
    count += 1
    const email = `user-${count}@example.com`
    const { id } = await tenancy.createUser({ email, name: `User ${count}`, emailVerified: true })
    return { id, email, token: (await tenancy.issueAccessToken({ user: id })).token }
  }
  const call = async ({ token }, method, path, body) => {
    const response = await handle(
      new Request(`http://localhost${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      }),
      { remoteAddress: '127.0.0.1' },
    )
    const document = await response.json()
    if (response.ok) return document
    throw new Error(`${method} ${path}: ${JSON.stringify(document)}`)
  }

  const callers = { few: await newUser(), many: await newUser() }
  const creators = []
  const of = {}
  for (const [name, caller] of Object.entries(callers)) {
    of[name] = await tenancy.createTenant({ name, slug: `members-of-${name}`, owner: caller.id, maxUsers: most })
    await fill(catalog, of[name].id, members)
  }
  for (let index = 0; index < creations / 2; index += 1) creators.push(await newUser())
  await joinMany(catalog, callers.many.id, tenants)
  await catalog.query('update user_tenants set is_default = tenant_id = $2 where user_id = $1', [
    ...[callers.many.id, of.many.id],
  ])
  // Each of the others is in one tenant.
  for (const { id } of creators) await joinMany(catalog, id, 1)
  await catalog.query('vacuum analyze')

  return {
    async create(who) {
      count += 1
      const caller = who === 'few' ? creators.pop() : callers.many
      await call(caller, 'GET', '/me')
      const body = { name: 'Acme', slug: `acme-${count}` }
      return () => call(caller, 'POST', '/tenants', body)
    },
    async invite(who) {
      const invited = await newUser()
      // The front end has shown them who they are.
      await call(invited, 'GET', '/me')
      return async () => {
        const body = { email: invited.email, roles: ['Member'] }
        await call(callers[who], 'POST', `/tenants/${of[who].slug}/invitations`, body)
        await call(invited, 'POST', '/invitations/accept', { token: tokens.get(invited.email) })
      }
    },
    async list(who) {
      return async () => {
        const { items, total } = await call(callers[who], 'GET', `/tenants/${of[who].slug}/members?limit=${page}`)
        if (items.length !== page || total < members) throw new Error('not a measurement')
      }
    },
    async explain(who) {
      const body = { user: callers[who].id, permission: 'reports:read' }
      return async () => {
        const { allowed } = await call(callers[who], 'POST', `/tenants/${of[who].slug}/access/explain`, body)
        if (!allowed) throw new Error('not a measurement')
      }
    },
    async permissions(who) {
      return async () => {
        const { permissions } = await call(callers[who], 'GET', '/me/permissions')
        if (!permissions.includes('reports:read')) throw new Error('not a measurement')
      }
    },
    async close() {
      await catalog.end()
      await tenancy.close()
    },
  }
}

/** Builds databases first, so that none is built while something is measured. */
async function stock(url, access, ready) {
  const config = loadConfig({ TENANT_DATABASE_URL: url, TENANT_READY_DATABASES: String(ready) })
  const tenancy = await createTenancy({ config, access })
  await tenancy.fillStock()
  await tenancy.close()
}

async function fill(catalog, tenant, members) {
  await catalog.query('set session_replication_role = replica')
  await catalog.query(
    `with added as (
       insert into users (id, email, name, email_verified)
       select md5($1 || n)::uuid, 'member' || n || '-' || $1 || '@example.com', 'Member ' || n, true
       from generate_series(2, $2::int) n returning id
     ), joined as (insert into user_tenants (user_id, tenant_id) select id, $1::uuid from added)
     insert into user_tenant_roles (user_id, tenant_id, role_id)
     select added.id, $1::uuid, roles.id from added, roles where roles.name = 'Member' and roles.tenant_id is null`,
    [tenant, members],
  )
  await catalog.query('set session_replication_role = origin')
}

/** Makes a user a member of tenants that have no databases. */
async function joinMany(catalog, user, tenants) {
  await catalog.query(
    `with made as (
       insert into tenants (id, slug, name) select gen_random_uuid(), 'other-' || left($1, 13) || '-' || n, 'Other ' || n
       from generate_series(1, $2::int) n returning id
     ) insert into user_tenants (user_id, tenant_id) select $1::uuid, id from made`,
    [user, tenants],
  )
}
