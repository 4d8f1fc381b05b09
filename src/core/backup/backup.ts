import type { Readable, Writable } from 'node:stream'
import type { ActorOption } from '../audit-actor.js'
import type { Tenant } from '../model.js'

/** How the data of a backup is written: by `pg_dump` in its custom format, or by our own COPY of each table. */
export type BackupMethod = 'pg_dump' | 'copy'

/** How far a backup or restore is. */
export interface BackupProgress {
  /** `snapshot`: waits for the tables. `data`: rows are read or written. `check`: what was written is compared. */
  readonly phase: 'snapshot' | 'data' | 'check'
  /** The table that was finished last; undefined: none yet, or `pg_dump` does not say. */
  readonly table?: string | undefined
  readonly tablesDone: number
  readonly tables: number
  /** Bytes of the archive that were written or read. */
  readonly bytes: number
}

/** A backup to make. */
export interface BackupInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Path of a folder that does not exist yet, or a stream, which is ended after the last byte. */
  readonly to: string | Writable
  /** `age` public keys (`age1…`): whoever has one of their identities can read the data. Takes `age-encryption`. Default: none. */
  readonly encryptTo?: string | readonly string[] | undefined
  /** Also backs up a tenant that is deleted and not purged yet, within its retention. Default: false. */
  readonly allowDeleted?: boolean | undefined
  /** Default: `pg_dump` where it is found and is not older than the server, else `copy`. */
  readonly method?: BackupMethod | undefined
  /** Is called after each table, and now and then. An error ends the backup, which then throws it. */
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined
  /** Ends the backup: it rejects with the signal's reason, and leaves nothing under the final name. */
  readonly signal?: AbortSignal | undefined
}

/** A backup that was made. */
export interface BackupReport {
  readonly tenant: { readonly id: string; readonly slug: string }
  readonly databaseId: string
  readonly method: BackupMethod
  /** The moment that the data is of. */
  readonly takenAt: Date
  /** Number of the last schema file; -1: none. */
  readonly schemaVersion: number
  readonly tables: number
  readonly rows: number
  /** Bytes of the archive without its manifest. */
  readonly bytes: number
  /** How many large objects (`lo_create`) the database has: they are left out. */
  readonly skippedLargeObjects: number
  /**
   * Why `restore` would refuse the archive, the first 100: tables, columns, sequences and materialized views that are not as the
   * schema files make them, or files that this release has not. Empty: nothing is known.
   */
  readonly restoreProblems: readonly string[]
}

/** The tenant that a restore makes. */
export interface RestoredTenantInput {
  /** As for `createTenant`. */
  readonly slug: string
  /** Default: the name in the archive. */
  readonly name?: string | undefined
  /** Id of the user who becomes its Owner. */
  readonly owner: string
}

/** An archive to restore. Either `tenant` or `newTenant` is given. */
export interface RestoreInput extends ActorOption {
  /** The folder of a backup, or a stream as `backup` wrote one: that is stored in the temporary folder first. */
  readonly from: string | Readable
  /** Id or slug of the tenant whose data is replaced. */
  readonly tenant?: string | undefined
  /** A tenant to make from the archive, in any case beside the one that it is of. */
  readonly newTenant?: RestoredTenantInput | undefined
  /** `age` identities (`AGE-SECRET-KEY-1…`) for an encrypted archive. */
  readonly identity?: string | readonly string[] | undefined
  /** Restores the archive of another tenant into `tenant`. Default: false. */
  readonly allowOtherTenant?: boolean | undefined
  /**
   * Restores an archive whose signature is not this installation's: made under another `TENANT_SECRET`, or changed since. Only
   * for archives from a place that nobody else can write to. Default: false.
   */
  readonly allowUnsigned?: boolean | undefined
  /**
   * Restores an archive without the tables, sequences and materialized views that are not in the schema files, and without their rows.
   * `lost` names them. Default: false, such an archive is refused.
   */
  readonly leaveOutUnknown?: boolean | undefined
  /** Days that the replaced database is kept for `swapBack`, 0 to 3650. Default: `TENANT_SWAPPED_DAYS`. */
  readonly keepDays?: number | undefined
  /** As for `backup`. */
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined
  /** Ends the restore until the swap has begun: it rejects with the signal's reason, and the tenant stays as it is. */
  readonly signal?: AbortSignal | undefined
}

