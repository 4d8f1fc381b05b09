import type { SqlClient } from '../../core/sql-client.js'
import type { RecordedDatabase } from '../../core/tenants/tenant-databases.js'
import type { BuilderOptions } from '../building/database-builder.js'
import { ownerSuffix } from '../database-names.js'
import { databaseComment } from '../ownership.js'

/** Differences between catalog and server. */
export interface Inspection {
  /** Recorded as ready, assigned or retired, and not on the server, or not able to accept connections. */
  readonly missing: readonly RecordedDatabase[]
  /** Names of databases and roles on the server that carry our comment and have no row. */
  readonly unknown: readonly string[]
}

/** Compares the catalog with the server. Changes nothing. */
export async function inspectServer(
  options: Pick<BuilderOptions, 'records' | 'names' | 'installationId' | 'serverId'> & { readonly admin: SqlClient },
): Promise<Inspection> {
  const { records, serverId } = options
  const before = await readServer(options)
  const recorded = await records.list(serverId)
  const known = new Set(recorded.map(({ name }) => name))
  const suspects = recorded.filter(({ name, state }) => isInUse.has(state) && !before.whole.has(name))
  const strangers = [...before.ours].filter((name) => !known.has(databaseNameOf(name)))
  if (suspects.length + strangers.length === 0) return { missing: [], unknown: [] }
  // A database that was built or dropped between the two reads is in neither list: read those again.
  const after = await readServer(options)
  const missing: RecordedDatabase[] = []
  for (const suspect of suspects) {
    if (after.whole.has(suspect.name)) continue
    const now = await records.find(suspect.id)
    if (now && isInUse.has(now.state)) missing.push({ ...suspect, state: now.state })
  }
  return { missing, unknown: strangers.filter((name) => after.ours.has(name)).toSorted() }
}

const isInUse: ReadonlySet<string> = new Set(['ready', 'assigned', 'retired'])

/** The owner login of a database has its name with an ending. */
const databaseNameOf = (name: string) => (name.endsWith(ownerSuffix) ? name.slice(0, -ownerSuffix.length) : name)

interface ServerView {
  /** Names of databases that accept connections and whose role exists. */
  readonly whole: ReadonlySet<string>
  /** Names of databases and roles that carry our comment. */
  readonly ours: ReadonlySet<string>
}

async function readServer({
  admin,
  names,
  installationId,
}: Pick<BuilderOptions, 'names' | 'installationId'> & { readonly admin: SqlClient }): Promise<ServerView> {
  const { rows } = await admin.query<{ name: string; isWhole: boolean; isOurs: boolean }>(
    `select coalesce(datname, rolname) as name, rolname is not null and datconnlimit <> -2 as "isWhole",
       coalesce(shobj_description(pg_database.oid, 'pg_database') = $2, false)
         or coalesce(shobj_description(pg_roles.oid, 'pg_authid') = $2, false) as "isOurs"
     from (select oid, datname, datconnlimit from pg_database where starts_with(datname, $1)) as pg_database
       full join (select oid, rolname from pg_roles where starts_with(rolname, $1)) as pg_roles on datname = rolname`,
    [names.prefix, databaseComment(installationId)],
  )
  const namesWhere = (test: (row: (typeof rows)[number]) => boolean) =>
    new Set(rows.filter((row) => test(row)).map(({ name }) => name))
  return { whole: namesWhere(({ isWhole }) => isWhole), ours: namesWhere(({ isOurs }) => isOurs) }
}
