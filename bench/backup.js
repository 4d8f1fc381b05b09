// `npm run bench -- backup`: one tenant of 200 MB beside `pg_dump -Fc` and `pg_restore`, on the same server and disk.
//
//   TENANT_DATABASE_URL  a server that the installed pg_dump fits; without it the benchmark cannot run
//   T2F_BENCH_MB         size of the tables, about (default 200)
//   T2F_BENCH_METHOD     pg_dump or copy (default: both)
//   T2F_BENCH_DIR        where archives go (default: the temporary folder)
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'

const execute = promisify(execFile)
const megabytes = Number(process.env.T2F_BENCH_MB ?? 200)
const quiet = { debug() {}, info() {}, warn() {}, error: (...all) => console.error(...all) }
const schema = `
  create table customers (id bigint generated always as identity primary key, name text not null, mail text, doc jsonb);
  create table orders (id bigint generated always as identity primary key, customer bigint not null references customers,
    placed timestamptz not null, total numeric not null, note text);
  create index on orders (customer);`

/** Seconds that work takes, and by how many MB the process grew meanwhile. */
async function timed(work) {
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  let peak = before
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20)
  const started = performance.now()
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return { seconds: (performance.now() - started) / 1000, grown: (peak - before) / 1e6 }
}

export async function run() {
  const url = process.env.TENANT_DATABASE_URL
  if (url === undefined) throw new Error('needs TENANT_DATABASE_URL, a server that the installed pg_dump fits')
  const folder = mkdtempSync(join(process.env.T2F_BENCH_DIR ?? tmpdir(), 't2f-backup-'))
  writeFileSync(join(folder, '0001_shop.sql'), schema)
  const catalog = `t2f_bench_backup_${process.pid}`
  const env = {
    TENANT_DATABASE_URL: url,
    TENANT_SECRET: 'be'.repeat(32),
    TENANT_CATALOG_DB: catalog,
    TENANT_DB_PREFIX: 't2f_bench_bk_',
    TENANT_SCHEMA_DIR: folder,
    TENANT_READY_DATABASES: '0',
  }
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  const tenancy = await createTenancy({ config: loadConfig(env), logger: quiet })
  const bare = `${catalog}_bare`
  try {
    const owner = (await tenancy.createUser({ email: 'o@example.com', emailVerified: true })).id
    const tenant = await tenancy.createTenant({ name: 'Shop', slug: 'shop', owner })
    const pool = tenancy.getTenantPool(tenant)
    // A row of orders has about 190 bytes with its indexes.
    const orders = megabytes * 5000
    await pool.query(
      `insert into customers (name, mail, doc) select md5(n::text), n || '@example.com', jsonb_build_object('n', n)
       from generate_series(1, $1) n`,
      [orders / 20],
    )
    await pool.query(
      `insert into orders (customer, placed, total, note)
       select n % $1 + 1, now() - n * interval '1 second', n * 0.01, md5(n::text) || md5((n * 7)::text) from generate_series(1, $2) n`,
      [orders / 20, orders],
    )
    const { rows } = await pool.query('select current_database() as name, pg_database_size(current_database()) as size')
    console.error(`${(Number(rows[0].size) / 1e6).toFixed(0)} MB in ${orders * 1.05} rows`)
    const { hostname, port, username, password } = new URL(url)
    const libpq = {
      PATH: process.env.PATH,
      PGHOST: hostname,
      PGPORT: port || '5432',
      PGUSER: username,
      PGPASSWORD: password,
    }
    const dump = join(folder, 'bare.dump')
    const baseDump = await timed(() => execute('pg_dump', ['-Fc', '-f', dump, rows[0].name], { env: libpq }))
    await admin.query(`create database ${bare} template template0`)
    const baseRestore = await timed(() =>
      execute('pg_restore', ['--no-owner', '--no-acl', '-d', bare, dump], { env: libpq }).catch(() => {}),
    )
    const figures = []
    for (const method of [process.env.T2F_BENCH_METHOD ?? ['pg_dump', 'copy']].flat()) {
      const to = join(folder, method)
      const backup = await timed(() => tenancy.backup({ tenant: 'shop', to, method }))
      const restore = await timed(() => tenancy.restore({ from: to, tenant: 'shop', keepDays: 0 }))
      for (const { name, own, base, against } of [
        { name: 'backup', own: backup, base: baseDump, against: 'pg_dump -Fc' },
        { name: 'restore', own: restore, base: baseRestore, against: 'pg_restore' },
      ]) {
        figures.push({
          name: `${name} of ${megabytes} MB by ${method} (process grew by ${own.grown.toFixed(0)} MB)`,
          value: Number(own.seconds.toFixed(2)),
          unit: 's',
          baseline: Number(base.seconds.toFixed(2)),
          against,
          ratio: Number((own.seconds / base.seconds).toFixed(2)),
          goal: '<= 1.3',
        })
      }
    }
    return figures
  } finally {
    await tenancy.reconcile()
    await tenancy.deleteTenant({ tenant: 'shop' }).catch(() => {})
    await tenancy.purgeTenant({ tenant: 'shop' }).catch(() => {})
    await tenancy.reconcile()
    await tenancy.close()
    await admin.query(`drop database if exists ${bare}`)
    await admin.query(`drop database if exists ${catalog} with (force)`)
    const { rows: left } = await admin.query(
      "select datname as name from pg_database where datname like 't2f\\_bench\\_bk\\_%'",
    )
    for (const { name } of left) {
      await admin.query(`alter database ${name} is_template false`)
      await admin.query(`drop database ${name} with (force)`)
    }
    const { rows: roles } = await admin.query(
      "select rolname as name from pg_roles where rolname like 't2f\\_bench\\_bk\\_%'",
    )
    for (const { name } of roles) await admin.query(`drop role ${name}`)
    await admin.end()
    rmSync(folder, { recursive: true, force: true })
  }
}
