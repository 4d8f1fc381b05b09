import type { BetterAuthOptions } from 'better-auth'
import { AsyncLocalStorage } from 'node:async_hooks'
import { auditActor } from '../../core/audit-actor.js'
import { setOrigin } from '../../core/audit-origin.js'
import type { SqlPool } from '../../core/sql-client.js'
import { runTogether } from '../../postgres/audited-query.js'

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
      let isInTransaction = false
      return {
        async query(text: string, values: readonly unknown[]) {
          const origin = setOrigin()
          if (!isInTransaction && origin !== undefined && /^(insert|update|delete|with)\b/i.test(text)) {
            return runTogether(client, origin, { text, values: [...values] })
          }
          const result = await client.query(text, [...values])
          // Kysely begins and ends a transaction like this. Settings last until its end, so a pooler in between is no problem.
          if (text === 'commit' || text === 'rollback') isInTransaction = false
          if (text !== 'begin') return result
          isInTransaction = true
          const userId = acting.getStore()
          if (userId !== undefined) await client.query(auditActor('$1'), [userId])
          if (origin !== undefined) await client.query(origin.text, origin.values)
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
