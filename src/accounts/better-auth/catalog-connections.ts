import type { BetterAuthOptions } from 'better-auth'
import type { SqlPool } from '../../core/sql.js'

/**
 * The catalog in the shape of the pool that better-auth runs its Kysely adapter on. So the library's statements and
 * transactions take the connections of the catalog, with its limits and its account of an outage; nothing else is opened.
 * The library never ends a pool that it was given; should it come to that, the catalog stays open.
 */
export function catalogConnections(catalog: SqlPool): BetterAuthOptions['database'] {
  const pool = {
    async connect() {
      const client = await catalog.connect()
      return {
        query: (text: string, values: readonly unknown[]) => client.query(text, [...values]),
        release: (destroy?: boolean) => client.release(destroy),
      }
    },
    end: async () => {},
  }
  // Kysely also reads `command` of a result; node-postgres, which is behind every catalog, gives it.
  return pool
}
