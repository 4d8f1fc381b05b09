// The tenants of drizzle-multitenant: a schema for each, in one database of the same server, with the same tables.
import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'
import { scramVerifier } from '../../dist/databases/server/role-password.js'

/** And the role that owns it. */
export const schemasDatabase = 't2f_bench_schemas'
// Of one iteration, as with tenants' roles: a login costs both sides the same.
const password = '5c'.repeat(32)
const folder = new URL('schema/', import.meta.url)

/**
 * Makes them, unless an earlier run left them in a server that is kept.
 *
 * @param {import('./fleet.js').Fleet} fleet
 * @param {number} count
 * @returns {Promise<{ url: string, names: string[] }>} `url`: of a role that owns the schemas
 */
export async function makeSchemas({ admin, server: { host, port }, url }, count) {
  const names = Array.from({ length: count }, (_, index) => `tenant_${index}`)
  const made = { url: `postgres://${schemasDatabase}:${password}@${host}:${port}/${schemasDatabase}`, names }
  const { rowCount } = await admin.query('select from pg_roles where rolname = $1', [schemasDatabase])
  if (rowCount === 0) {
    await admin.query(`create role ${schemasDatabase} login password '${scramVerifier(password, { iterations: 1 })}'`)
    await admin.query(`create database ${schemasDatabase} owner ${schemasDatabase}`)
  }
  const owner = new pg.Client({ connectionString: new URL(`/${schemasDatabase}`, url).href })
  await owner.connect()
  try {
    await owner.query(`set role ${schemasDatabase}`)
    const { rows } = await owner.query("select nspname from pg_namespace where nspname like 'tenant%'")
    const existing = new Set(rows.map(({ nspname }) => nspname))
    const tables = readdirSync(folder)
      .toSorted()
      .map((file) => readFileSync(new URL(file, folder), 'utf8'))
    for (const name of names) {
      if (existing.has(name)) continue
      const statements = [`create schema ${name}`, `set local search_path = ${name}`, ...tables]
      await owner.query(`begin; ${statements.join(';')}; commit`)
    }
  } finally {
    await owner.end()
  }
  return made
}
