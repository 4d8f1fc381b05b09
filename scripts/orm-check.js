// Runs the same facts of each ORM over a plain pg.Pool and over a tenant's pool, whose copy of pg is the ORM's own or
// another one, and prints a table. Not part of CI: it installs the ORMs, pinned, in a temporary folder. Ends with 1 when a
// tenant's pool behaves differently from a plain one, unless the table in docs/pools.md, "ORMs", says so.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { withServer } from '../bench/database.js'
import { createTenancy, loadConfig } from '../dist/index.js'
import { orms } from './orm-check/orms.js'
import { versions } from './orm-check/versions.js'

const page = readFileSync(new URL('../docs/pools.md', import.meta.url), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 't2f-orms-'))
try {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies: versions }))
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: 'inherit' })
  writeFileSync(join(folder, 'load.js'), 'export const load = (name) => import(name)\n')
  const schemaDir = mkdtempSync(join(folder, 'schema-'))
  writeFileSync(join(schemaDir, '0001_items.sql'), 'create table items (id int primary key, name text not null);')
  process.exitCode = await withServer((url) => check(url, schemaDir))
} finally {
  rmSync(folder, { recursive: true })
}

async function check(url, schemaDir) {
  const { load } = await import(pathToFileURL(join(folder, 'load.js')).href)
  const theirPg = (await load('pg')).default
  const config = loadConfig({ TENANT_DATABASE_URL: url, TENANT_SCHEMA_DIR: schemaDir })
  const rows = []
  for (const [name, open] of Object.entries(orms)) {
    const row = { ORM: name }
    row.plain = await withPlainPool(theirPg, url, (pool) => factsOf(open, pool, load))
    const tenancies = { 'one copy': { pg: copyOf(name, theirPg, load) }, 'another copy': {} }
    for (const [copies, options] of Object.entries(tenancies)) {
      row[copies] = await withTenantPool({ config, ...options }, (pool) => factsOf(open, pool, load))
    }
    rows.push(row)
  }
  console.table(rows)
  const undocumented = rows.flatMap(({ ORM, plain, ...results }) =>
    Object.entries(results)
      .filter(([copies, result]) => result !== plain && !page.includes(`| ${ORM} | ${copies} | \`${result}\` |`))
      .map(([copies, result]) => `${ORM} with ${copies}: ${result} instead of ${plain}; docs/pools.md does not say so`),
  )
  for (const line of undocumented) console.error(line)
  return undocumented.length === 0 ? 0 : 1
}

/** MikroORM brings a copy of its own. */
function copyOf(name, theirPg) {
  if (!name.startsWith('MikroORM')) return theirPg
  const resolve = createRequire(join(folder, 'package.json'))
  return createRequire(resolve.resolve('@mikro-orm/postgresql'))('pg')
}

/** "ok", the code of an error, or what was not as it should be. */
async function factsOf(open, pool, load) {
  try {
    const orm = await open(pool, load)
    await orm.insert(1, false)
    if ((await orm.read(1)) !== 'a') return 'the committed row is not there'
    const failed = await orm.insert(2, true).then(
      () => 'nothing thrown',
      (error) => error.message,
    )
    if (failed !== 'on purpose') return `the transaction failed with: ${failed}`
    if ((await orm.read(2)) !== undefined) return 'the row of the transaction that threw is there'
    if (orm.abort !== undefined) {
      await orm.abort(3)
      if ((await orm.read(3)) !== undefined) return 'the aborted row is there'
      if ((await orm.read(1)) !== 'a') return 'no reading after an abort'
    }
    await orm.close()
    return 'ok'
  } catch (error) {
    for (let cause = error; cause != null; cause = cause.cause)
      if (String(cause.code).startsWith('TENANCY_')) return cause.code
    return String(error.message).split('\n')[0]
  }
}

async function withPlainPool(pg, url, work) {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await admin.query('create database orm_check')
  const pool = new pg.Pool({ connectionString: new URL('/orm_check', url).href })
  pool.on('error', () => {})
  try {
    await pool.query('create table items (id int primary key, name text not null)')
    return await work(pool)
  } finally {
    if (!pool.ending) await pool.end()
    await admin.query('drop database orm_check with (force)')
    await admin.end()
  }
}

async function withTenantPool(options, work) {
  const tenancy = await createTenancy(options)
  try {
    const slug = `check-${Math.random().toString(36).slice(2, 8)}`
    const owner = await tenancy.createUser({ email: `${slug}@example.com`, name: 'Owner', emailVerified: true })
    const tenant = await tenancy.createTenant({ name: slug, slug, owner: owner.id })
    const pool = tenancy.getTenantPool(tenant)
    const result = await work(pool)
    const { rows } = await pool.query('select 1 as n')
    return rows[0].n === 1 ? result : 'the pool does not work afterwards'
  } finally {
    await tenancy.close()
  }
}
