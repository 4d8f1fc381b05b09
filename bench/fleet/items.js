// The two queries of the load: as SQL, and as Drizzle sends them.
import { eq, sql } from 'drizzle-orm'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'

/** @typedef {{ read(tenant: number, id: number): Promise<unknown>, write(tenant: number, id: number): Promise<unknown> }} Items */

/** @param {(tenant: number, text: string, values: unknown[]) => Promise<unknown>} query @returns {Items} */
export function itemsBySql(query) {
  return {
    read: (tenant, id) => query(tenant, 'select id, name, hits from items where id = $1', [id]),
    write: (tenant, id) => query(tenant, 'update items set hits = hits + 1 where id = $1', [id]),
  }
}

const items = pgTable('items', {
  id: integer().primaryKey(),
  name: text().notNull(),
  hits: integer().notNull().default(0),
})

/** @param {(tenant: number) => import('drizzle-orm/node-postgres').NodePgDatabase} databaseOf @returns {Items} */
export function itemsByDrizzle(databaseOf) {
  return {
    read: (tenant, id) => databaseOf(tenant).select().from(items).where(eq(items.id, id)),
    write: (tenant, id) =>
      databaseOf(tenant)
        .update(items)
        .set({ hits: sql`${items.hits} + 1` })
        .where(eq(items.id, id)),
  }
}
