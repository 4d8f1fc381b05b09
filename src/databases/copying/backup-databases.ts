import { to as copyTo } from 'pg-copy-streams'
import type { BackupDatabases, ContentSnapshot, ContentStructure } from '../../core/backup/ports.js'
import type { DatabaseInspection, InspectedDatabase } from '../../core/fleet/fleet-check.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import type { ServerPreparation } from '../building/server-preparation.js'
import { insideSettings, withConnection } from '../server/admin-connection.js'
import { copyError, copyToStatement } from './copy-database.js'
import { cutOff, letIn } from './cut-off.js'
import { fillDatabase } from './fill-database.js'
import { type NewDatabase, schemaUpTo } from './new-database.js'
import { compareRelations, quoteRelation, readRelations, type Relations } from './relations.js'
import { takeSnapshot } from './snapshot.js'

/** What {@link createBackupDatabases} needs. */
export interface BackupDatabasesOptions {
  /** The provisioning account. */
  readonly server: ServerAccount
  /** Its connections. */
  readonly admin: SqlPool
  readonly prefix: string
  readonly records: Pick<TenantDatabaseRecords, 'find'>
  readonly preparation: Pick<ServerPreparation, 'schema'>
  readonly inspection: DatabaseInspection
  readonly withNewDatabase: <Result>(version: number, work: (made: NewDatabase) => Promise<Result>) => Promise<Result>
}

/** Describes a database's structure. `settings` are those of its connection. */
export interface StructureReader {
  readonly settings: string
  read(inspected: InspectedDatabase): Promise<readonly ContentStructure[]>
}

/** The part of the databases of one server that backups use. */
export function createBackupDatabases(
  options: BackupDatabasesOptions,
): (structure: StructureReader) => Omit<BackupDatabases, 'templateVersion'> {
  const { server, admin, prefix, records, preparation, inspection, withNewDatabase } = options

  // Of the version that was asked for last: most backups are of one.
  let compared: { readonly fingerprint: string; readonly relations: Promise<Relations> } | undefined
  const relationsAt = (version: number, fingerprint: string): Promise<Relations> => {
    if (compared?.fingerprint === fingerprint) return compared.relations
    const relations = withNewDatabase(version, ({ account }) => withConnection(account, readRelations, insideSettings))
    compared = { fingerprint, relations }
    relations.catch(() => {
      if (compared?.relations === relations) compared = undefined
    })
    return relations
  }

  return (structure) => ({
    async withSnapshot(database, signal, work) {
      const { name } = database
      signal?.throwIfAborted()
      const account = { ...server, database: name }
      try {
        const snapshot = await takeSnapshot(account)
        const { client } = snapshot
        // Ends what is under way: the socket closes.
        const abort = () => void client.end().catch(() => {})
        signal?.addEventListener('abort', abort)
        try {
          signal?.throwIfAborted()
          const { rows } = await client.query<{ version: string }>('show server_version_num')
          const serverVersion = Number(Object.values(rows[0] ?? {})[0])
          const databaseBytes = await sizeOf(client, name)
          const readStructure = () =>
            inspection.inspect(database, { settings: structure.settings, signal }, (inspected) =>
              structure.read(inspected),
            )
          return await work({
            ...{ ...snapshot, serverVersion, databaseBytes, account, ...tableReader(client), structure: readStructure },
          })
        } finally {
          signal?.removeEventListener('abort', abort)
          if (signal?.aborted !== true) await snapshot.close().catch(() => {})
        }
      } catch (error) {
        signal?.throwIfAborted()
        throw copyError(error, name)
      }
    },

    async schemaAt(version) {
      const schema = await preparation.schema()
      const pending = schema.files.filter((file) => file.version > version).map(({ name }) => name)
      return { ...schemaUpTo(schema, version).latest, newest: schema.latest.version, pending }
    },

    async restoreProblems({ relations, schema: { version, fingerprint } }) {
      const schema = await preparation.schema()
      if (version > schema.latest.version) {
        return [`its schema has the version ${version}, and this release knows ${schema.latest.version}`]
      }
      if (schemaUpTo(schema, version).latest.fingerprint !== fingerprint) {
        return [`its schema files up to ${version} are not those of this release: one was edited, removed or added`]
      }
      return compareRelations(relations, await relationsAt(version, fingerprint))
    },

    withTarget: (version, work) =>
      withNewDatabase(version, async ({ id, name, lease, withOwner }) => {
        const { latest } = schemaUpTo(await preparation.schema(), version)
        return work({
          ...{ id, name, lease, schema: latest },
          async fill(content, how, loadAll) {
            try {
              return await withOwner((client) => fillDatabase(client, content, ({ load }) => loadAll(load), how))
            } catch (error) {
              throw copyError(error, name)
            }
          },
          async structure() {
            const database = await records.find(id)
            if (database === undefined) throw new Error(`the row of the database ${id} is gone`)
            const { settings } = structure
            return inspection.inspect(database, { settings }, (inspected) => structure.read(inspected))
          },
          size: () => sizeOf(admin, name),
        })
      }),

    cutOff: (transaction, name) => cutOff(transaction, admin, prefix, name),
    letIn,
  })
}

async function sizeOf(client: SqlClient, name: string): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    'select pg_catalog.pg_database_size($1::pg_catalog.name)::pg_catalog.text as bytes',
    [name],
  )
  return Number(rows[0]?.bytes)
}

function tableReader(
  client: Awaited<ReturnType<typeof takeSnapshot>>['client'],
): Pick<ContentSnapshot, 'read' | 'count'> {
  return {
    read(table) {
      const rows = client.query(copyTo(copyToStatement(table)))
      return { rows, count: () => rows.rowCount }
    },
    async count(table) {
      const rows = await client.query<{ count: string }>(
        `select pg_catalog.count(*)::pg_catalog.text as count from only ${quoteRelation(table)} ${table.configuration ?? ''}`,
      )
      return Number(rows.rows[0]?.count)
    },
  }
}
