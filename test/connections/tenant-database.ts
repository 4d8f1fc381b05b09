import { randomUUID } from 'node:crypto'
import type { TenantDatabaseTarget } from '../../src/core/tenants/database-target.js'
import { quoteIdentifier, quoteLiteral } from '../../src/postgres/text/quote.js'
import { testServer, uniqueName, withAdmin } from '../support/server.js'

/** A tenant database with its own role, as the builder makes it: with an identity row, and CONNECT for its role only. */
export interface TestTenantDatabase {
  readonly key: string
  readonly target: TenantDatabaseTarget
  readonly resolveTarget: () => Promise<TenantDatabaseTarget>
  drop(): Promise<void>
}

export async function createTenantDatabase(): Promise<TestTenantDatabase> {
  const server = await testServer()
  const name = uniqueName()
  const id = quoteIdentifier(name)
  const databaseId = randomUUID()
  await withAdmin(async (admin) => {
    await admin.query(`create role ${id} login password ${quoteLiteral(name)}`)
    await admin.query(`create database ${id} template template0 strategy wal_log`)
    await admin.query(`revoke connect on database ${id} from public`)
    await admin.query(`grant connect, create, temporary on database ${id} to ${id}`)
  })
  await withAdmin(async (admin) => {
    await admin.query('create schema tenants2fast')
    await admin.query('create table tenants2fast.identity (database_id uuid, epoch integer)')
    await admin.query('insert into tenants2fast.identity values ($1, 1)', [databaseId])
    await admin.query(`grant usage on schema tenants2fast to ${id}`)
    await admin.query(`grant select on tenants2fast.identity to ${id}`)
    await admin.query('create table items (id int primary key, name text not null)')
    await admin.query("insert into items select i, 'item ' || i from generate_series(1, 100) i")
    await admin.query(`grant all on items to ${id}`)
  }, name)
  const account = { host: server.host, port: server.port, user: name, password: name, database: name }
  const target: TenantDatabaseTarget = { databaseId, epoch: 1, account }
  return {
    key: name,
    target,
    resolveTarget: () => Promise.resolve(target),
    async drop() {
      await withAdmin(async (admin) => {
        await admin.query(`drop database if exists ${id} with (force)`)
        await admin.query(`drop role if exists ${id}`)
      })
    },
  }
}

/** Counts the backends that serve the given databases now. */
export async function countBackends(databases: readonly string[]): Promise<number> {
  return (await backendsOf(databases)).size
}

/**
 * Reads the process ids of the backends that serve the given databases. Backends are read one after the other: one that ends
 * meanwhile and its successor may both be among them.
 */
export async function backendsOf(databases: readonly string[]): Promise<Set<number>> {
  return withAdmin(async (admin) => {
    const { rows } = await admin.query<{ pid: number }>('select pid from pg_stat_activity where datname = any($1)', [
      databases,
    ])
    return new Set(rows.map(({ pid }) => pid))
  })
}
