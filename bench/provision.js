// Creating a tenant: with ready databases in stock against one INSERT with its commit, and without stock against the
// bare DDL. On the embedded server, durable (fsync on), one at a time, taking turns with the baseline.
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { withServer } from './database.js'
import { figure } from './figures.js'

const runs = 40

export function run() {
  return withServer(async (url) => {
    // First, while there is none: what the other one leaves in stock would be taken.
    const without = await withoutStock(url)
    return [await withStock(url), without]
  })
}

async function withStock(url) {
  return withTenancy({ TENANT_DATABASE_URL: url, TENANT_READY_DATABASES: String(runs + 5) }, async (tenancy, owner) => {
    await tenancy.fillStock()
    const catalog = new pg.Client({ connectionString: new URL(`/${tenancy.config.catalogDatabase}`, url).href })
    await catalog.connect()
    await catalog.query('create table bench_baseline (id bigint generated always as identity primary key, name text)')
    const values = []
    const baselines = []
    for (let index = 0; index < runs; index += 1) {
      baselines.push(
        await milliseconds(() => catalog.query('insert into bench_baseline (name) values ($1)', [`tenant ${index}`])),
      )
      values.push(
        await milliseconds(() => tenancy.createTenant({ name: 'Acme', slug: `stock-${index}`, owner: owner.id })),
      )
    }
    await catalog.query('drop table bench_baseline')
    await catalog.end()
    return figure(
      'createTenant with stock',
      'ms',
      'one catalog INSERT and commit',
      values,
      baselines,
      '<= 5 ms and <= 5',
    )
  })
}

async function withoutStock(url) {
  return withTenancy({ TENANT_DATABASE_URL: url, TENANT_READY_DATABASES: '0' }, async (tenancy, owner) => {
    const server = new pg.Client({ connectionString: url })
    await server.connect()
    // Makes the template, too.
    await tenancy.createTenant({ name: 'Acme', slug: 'first', owner: owner.id })
    const { rows } = await server.query(
      "select datname from pg_database where datistemplate and datname like 'tenant\\_%'",
    )
    const values = []
    const baselines = []
    for (let index = 0; index < runs / 2; index += 1) {
      baselines.push(
        await milliseconds(async () => {
          await server.query(`create role bench_role_${index} login`)
          await server.query(`create database bench_database_${index} template "${rows[0].datname}"`)
        }),
      )
      values.push(
        await milliseconds(() => tenancy.createTenant({ name: 'Acme', slug: `no-stock-${index}`, owner: owner.id })),
      )
    }
    await server.end()
    return figure(
      'createTenant without stock',
      'ms',
      'bare CREATE ROLE and CREATE DATABASE',
      values,
      baselines,
      '<= 1.3',
    )
  })
}

async function withTenancy(env, work) {
  const tenancy = await createTenancy({ config: loadConfig(env) })
  try {
    const email = `owner-${Date.now()}@example.com`
    const owner = await tenancy.createUser({ email, name: 'Owner', emailVerified: true })
    return await work(tenancy, owner)
  } finally {
    await tenancy.close()
  }
}

async function milliseconds(work) {
  const started = performance.now()
  await work()
  return performance.now() - started
}
