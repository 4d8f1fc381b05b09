import type { BetterAuthOptions } from 'better-auth'
import { AsyncLocalStorage } from 'node:async_hooks'
import { auditActor } from '../../core/audit-actor.js'
import type { SqlPool } from '../../core/sql-client.js'

const acting = new AsyncLocalStorage<string>()

/** Runs `callback`. The audit log shows this user as the actor of the transactions that the library runs in it. */
export function actingAs<Result>(userId: string, callback: () => Promise<Result>): Promise<Result> {
  return acting.run(userId, callback)
}

/**
 * Wraps the catalog as a pool for better-auth's Kysely adapter. The library's statements and transactions thus use the
 * catalog's connections, with its limits and its handling of outages, and nothing else is opened. The library never ends a
 * pool that it was given; if it did, the catalog would stay open.
 */
export function catalogConnections(catalog: SqlPool): BetterAuthOptions['database'] {
  const pool = {
    async connect() {
      const client = await catalog.connect()
      return {
        async query(text: string, values: readonly unknown[]) {
          const result = await client.query(text, [...values])
          const userId = acting.getStore()
          // Kysely begins a transaction like this. The setting lasts until its end, so a pooler in between is no problem.
          if (userId !== undefined && text === 'begin') await client.query(auditActor('$1'), [userId])
          return result
        },
        release: (destroy?: boolean) => client.release(destroy),
      }
    },
    end: async () => {},
  }
  // Kysely also reads `command` of a result, which node-postgres gives: every catalog uses it.
  return pool
}
