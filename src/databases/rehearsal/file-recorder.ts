import type { FileEffects } from '../../core/fleet/rehearsal.js'
import { isAtLeast, type LockMode, lockModes } from '../../core/fleet/lock-modes.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { SqlLedger } from '../../postgres/files/sql-files.js'
import { isApplicationSchema } from '../copying/relations.js'

/** Watches files while they run, and tells what the last one did. */
export interface FileRecorder extends Required<Pick<SqlLedger, 'prepare' | 'finish'>> {
  readonly effects: FileEffects
  /** From the first statement of the last file to its last one, or until now if it has failed. */
  readonly durationMs: number
}

interface Known {
  readonly name: string
  readonly file: string
  readonly hasRows: boolean
  readonly isTable: boolean
}

const none: FileEffects = { locks: [], rewritten: [], written: [] }

// Statistics say how many rows a table has: a copy is analysed when it is filled.
const relationsQuery = `
  select c.oid::pg_catalog.text as oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
    c.relfilenode::pg_catalog.text as file, c.reltuples > 0 as "hasRows", c.relkind in ('r', 'm') as "isTable"
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'm', 'v', 'f') and ${isApplicationSchema('n.nspname')}`

const filesQuery = `select oid::pg_catalog.text as oid, relfilenode::pg_catalog.text as file from pg_catalog.pg_class`

const locksQuery = `
  select relation::pg_catalog.text as oid, mode from pg_catalog.pg_locks
  where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted`

const writesQuery = `
  select relid::pg_catalog.text as oid, (n_tup_upd + n_tup_del)::pg_catalog.int4 as rows
  from pg_catalog.pg_stat_xact_user_tables where n_tup_upd + n_tup_del > 0`

/**
 * Compares the relations before and after each file, inside of its transaction. What the file makes itself does not count.
 */
export function createFileRecorder(): FileRecorder {
  let known = new Map<string, Known>()
  let writesBefore = new Map<string, number>()
  let effects = none
  let begunAt: number | undefined
  let durationMs: number | undefined

  return {
    get effects() {
      return effects
    },
    get durationMs() {
      return durationMs ?? (begunAt === undefined ? 0 : performance.now() - begunAt)
    },

    async prepare(client) {
      effects = none
      const { rows } = await client.query<Known & { readonly oid: string }>(relationsQuery)
      known = new Map(rows.map(({ oid, ...relation }) => [oid, relation]))
      // Also those of an earlier transaction that the server has not handed on yet.
      writesBefore = await readWrites(client)
      durationMs = undefined
      begunAt = performance.now()
    },

    async finish(client, { inTransaction }) {
      durationMs = performance.now() - (begunAt ?? 0)
      // The file's own search path has done its work; the runner resets it next.
      await client.query(`set ${inTransaction ? 'local ' : ''}search_path = pg_catalog`)
      const locks = inTransaction ? await readLocks(client) : new Map<string, LockMode>()
      const writes = inTransaction ? await readWrites(client) : new Map<string, number>()
      const { rows } = await client.query<{ oid: string; file: string }>(filesQuery)
      const files = new Map(rows.map(({ oid, file }) => [oid, file]))
      const named = [...known].toSorted(([, one], [, other]) => (one.name < other.name ? -1 : 1))
      effects = {
        locks: named.flatMap(([oid, { name }]) => {
          const mode = locks.get(oid)
          return mode === undefined ? [] : [{ relation: name, mode }]
        }),
        rewritten: named.flatMap(([oid, { name, file, hasRows, isTable }]) => {
          const now = files.get(oid)
          return isTable && hasRows && now !== undefined && now !== file ? [name] : []
        }),
        written: named.flatMap(([oid, { name }]) => {
          const count = (writes.get(oid) ?? 0) - (writesBefore.get(oid) ?? 0)
          return count > 0 ? [{ relation: name, rows: count }] : []
        }),
      }
    },
  }
}

async function readLocks(client: SqlClient): Promise<Map<string, LockMode>> {
  const { rows } = await client.query<{ oid: string; mode: string }>(locksQuery)
  const locks = new Map<string, LockMode>()
  for (const { oid, mode: name } of rows) {
    const mode = modeOf(name)
    const before = locks.get(oid)
    if (mode !== undefined && (before === undefined || isAtLeast(mode, before))) locks.set(oid, mode)
  }
  return locks
}

async function readWrites(client: SqlClient): Promise<Map<string, number>> {
  const { rows } = await client.query<{ oid: string; rows: number }>(writesQuery)
  return new Map(rows.map(({ oid, rows: count }) => [oid, count]))
}

/** `AccessExclusiveLock` is `ACCESS EXCLUSIVE`. */
function modeOf(name: string): LockMode | undefined {
  const words = name.replace(/Lock$/, '').replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
  return lockModes.find((mode) => mode === words.toUpperCase())
}
