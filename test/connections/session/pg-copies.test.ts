// Two copies of pg in one process: an ORM uses one copy, and the tenant's pool may be of the other.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { drizzle as drizzle044 } from 'drizzle-orm-044/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { integer as integer044, pgTable as pgTable044, text as text044 } from 'drizzle-orm-044/pg-core'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import * as pgNamespace from 'pg'
import second from 'pg-second'
import { expect, test } from 'vitest'
import { createConnectionScheduler } from '../../../src/connections/scheduler.js'
import { pgCopyOf } from '../../../src/connections/session/client/pg-copy.js'
import type { PgModule } from '../../../src/core/tenants/pg-module.js'
import type { TenantPool } from '../../../src/core/tenants/tenant-pool.js'
import { createTenancy } from '../../../src/tenancy.js'
import { acquaint, useScheduler } from '../fixture.js'

const { start, stats, databases, current } = useScheduler(1)

const items = pgTable('items', { id: integer().primaryKey(), name: text().notNull() })
const items044 = pgTable044('items', { id: integer044().primaryKey(), name: text044().notNull() })

const idsFrom = async (pool: TenantPool, first: number): Promise<number[]> => {
  const { rows } = await pool.query<{ id: number }>('select id from items where id >= $1 order by id', [first])
  return rows.map(({ id }) => id)
}

interface Transactions {
  /** Inserts the row in a transaction, then throws if `thenThrow` is set. */
  insert(id: number, thenThrow: boolean): Promise<unknown>
}

function fail(): never {
  throw new Error('on purpose')
}

const orms: Record<string, (pool: TenantPool) => Transactions> = {
  'Drizzle 0.45': (pool) => ({
    insert: (id, thenThrow) =>
      drizzle(pool).transaction(async (tx) => {
        await tx.insert(items).values({ id, name: 'a' })
        await tx.transaction((nested) => nested.update(items).set({ name: 'b' }).where(eq(items.id, id)))
        if (thenThrow) fail()
      }),
  }),
  'Drizzle 0.44': (pool) => ({
    insert: (id, thenThrow) =>
      drizzle044(pool).transaction(async (tx) => {
        await tx.insert(items044).values({ id, name: 'a' })
        if (thenThrow) fail()
      }),
  }),
  Kysely: (pool) => ({
    insert: (id, thenThrow) =>
      new Kysely<{ items: { id: number; name: string } }>({ dialect: new PostgresDialect({ pool }) })
        .transaction()
        .execute(async (tx) => {
          await tx.insertInto('items').values({ id, name: 'a' }).execute()
          if (thenThrow) fail()
        }),
  }),
}

/** Drizzle 0.44 wants instances of its own copy's Pool. Its copy is the one that this package resolves. */
const isRefusedWith: Record<string, PgModule> = { 'Drizzle 0.44': second }

for (const [name, open] of Object.entries(orms)) {
  for (const [copies, module] of Object.entries({ 'one copy': pg, 'another copy': second })) {
    test(`a transaction of ${name} with ${copies} of pg commits or rolls back as a whole, or is refused`, async () => {
      const [pool] = start({ pg: module }) as [TenantPool]
      const transactions = open(pool)
      if (isRefusedWith[name] === module) {
        const error: unknown = await transactions.insert(1000, false).catch((refusal: unknown) => refusal)
        const { cause = error } = error as Error
        expect(cause).toMatchObject({ code: 'TENANCY_CONNECTION_TRANSACTION' })
        await expect(transactions.insert(1000, true)).rejects.toThrow()
        expect(await idsFrom(pool, 1000)).toEqual([])
        return
      }
      await transactions.insert(1000, false)
      await expect(transactions.insert(1001, true)).rejects.toThrow('on purpose')
      expect(await idsFrom(pool, 1000)).toEqual([1000])
      await pool.query('delete from items where id >= 1000')
      await expect.poll(() => stats().inUse).toBe(0)
    })
  }
}

test('pools and clients are instances of the copy of pg that was handed in, and of no other', async () => {
  for (const [module, other] of [
    [pg, second],
    [second, pg],
  ] as const) {
    const [pool] = start({ pg: module }) as [TenantPool]
    const client = await pool.connect()
    expect([pool instanceof module.Pool, client instanceof module.Client]).toEqual([true, true])
    expect([pool instanceof other.Pool, client instanceof other.Client]).toEqual([false, false])
    const connected = new Promise((resolve) => pool.once('acquire', resolve))
    await pool.query('select 1')
    expect(await connected).toBeInstanceOf(module.Client)
    client.release()
    await current().close()
  }
})

