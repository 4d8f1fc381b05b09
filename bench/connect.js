// Opening a connection and sending the first query, as three roles that differ only in how they prove themselves: with a
// SCRAM verifier of one iteration (what tenant roles have), of 4096 (what PostgreSQL makes of a password), and not at all.
import { readFile, writeFile } from 'node:fs/promises'
import pg from 'pg'
import { deriveRolePassword, scramVerifier } from '../dist/databases/server/role-password.js'
import { withServer } from './database.js'
import { figure } from './figures.js'

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
    await admin.end()
    return [
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

/** Lets one role in without a password. */
async function trust(admin, role) {
  const { rows } = await admin.query('show hba_file')
  const file = rows[0].hba_file
  await writeFile(file, `host all ${role} 127.0.0.1/32 trust\nlocal all ${role} trust\n${await readFile(file, 'utf8')}`)
  await admin.query('select pg_reload_conf()')
}
