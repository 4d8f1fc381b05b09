import type { DatabaseInspection } from '../../core/fleet/fleet-check.js'
import type { RehearsalDatabases } from '../../core/fleet/rehearsal.js'
import type { ServerPreparation } from '../building/server-preparation.js'
import { isApplicationSchema } from '../copying/relations.js'
import { readSizes, rehearseDatabase, type RehearsalParts } from './rehearse-database.js'

/** What {@link createRehearsals} needs. */
export interface RehearsalsOptions extends Pick<RehearsalParts, 'lockTimeoutMs' | 'withNewDatabase'> {
  readonly preparation: Pick<ServerPreparation, 'prepared'>
  readonly inspect: DatabaseInspection['inspect']
}

const rowCountsQuery = `
  select n.nspname || '.' || c.relname as name, c.reltuples as rows
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm') and ${isApplicationSchema('n.nspname')}`

/** Rehearsals on the databases of one server. */
export function createRehearsals({ preparation, inspect, ...how }: RehearsalsOptions): RehearsalDatabases {
  return {
    sizes: async (names) => readSizes((await preparation.prepared()).builder, names),

    rowCounts: (database, signal) =>
      inspect(database, { settings: '-c statement_timeout=10000', signal }, async ({ client }) => {
        const { rows } = await client.query<{ name: string; rows: number }>(rowCountsQuery)
        return new Map(rows.map(({ name, rows: count }) => [name, Math.max(0, count)]))
      }),

    async rehearse({ name }, rehearsal) {
      const { builder, schema } = await preparation.prepared()
      return rehearseDatabase({ builder, schema, ...how }, name, rehearsal)
    },
  }
}
