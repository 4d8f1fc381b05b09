import { createHmac, randomUUID } from 'node:crypto'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { organization } from 'better-auth/plugins'
import pg from 'pg'

const most = 1_000_000
const baseURL = 'http://127.0.0.1'

/** The organization plugin in a database of its own on the same server; methods as those of `openOurs`. */
export async function openRival(url, { tenants, members, page }) {
  const server = new pg.Client({ connectionString: url })
  await server.connect()
  await server.query('create database bench_rival')
  await server.end()
  const pool = new pg.Pool({ connectionString: new URL('/bench_rival', url).href, max: 10 })
  const secret = randomUUID() + randomUUID()
  const options = {
    ...{ database: pool, baseURL, secret, emailAndPassword: { enabled: true }, telemetry: { enabled: false } },
    plugins: [
      organization({
        ...{ organizationLimit: most, membershipLimit: most, invitationLimit: most },
        sendInvitationEmail: async () => {},
      }),
    ],
  }
  await (await getMigrations(options)).runMigrations()
  const auth = betterAuth(options)

  const call = async ({ cookie }, method, path, body) => {
    const response = await auth.handler(
      new Request(`${baseURL}/api/auth/organization/${path}`, {
        method,
        headers: { cookie, origin: baseURL, 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      }),
    )
    const document = await response.json()
    if (response.ok) return document
    throw new Error(`${method} ${path}: ${JSON.stringify(document)}`)
  }

  let count = 0
  /** Somebody with a session, as logging in makes it. */
  const newUser = async () => {
    count += 1
    const [id, token, email] = [randomUUID(), randomUUID(), `user-${count}@example.com`]
    await pool.query(
      `insert into "user" (id, name, email, "emailVerified", "createdAt", "updatedAt")
       values ($1, 'User', $2, true, now(), now())`,
      [id, email],
    )
    await pool.query(
      `insert into session (id, token, "userId", "expiresAt", "createdAt", "updatedAt")
       values ($1, $2, $3, now() + interval '7 days', now(), now())`,
      [randomUUID(), token, id],
    )
    const signature = createHmac('sha256', secret).update(token).digest('base64')
    return { id, email, cookie: `better-auth.session_token=${encodeURIComponent(`${token}.${signature}`)}` }
  }

  const callers = { few: await newUser(), many: await newUser() }
  const of = {}
  for (const [name, caller] of Object.entries(callers)) {
    of[name] = await call(caller, 'POST', 'create', { name, slug: `members-of-${name}` })
    await fill(pool, of[name].id, members)
  }
  await joinMany(pool, callers.many.id, tenants)
  await pool.query('vacuum analyze')

  return {
    async create(who) {
      const caller = who === 'few' ? await newUser() : callers.many
      if (who === 'few') await joinMany(pool, caller.id, 1)
      count += 1
      const body = { name: 'Acme', slug: `acme-${count}` }
      return () => call(caller, 'POST', 'create', body)
    },
    async invite(who) {
      const invited = await newUser()
      return async () => {
        const body = { email: invited.email, role: 'member', organizationId: of[who].id }
        const { id } = await call(callers[who], 'POST', 'invite-member', body)
        await call(invited, 'POST', 'accept-invitation', { invitationId: id })
      }
    },
    async list(who) {
      const query = `organizationId=${of[who].id}&limit=${page}&offset=0`
      return async () => {
        const { members: items, total } = await call(callers[who], 'GET', `list-members?${query}`)
        if (items.length !== page || total < members) throw new Error('not a measurement')
      }
    },
    async permission(who) {
      const body = { organizationId: of[who].id, permissions: { member: ['create'] } }
      return async () => {
        const { success } = await call(callers[who], 'POST', 'has-permission', body)
        if (!success) throw new Error('not a measurement')
      }
    },
    close: () => pool.end(),
  }
}

async function fill(pool, organizationId, members) {
  await pool.query(
    `with added as (
       insert into "user" (id, name, email, "emailVerified", "createdAt", "updatedAt")
       select gen_random_uuid()::text, 'Member ' || n, 'member' || n || '-' || $1 || '@example.com', true, now(), now()
       from generate_series(2, $2::int) n returning id
     ) insert into member (id, "organizationId", "userId", role, "createdAt")
     select gen_random_uuid()::text, $1, id, 'member', now() from added`,
    [organizationId, members],
  )
}

async function joinMany(pool, userId, organizations) {
  await pool.query(
    `with made as (
       insert into organization (id, name, slug, "createdAt")
       select gen_random_uuid()::text, 'Other ' || n, 'other-' || $1 || '-' || n, now()
       from generate_series(1, $2::int) n returning id
     ) insert into member (id, "organizationId", "userId", role, "createdAt")
     select gen_random_uuid()::text, id, $1, 'member', now() from made`,
    [userId, organizations],
  )
}
