import type { BetterAuthOptions } from 'better-auth'
import { AsyncLocalStorage } from 'node:async_hooks'
import { auditActor } from '../../core/audit-actor.js'
import type { SqlPool } from '../../core/sql-client.js'

const acting = new AsyncLocalStorage<string>()

/** The transactions that the library runs for `work` are on record as this user's doing. */
export function actingAs<Result>(userId: string, work: () => Promise<Result>): Promise<Result> {
  return acting.run(userId, work)
}

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
        async query(text: string, values: readonly unknown[]) {
          const result = await client.query(text, [...values])
          const userId = acting.getStore()
          // How Kysely begins. The setting lasts as long as the transaction, so a pooler may stand in between.
          if (userId !== undefined && text === 'begin') await client.query(auditActor('$1'), [userId])
          return result
        },
        release: (destroy?: boolean) => client.release(destroy),
      }
    },
    end: async () => {},
  }
  // Kysely also reads `command` of a result; node-postgres, which is behind every catalog, gives it.
  return pool
}