test('a client of another copy of pg reads, prepares, resets and cancels like one of our own', async () => {
  const [pool] = start({ pg: second, maxConnections: 1 }) as [TenantPool]
  await acquaint(pool)
  for (let round = 0; round < 4; round += 1) {
    expect((await pool.query('select name from items where id = $1', [round + 1])).rows).toEqual([
      { name: `item ${round + 1}` },
    ])
  }
  const prepared = 'select count(*)::int as n from pg_prepared_statements where not from_sql'
  expect((await pool.query(prepared)).rows[0]).toEqual({ n: 1 })
  await pool.query("set application_name = 'changed'")
  expect((await pool.query('show application_name')).rows[0]).toEqual({ application_name: '' })
  const client = await pool.connect()
  await client.query('begin')
  await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
  client.release()
  const left = await pool.connect()
  const sleeping = left.query('select pg_sleep(60)')
  left.release()
  await expect(sleeping).rejects.toMatchObject({ code: '57014' })
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  await expect(pool.query('begin')).rejects.toMatchObject({ code: 'TENANCY_CONNECTION_TRANSACTION' })
})

test('a query object can be used again by pool and client, with promises and callbacks', async () => {
  for (const module of [pg, second]) {
    const [pool] = start({ pg: module, maxConnections: 1 }) as [TenantPool]
    const query = { text: 'select $1::int as n', values: [1] }
    for (let round = 0; round < 3; round += 1) {
      expect((await pool.query(query)).rows).toEqual([{ n: 1 }])
      await new Promise((resolve) => pool.query(query, resolve))
      const client = await pool.connect()
      expect((await client.query(query)).rows).toEqual([{ n: 1 }])
      client.release()
    }
    expect(Object.keys(query)).toEqual(['text', 'values'])
    await current().close()
  }
})

test('an option pg that is no copy of pg is refused at the start, before anything is opened', async () => {
  const parts = { ...pg, Client: pg.Client, Pool: pg.Pool }
  /** Like node-postgres's native client, it has no connection of its own. */
  const Native = function Client() {
    return Object.assign(new pg.Client(), { connection: undefined })
  }
  Native.prototype = pg.Client.prototype
  const nonsense = [{}, null, 42, 'pg', Map, { Client: pg.Client }, { ...parts, Client: Map }, pg.Pool]
  for (const given of [...nonsense, { ...parts, Client: Native }]) {
    await expect(createTenancy({ pg: given as unknown as PgModule })).rejects.toMatchObject({
      code: 'TENANCY_CONFIG_INVALID',
      message: expect.stringContaining('import pg from'),
    })
  }
})

test('a copy of pg is accepted in every form that an import gives', async () => {
  const forms = [pg, pgNamespace, second, { default: second }, await import('pg')] as PgModule[]
  expect(forms.map((form) => pgCopyOf(form).Client)).toEqual([pg, pg, second, second, pg].map(({ Client }) => Client))
})

test('another copy of pg that takes a tenant’s pool for options connects nowhere, and says why', async () => {
  const [pool] = start() as [TenantPool]
  await pool.query('select 1')
  const foreign = { code: 'TENANCY_CONNECTION_FOREIGN', message: expect.stringContaining('createTenancy({ pg })') }
  for (const options of [pool, pool.options, Object.assign({}, pool), { ...pool.options }]) {
    const other = new second.Pool(options as unknown as pg.PoolConfig)
    await expect(other.query('select 1')).rejects.toMatchObject(foreign)
    await expect(other.connect().then((client) => client.query('select 1'))).rejects.toMatchObject(foreign)
    const told = new Promise((resolve) => other.query('select 1', (error: Error) => resolve(error)))
    expect(await told).toMatchObject(foreign)
    expect(() => new second.Client(options as unknown as pg.ClientConfig)).toThrow(
      expect.objectContaining({ code: foreign.code }),
    )
  }
  expect(stats().opened).toBe(1)
})

test('a tenant’s pool and its options show neither the password nor functions that connect', async () => {
  const [pool] = start() as [TenantPool]
  const account = databases[0]?.target.account.password ?? ''
  const shown = [Object.assign({}, pool), Object.assign({}, pool.options)]
  expect(JSON.stringify(shown)).not.toContain(account)
  const functions = shown.flatMap((part) =>
    Object.keys(part).filter((name) => typeof part[name as never] === 'function'),
  )
  expect([...new Set(functions)].toSorted()).toEqual(['Client', 'Promise', 'log', 'stream'])
})

test('Drizzle 0.45 with another copy of pg knows a pool by its class name after a minifier ran', () => {
  const folder = mkdtempSync(join(tmpdir(), 't2f-minified-'))
  try {
    const outfile = join(folder, 'bundle.cjs')
    const entry = `
      import { createConnectionScheduler } from './src/connections/scheduler.ts'
      const pool = createConnectionScheduler().pool('a', async () => { throw new Error('none') })
      const { constructor } = Object.getPrototypeOf(pool)
      process.stdout.write(JSON.stringify([constructor.name, pool.constructor.name]))`
    execFileSync('node_modules/.bin/esbuild', ['--bundle', '--minify', '--platform=node', `--outfile=${outfile}`], {
      input: entry,
    })
    expect(JSON.parse(execFileSync(process.execPath, [outfile], { encoding: 'utf8' }))).toEqual([
      'TenantPool',
      'TenantPool',
    ])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a scheduler without the option pg makes pools of the copy that this package resolves', async () => {
  const scheduler = createConnectionScheduler()
  expect(scheduler.pool('a', () => Promise.reject(new Error('none')))).toBeInstanceOf(pg.Pool)
  await scheduler.close()
})
