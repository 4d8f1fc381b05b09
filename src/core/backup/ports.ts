import type { Readable } from 'node:stream'
import type { Tenant } from '../model.js'
import type { SqlClient } from '../sql-client.js'
import type { AppliedFiles, VersionedDatabase } from '../tenants/tenant-databases.js'
import type { ServerAccount } from '../tenants/database-target.js'

/** A column, with its type as PostgreSQL writes it. */
export interface ContentColumn {
  readonly name: string
  readonly type: string
  readonly isGenerated: boolean
}

/** A table of a database's content. */
export interface ContentTable {
  readonly schema: string
  readonly name: string
  readonly columns: readonly ContentColumn[]
  /** Of an extension's table: which rows are the user's. Null: no extension's. */
  readonly configuration: string | null
  readonly isForced: boolean
}

/** One fact of a database's structure, such as a column or an index; see `StructureDifference`. */
export interface ContentStructure {
  readonly object: string
  readonly kind: string
  readonly name: string
  readonly definition: string
}

/** What holds the data of a database, and the values of its sequences. */
export interface DatabaseContent {
  readonly relations: {
    readonly tables: readonly ContentTable[]
    readonly sequences: readonly { readonly schema: string; readonly name: string }[]
    readonly materializedViews: readonly {
      readonly schema: string
      readonly name: string
      readonly isPopulated: boolean
    }[]
    readonly largeObjects: number
  }
  readonly sequences: readonly {
    readonly schema: string
    readonly name: string
    readonly lastValue: string
    readonly isCalled: boolean
  }[]
}

/** One moment of a database, for a backup. */
export interface ContentSnapshot extends DatabaseContent {
  /** For `pg_dump --snapshot`. */
  readonly id: string
  readonly takenAt: Date
  readonly schema: AppliedFiles
  /** `server_version_num`. */
  readonly serverVersion: number
  /** Bytes of the database on the server's disk. */
  readonly databaseBytes: number
  /** Account, inside of the database. */
  readonly account: ServerAccount
  /** Starts to read a table: lines of COPY's text format. `count` is right when the stream has ended. */
  read(table: ContentTable): { readonly rows: Readable; readonly count: () => number }
  /** Counts the rows of a table. */
  count(table: ContentTable): Promise<number>
  /** Describes the structure of the database, in no particular order. */
  structure(): Promise<readonly ContentStructure[]>
}

/** A database that is filled from an archive. */
export interface RestoreTarget {
  readonly id: string
  readonly name: string
  /** Proves that its row is still there. */
  readonly lease: string
  readonly schema: AppliedFiles
  /**
   * Replaces its data, in one transaction. `loadAll` loads each table once. Rows of a table that is not in the schema files
   * are passed over with `leaveOutUnknown`; `hasTable` tells.
   */
  fill(
    content: DatabaseContent,
    options: { readonly leaveOutUnknown: boolean },
    loadAll: (load: (table: ContentTable, rows: Readable, signal?: AbortSignal) => Promise<number>) => Promise<void>,
  ): Promise<{ readonly hasTable: (table: Pick<ContentTable, 'schema' | 'name'>) => boolean }>
  /** Describes its structure, in no particular order. */
  structure(): Promise<readonly ContentStructure[]>
  /** Its bytes on the server's disk, with what is not committed yet. */
  size(): Promise<number>
}

/** The databases, for backups. */
export interface BackupDatabases {
  /** @throws TENANCY_DATABASE_COPY_REFUSED, TENANCY_DATABASE_UNAVAILABLE */
  withSnapshot<Result>(
    database: VersionedDatabase,
    signal: AbortSignal | undefined,
    work: (snapshot: ContentSnapshot) => Promise<Result>,
  ): Promise<Result>
  /** The state of a ledger that has the schema files of this process up to a version, and the names of the later files. */
  schemaAt(version: number): Promise<AppliedFiles & { readonly newest: number; readonly pending: readonly string[] }>
  /** Says why content with such a ledger could not be restored by this process, for people; empty: it could. */
  restoreProblems(content: Pick<ContentSnapshot, 'relations' | 'schema'>): Promise<readonly string[]>
  /** Runs `work` with an empty database at a schema version, which is dropped unless `work` assigned it. */
  withTarget<Result>(version: number, work: (target: RestoreTarget) => Promise<Result>): Promise<Result>
  /**
   * Ends all sessions of a database and keeps new ones out, within a transaction of the catalog on the same server: when it
   * commits, the database takes no connections; when it does not, nothing has happened.
   * @throws TENANCY_RESTORE_FAILED
   */
  cutOff(transaction: SqlClient, name: string): Promise<void>
  /** Lets connections in again, in a transaction of the catalog. */
  letIn(transaction: SqlClient, name: string): Promise<void>
  /** Hash of the schema that new tenants are built from. */
  templateVersion(): Promise<string>
}

/** A swap of a tenant's database. */
export interface Swap {
  /** The tenant, as it was read when the work began. */
  readonly tenant: Pick<Tenant, 'id' | 'slug' | 'databaseId'>
  readonly next: { readonly id: string; readonly lease: string; readonly schema: AppliedFiles }
  readonly keepDays: number
  readonly actor: string | null
  /** For the audit log. */
  readonly archive: object
  /** Runs in the transaction, with the name of the database that is replaced. */
  readonly cutOff: (transaction: SqlClient, name: string) => Promise<void>
}

/** A tenant that is made of a restored database. */
export interface Adoption {
  readonly slug: string
  readonly name: string
  readonly owner: string
  readonly actor: string | null
  readonly next: Swap['next']
  readonly templateVersion: string
  readonly archive: object
}

/** The catalog, for backups. */
export interface BackupCatalog {
  /** @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT */
  databaseOf(
    tenant: string,
    options?: { readonly allowDeleted: boolean },
  ): Promise<{ readonly tenant: Tenant; readonly database: VersionedDatabase }>
  /** @throws TENANCY_TENANT_SLUG_TAKEN, TENANCY_USER_NOT_FOUND */
  checkNewTenant(input: { readonly slug: string; readonly owner: string }): Promise<void>
  recordBackup(tenant: Tenant, actor: string | null, archive: object): Promise<void>
  /** @throws TENANCY_TENANT_STATE_CONFLICT, TENANCY_RESTORE_FAILED */
  swap(swap: Swap): Promise<{ readonly tenant: Tenant; readonly keptUntil: Date }>
  /** @throws TENANCY_TENANT_SLUG_TAKEN, TENANCY_USER_NOT_FOUND */
  createFrom(adoption: Adoption): Promise<Tenant>
  /** @throws TENANCY_TENANT_STATE_CONFLICT */
  swapBack(input: {
    readonly tenant: string
    readonly keepDays: number
    readonly actor: string | null
    readonly cutOff: Swap['cutOff']
    readonly letIn: Swap['cutOff']
  }): Promise<{ readonly tenant: Tenant; readonly replacedDatabaseId: string }>
}
