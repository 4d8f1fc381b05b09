// What others do to all tenants: bare `pg` at the same parallelism, a shell loop of psql, and drizzle-multitenant.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createMigrator } from 'drizzle-multitenant/migrator'
import { defineConfig } from 'drizzle-multitenant'
import pg from 'pg'
import { fingerprintQuery, structureSettings } from '../../dist/fleet/drift/structure-sql.js'

/** @param {() => Promise<unknown>} work @returns {Promise<number>} milliseconds */
export async function milliseconds(work) {
  const started = performance.now()
  await work()
  return performance.now() - started
}

/** Connects to each tenant's database as the provisioning account, so many at a time, and runs `work` there. */
export async function onEach({ server, tenants }, parallelism, work = async () => {}, options) {
  let next = 0
  const { host, port, user, password } = server
  const worker = async () => {
    while (next < tenants.length) {
      const { account } = tenants[next++]
      const client = new pg.Client({ host, port, user, password, database: account.database, options })
      await client.connect()
      await work(client, account)
      await client.end()
    }
  }
  await Promise.all(Array.from({ length: parallelism }, worker))
}

/** The same statements in the same transactions, without any bookkeeping. */
export function bareMigration(fleet, parallelism, sql) {
  return onEach(fleet, parallelism, (client) => client.query(`begin; ${sql}; commit`))
}

/** One question for the fingerprint of the structure, as `fleet.check` asks it. */
export function fingerprintEach(fleet, parallelism) {
  const parameters = ({ database }) => [database, [], [], false, [], []]
  return onEach(
    fleet,
    parallelism,
    (client, account) => client.query(fingerprintQuery, parameters(account)),
    `${structureSettings} -c search_path=pg_catalog`,
  )
}

/** `for database in …; do psql -f FILE; done`. @returns {Promise<boolean>} false: there is no psql */
export async function psqlLoop({ server, tenants }, file) {
  const { host, port, user, password } = server
  const env = { ...process.env, PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password }
  const script =
    'command -v psql >/dev/null || exit 127; while read -r name; do psql -qXv ON_ERROR_STOP=1 -1 -d "$name" -f "$0" || exit 1; done'
  const child = spawn('bash', ['-c', script, file], { env, stdio: ['pipe', 'ignore', 'inherit'] })
  child.stdin.end(tenants.map(({ account }) => `${account.database}\n`).join(''))
  const [code] = await once(child, 'exit')
  if (code === 127) return false
  if (code !== 0) throw new Error(`The loop of psql ended with ${code}`)
  return true
}

/** Migrates the schemas of `makeSchemas` by drizzle-multitenant. `folder` is its folder of migrations. */
export function drizzleMigrator({ url, names }, folder, parallelism) {
  mkdirSync(folder, { recursive: true })
  const config = defineConfig({
    connection: { url },
    isolation: { strategy: 'schema', schemaNameTemplate: (tenant) => names[Number(tenant)] },
    schemas: { tenant: {} },
  })
  const tenantDiscovery = async () => names.map((_, index) => String(index))
  return {
    add: (name, sql) => writeFileSync(join(folder, name), sql),
    async migrate() {
      // A new one for each run, as each run of its command makes one.
      const migrator = createMigrator(config, { migrationsFolder: folder, tenantDiscovery })
      const { failed, total, details } = await migrator.migrateAll({ concurrency: parallelism })
      if (failed > 0) {
        throw new Error(
          `drizzle-multitenant failed for ${failed} of ${total}: ${details.find((one) => !one.success)?.error}`,
        )
      }
    },
  }
}
