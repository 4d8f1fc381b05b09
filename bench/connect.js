// Opening a connection and sending the first query, as three roles that differ only in how they prove themselves: with a
// SCRAM verifier of one iteration (what tenant roles have), of 4096 (what PostgreSQL makes of a password), and not at all.
// Then our own open, which proves the identity of the database, and a bare connect as the same role.
import { readFile, writeFile } from 'node:fs/promises'
import pg from 'pg'
import { openSession } from '../dist/connections/session/open-session.js'
import { deriveRolePassword, scramVerifier } from '../dist/databases/server/role-password.js'
import { withServer } from './database.js'
import { figure } from './figures.js'

const databaseId = '00000000-0000-4000-8000-000000000000'
const rounds = 15
const perRound = 40

export function run() {
  return withServer(async (url) => {
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    const password = deriveRolePassword(Buffer.alloc(32, 7), 'bench')
    const roles = { one: 1, usual: 4096, trust: 1 }
    for (const [role, iterations] of Object.entries(roles)) {
      await admin.query(`create role ${role} login password '${scramVerifier(password, { iterations })}'`)
      // The embedded server's own databases are closed to PUBLIC.
      await admin.query(`grant connect on database postgres to ${role}`)
    }
    await trust(admin, 'trust')
    await admin.query(`create schema tenants2fast; grant usage on schema tenants2fast to one;
      create table tenants2fast.identity (database_id uuid, epoch integer); grant select on tenants2fast.identity to one;
      insert into tenants2fast.identity values ('${databaseId}', 1)`)
    const address = new URL(url)
    const config = { host: address.hostname, port: Number(address.port), database: 'postgres', password }
    const times = { one: [], usual: [], trust: [] }
    for (const role of Object.keys(roles)) await connect({ ...config, user: role })
    for (let round = 0; round < rounds; round += 1) {
      const names = Object.keys(roles)
      for (let index = 0; index < names.length; index += 1) {
        const user = names[(index + round) % names.length]
        const started = performance.now()
        for (let count = 0; count < perRound; count += 1) await connect({ ...config, user })
        times[user].push((performance.now() - started) / perRound)
      }
    }
    const opens = await compareOpens({ ...config, user: 'one' })
    await admin.end()
    return [
      figure('our open, with its proof of identity', 'ms', 'a bare pg connect', opens.own, opens.bare, '<= 1.1'),
      figure('our open and first query', 'ms', 'a bare pg connect and query', opens.ownQuery, opens.bareQuery),
      figure('connect and first query, SCRAM of 1 iteration', 'ms', 'SCRAM of 4096', times.one, times.usual, '< 1'),
      figure('connect and first query, SCRAM of 1 iteration', 'ms', 'trust', times.one, times.trust),
    ]
  })
}

async function connect(config) {
  const client = new pg.Client(config)
  await client.connect()
  await client.query('select 1')
  await client.end()
}

/** Times of rounds in which the ways to open take turns. Closing a connection is not counted. */
async function compareOpens(account) {
  const own = () => openSession({ databaseId, epoch: 1, account }, {}, { timeoutMs: 5000, prepareStatements: true })
  const bare = async () => {
    const client = new pg.Client(account)
    await client.connect()
    return client
  }
  const withQuery = (open) => async () => {
    const client = await open()
    await client.query('select 1')
    return client
  }
  const ways = Object.entries({ own, bare, ownQuery: withQuery(own), bareQuery: withQuery(bare) })
  const times = Object.fromEntries(ways.map(([name]) => [name, []]))
  for (let round = -1; round < rounds; round += 1) {
    const sums = Object.fromEntries(ways.map(([name]) => [name, 0]))
    for (let count = 0; count < perRound; count += 1) {
      for (let index = 0; index < ways.length; index += 1) {
        const [name, open] = ways[(index + count) % ways.length]
        const started = performance.now()
        const client = await open()
        sums[name] += performance.now() - started
        await client.end()
      }
    }
    // The first round warms up.
    if (round >= 0) for (const [name] of ways) times[name].push(sums[name] / perRound)
  }
  return times
}

/** Lets one role in without a password. */
async function trust(admin, role) {
  const { rows } = await admin.query('show hba_file')
  const file = rows[0].hba_file
  await writeFile(file, `host all ${role} 127.0.0.1/32 trust\nlocal all ${role} trust\n${await readFile(file, 'utf8')}`)
  await admin.query('select pg_reload_conf()')
}
