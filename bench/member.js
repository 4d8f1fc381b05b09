// Adding a member: `addMember` by an actor, whose authority is checked, and by an operator, against the organization plugin of
// better-auth on the same server, and against one INSERT with its commit. On the embedded server, durable (fsync on), one at a
// time, taking turns. Round trips are counted where `pg` ends a message.
import { randomUUID } from 'node:crypto'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { organization } from 'better-auth/plugins'
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { withServer } from './database.js'
import { figure, limit, median } from './figures.js'

const runs = 200
const warmUps = 30

export function run() {
  return withServer(async (url) => {
    const tenancy = await createTenancy({
      config: loadConfig({ TENANT_DATABASE_URL: url, TENANT_READY_DATABASES: '1' }),
    })
    const rival = await openRival(url)
    const catalog = new pg.Client({ connectionString: new URL(`/${tenancy.config.catalogDatabase}`, url).href })
    await catalog.connect()
    try {
      return await measure(tenancy, rival, catalog)
    } finally {
      await catalog.end()
      await rival.close()
      await tenancy.close()
    }
  })
}

async function measure(tenancy, rival, catalog) {
  let count = 0
  const newUser = async () => {
    count += 1
    return (await tenancy.createUser({ email: `user-${count}@example.com`, emailVerified: true })).id
  }
  const owner = await newUser()
  const tenants = []
  for (const slug of ['by-actor', 'by-operator']) tenants.push(await tenancy.createTenant({ name: slug, slug, owner }))
  await catalog.query('create table bench_baseline (id bigint generated always as identity primary key, name text)')

  const subjects = {
    actor: async () => {
      const user = await newUser()
      return () => tenancy.addMember({ tenant: tenants[0].id, user, actor: owner })
    },
    operator: async () => {
      const user = await newUser()
      return () => tenancy.addMember({ tenant: tenants[1].id, user })
    },
    rival: () => rival.prepare(),
    floor: () => () => catalog.query('insert into bench_baseline (name) values ($1)', ['a member']),
  }
  const figures = Object.fromEntries(Object.keys(subjects).map((name) => [name, { ms: [], trips: [] }]))
  for (let round = -warmUps; round < runs; round += 1) {
    for (const [name, prepare] of Object.entries(subjects)) {
      const call = await prepare()
      const taken = await taking(call)
      if (round < 0) continue
      figures[name].ms.push(taken.ms)
      figures[name].trips.push(taken.trips)
    }
  }
  const { actor, operator, rival: theirs, floor } = figures
  const plugin = "better-auth's organization plugin"
  return [
    figure('addMember by an actor', 'ms', plugin, actor.ms, theirs.ms, '< 1'),
    figure('addMember by an operator', 'ms', plugin, operator.ms, theirs.ms, '< 1'),
    limit('addMember by an actor', median(actor.trips), 'round trips', median(theirs.trips), plugin, '<= 3'),
    figure('addMember by an actor', 'ms', 'one catalog INSERT and commit', actor.ms, floor.ms),
  ]
}

/** An organization of better-auth, in a database of its own on the same server. */
async function openRival(url) {
  const server = new pg.Client({ connectionString: url })
  await server.connect()
  await server.query('create database bench_rival')
  await server.end()
  const pool = new pg.Pool({ connectionString: new URL('/bench_rival', url).href, max: 10 })
  const options = {
    database: pool,
    baseURL: 'http://127.0.0.1',
    secret: randomUUID() + randomUUID(),
    emailAndPassword: { enabled: true },
    telemetry: { enabled: false },
    plugins: [organization({ membershipLimit: 1_000_000 })],
  }
  await (await getMigrations(options)).runMigrations()
  const auth = betterAuth(options)
  const organizationId = randomUUID()
  await pool.query('insert into organization (id, name, slug, "createdAt") values ($1, $2, $2, now())', [
    organizationId,
    'rival',
  ])
  return {
    async prepare() {
      const userId = randomUUID()
      await pool.query(
        `insert into "user" (id, name, email, "emailVerified", "createdAt", "updatedAt")
         values ($1, 'User', $1 || '@example.com', true, now(), now())`,
        [userId],
      )
      return () => auth.api.addMember({ body: { userId, organizationId, role: 'member' } })
    },
    close: () => pool.end(),
  }
}

let trips = 0
for (const name of ['sync', 'query']) {
  const send = pg.Connection.prototype[name]
  pg.Connection.prototype[name] = function (...given) {
    trips += 1
    return send.apply(this, given)
  }
}

async function taking(work) {
  const before = trips
  const started = performance.now()
  await work()
  return { ms: performance.now() - started, trips: trips - before }
}
