// One entry for each ORM: how it gets a pool, and what it does with it. `load` imports from the folder that the ORMs are in.

/**
 * @typedef {object} OpenOrm
 * @property {(id: number, thenThrow: boolean) => Promise<void>} insert in a transaction, which throws afterwards if told so
 * @property {(id: number) => Promise<string | undefined>} read the name, by a statement with a parameter
 * @property {() => Promise<void>} close as an application would, without thinking of others
 * @property {(id: number) => Promise<void>} [abort] starts to insert, for a minute, and aborts that
 */

/** @type {Record<string, (pool: import('pg').Pool, load: (name: string) => Promise<any>) => Promise<OpenOrm>>} */
export const orms = {
  'Drizzle 0.44': (pool, load) => drizzle(pool, load, 'drizzle-orm-044'),
  'Drizzle 0.45': (pool, load) => drizzle(pool, load, 'drizzle-orm'),
  'Kysely 0.28': (pool, load) => kysely(pool, load, 'kysely'),
  'Kysely 0.29': async (pool, load) => {
    const open = await kysely(pool, load, 'kysely-029')
    const { sql } = await load('kysely-029')
    return { ...open, abort: (id) => abortInsert(open.db, sql, id) }
  },
  'Prisma 7': prisma,
  'TypeORM 1.1': typeorm,
  'MikroORM 6': mikroOrm,
}

const failure = () => new Error('on purpose')

async function drizzle(pool, load, name) {
  const { drizzle: open } = await load(`${name}/node-postgres`)
  const { integer, pgTable, text } = await load(`${name}/pg-core`)
  const { eq } = await load(name)
  const items = pgTable('items', { id: integer().primaryKey(), name: text().notNull() })
  const db = open(pool)
  return {
    insert: (id, thenThrow) =>
      db.transaction(async (tx) => {
        await tx.insert(items).values({ id, name: 'a' })
        if (thenThrow) throw failure()
      }),
    read: async (id) => (await db.select().from(items).where(eq(items.id, id)))[0]?.name,
    close: async () => {},
  }
}

async function kysely(pool, load, name) {
  const { Kysely, PostgresDialect } = await load(name)
  const db = new Kysely({ dialect: new PostgresDialect({ pool }) })
  return {
    db,
    insert: (id, thenThrow) =>
      db.transaction().execute(async (tx) => {
        await tx.insertInto('items').values({ id, name: 'a' }).execute()
        if (thenThrow) throw failure()
      }),
    read: async (id) => (await db.selectFrom('items').select('name').where('id', '=', id).executeTakeFirst())?.name,
    close: () => db.destroy(),
  }
}

/** Aborts an insert of three seconds after half a second, and waits until half a second after it would have ended. */
async function abortInsert(db, sql, id) {
  const insert = sql`insert into items select ${id}, concat('a', pg_sleep(3))`
  const strategies = ['cancel query', 'kill session']
  for (const inflightQueryAbortStrategy of strategies) {
    const signal = AbortSignal.timeout(500)
    const outcome = await insert.execute(db, { signal, inflightQueryAbortStrategy }).then(
      () => 'the aborted query succeeded',
      (error) => error.name,
    )
    if (!/Abort|Timeout/.test(outcome)) throw new Error(outcome)
    await new Promise((resolve) => setTimeout(resolve, 4000))
  }
}

async function prisma(pool, load) {
  const { PrismaPg } = await load('@prisma/adapter-pg')
  const factory = new PrismaPg(pool)
  const adapter = await factory.connect()
  const args = (sql, values, argTypes) => ({ sql, args: values, argTypes })
  const int = { scalarType: 'int', arity: 'scalar' }
  return {
    async insert(id, thenThrow) {
      const tx = await adapter.startTransaction()
      await tx.executeRaw(args("insert into items values ($1, 'a')", [id], [int]))
      const end = thenThrow ? 'rollback' : 'commit'
      // The query engine sends the statement itself unless the adapter says that it does.
      if (!tx.options.usePhantomQuery) await tx.executeRaw(args(end, [], []))
      await tx[end]()
      if (thenThrow) throw failure()
    },
    read: async (id) =>
      (await adapter.queryRaw(args('select name from items where id = $1', [id], [int]))).rows[0]?.[0],
    close: () => adapter.dispose(),
  }
}

async function typeorm(pool, load) {
  await load('reflect-metadata')
  const { DataSource, EntitySchema } = await load('typeorm')
  const { default: pg } = await load('pg')
  const Items = new EntitySchema({
    name: 'items',
    columns: { id: { type: 'int', primary: true }, name: { type: 'text' } },
  })
  // TypeORM makes its pool itself: this class gives it ours.
  const Pool = function Pool() {
    return pool
  }
  const source = new DataSource({ type: 'postgres', driver: { ...pg, defaults: pg.defaults, Pool }, entities: [Items] })
  await source.initialize()
  return {
    insert: (id, thenThrow) =>
      source.transaction(async (manager) => {
        await manager.insert(Items, { id, name: 'a' })
        if (thenThrow) throw failure()
      }),
    read: async (id) => (await source.getRepository(Items).findOneBy({ id }))?.name,
    close: () => source.destroy(),
  }
}

async function mikroOrm(pool, load) {
  const { EntitySchema, MikroORM, PostgreSqlKnexDialect, knex } = await load('@mikro-orm/postgresql')
  const Item = new EntitySchema({
    name: 'Item',
    tableName: 'items',
    properties: { id: { type: 'integer', primary: true }, name: { type: 'text' } },
  })
  /** Knex has a pool of its own: it takes connections from the tenant's pool, and gives them back, where it would open and close. */
  class OnPool extends PostgreSqlKnexDialect {
    acquireRawConnection() {
      return pool.connect()
    }
    async destroyRawConnection(client) {
      client.release()
    }
  }
  const db = knex({ client: OnPool, version: '15.0', connection: {}, pool: { min: 0, max: 2, idleTimeoutMillis: 1 } })
  const orm = await MikroORM.init({ entities: [Item], dbName: 'any', driverOptions: db, connect: false })
  return {
    insert: (id, thenThrow) =>
      orm.em.fork().transactional(async (em) => {
        await em.insert(Item, { id, name: 'a' })
        if (thenThrow) throw failure()
      }),
    read: async (id) => (await orm.em.fork().findOne(Item, { id }))?.name,
    close: () => orm.close(true),
  }
}