/** What a restore did. */
export interface RestoreReport {
  readonly tenant: Tenant
  readonly databaseId: string
  /** The database that the tenant had before, kept until `keptUntil`; null: the tenant is new. */
  readonly replacedDatabaseId: string | null
  readonly keptUntil: Date | null
  readonly takenAt: Date
  /** Number of the last schema file of the data; later ones are applied as for any tenant that is behind. */
  readonly schemaVersion: number
  /** Names of those later files. With `TENANT_SCHEMA_BEHIND=migrate` the next request of the tenant applies them. */
  readonly pending: readonly string[]
  /** Tables that were restored. */
  readonly tables: number
  readonly rows: number
  /** How many large objects the database had that the backup is of: they are left out. */
  readonly skippedLargeObjects: number
  /** What that database had, or had otherwise, beside the schema files: it is not made again. Sorted by object. */
  readonly lost: readonly LostStructure[]
}

/** A part of a database's structure that is not in the schema files, such as an index that was made by hand. */
export interface LostStructure {
  /** The object that it belongs to, such as `table public.notes`. */
  readonly object: string
  /** `table`, `index`, `trigger`, `grant`, … */
  readonly kind: string
  /** Name within the object. May be empty. */
  readonly name: string
  /** Of an index, as PostgreSQL writes it, from the archive: read it before you run it. Null: archives have no others. */
  readonly definition: string | null
}

/** A tenant to give its replaced database back. */
export interface SwapBackInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Days that the database which is replaced now is kept. Default: `TENANT_SWAPPED_DAYS`. */
  readonly keepDays?: number | undefined
}

/** Backups of single tenants, and the way back. */
export interface Backups {
  /**
   * Writes the data of one tenant, as it is at one moment, to a folder or stream. Requests of the tenant go on; its tables cannot
   * be altered meanwhile. Memory does not grow with the data. A folder gets its name when all is on disk; an interrupted
   * backup starts again, because the snapshot ends with the connection. Leaves an entry in the tenant's audit log.
   *
   * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (no database in use),
   *   TENANCY_BACKUP_EXISTS, TENANCY_BACKUP_FAILED (disk, stream, `pg_dump`), TENANCY_DATABASE_COPY_REFUSED (row-level security),
   *   TENANCY_DATABASE_COPY_FAILED, TENANCY_DATABASE_UNAVAILABLE, TENANCY_CONFIG_PEER_MISSING,
   *   TENANCY_CONNECTION_BUDGET_TOO_LARGE
   * @example
   * await tenancy.backup({ tenant: 'acme', to: '/backups/acme-2026-01-31', encryptTo: 'age1…' })
   */
  backup(input: BackupInput): Promise<BackupReport>
  /**
   * Restores an archive into a new database beside the tenant's, compares it with the archive, and swaps both in one
   * transaction. Until then the tenant works on its database as before; from then on no connection of any process reaches
   * that one, and `swapBack` brings it back within `keepDays`. What the tenant wrote after the backup is in the replaced
   * database only. Nothing of an archive is run as SQL.
   *
   * @throws {@link TenancyError} TENANCY_BACKUP_INVALID (truncated, changed, unreadable, wrong key), TENANCY_RESTORE_REFUSED
   *   (of another tenant, another or newer schema), TENANCY_RESTORE_FAILED, TENANCY_TENANT_NOT_FOUND,
   *   TENANCY_TENANT_STATE_CONFLICT, TENANCY_TENANT_SLUG_TAKEN, TENANCY_USER_NOT_FOUND, TENANCY_DATABASE_COPY_REFUSED,
   *   TENANCY_DATABASE_COPY_FAILED, TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_UNAVAILABLE,
   *   TENANCY_CONFIG_PEER_MISSING; nothing was changed then
   * @example
   * await tenancy.restore({ from: '/backups/acme-2026-01-31', tenant: 'acme', identity: process.env.AGE_IDENTITY })
   */
  restore(input: RestoreInput): Promise<RestoreReport>
  /**
   * Gives a tenant the database back that the last restore replaced. The two change places: `swapBack` again undoes it.
   * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (none is kept),
   *   TENANCY_RESTORE_FAILED (sessions that do not end)
   */
  swapBack(input: SwapBackInput): Promise<Tenant>
}
