import type { ActorOption } from '../audit-actor.js'

/**
 * Where an export is. `queued`: a process will take it. `running`: one works on it. `ready`: the archive can be downloaded.
 * `failed`: `error` says why.
 */
export type TenantExportState = 'queued' | 'running' | 'ready' | 'failed'

/** An export of a tenant: a job whose result is a backup of the tenant, kept until `expiresAt`. */
export interface TenantExport {
  /** A UUIDv7. */
  readonly id: string
  readonly tenantId: string
  readonly state: TenantExportState
  /** Id of the user who asked for it; null: an operator of the installation, or a user who no longer exists. */
  readonly requestedBy: string | null
  /** Whether the archive is encrypted to public keys of age. */
  readonly isEncrypted: boolean
  readonly createdAt: Date
  /** null: no process has taken it yet. */
  readonly startedAt: Date | null
  /** null: it is not over yet. */
  readonly finishedAt: Date | null
  /** Job and archive are removed then. Counted from the end of the work. */
  readonly expiresAt: Date
  /** The moment that the data is of; null: not ready. */
  readonly takenAt: Date | null
  /** Rows in the archive; null: not ready. */
  readonly rows: number | null
  /** Bytes of the archive; null: not ready. */
  readonly bytes: number | null
  /** SHA-256 of the archive, in hex; null: not ready. */
  readonly sha256: string | null
  /** Code of the error that ended it; null: none did. */
  readonly error: string | null
}

/** An export to make. */
export interface StartTenantExportInput extends ActorOption {
  /** Id or slug; also of a deleted tenant that is not purged yet. */
  readonly tenant: string
  /** `age` public keys (`age1…`), one to ten, in place of those of the installation. Default: those. */
  readonly encryptTo?: readonly string[] | undefined
  /** How long the archive is kept, 60 to what the installation allows. Default: that. */
  readonly expiresInSeconds?: number | undefined
}

/** Names an export. */
export interface TenantExportInput extends ActorOption {
  /** Id or slug of its tenant. */
  readonly tenant: string
  /** Id of the export. */
  readonly export: string
}

/** Which exports to list. */
export interface ListTenantExportsInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the last export of the page before. Default: from the start. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** Bytes of a file, the first and the last included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** The archive of an export: what `backup` writes to a stream, and `restore` reads. */
export interface TenantExportArchive {
  readonly export: TenantExport
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
  /**
   * Reads the archive, or a part of it. Leaves an entry in the tenant's audit log before the first byte: at most one an hour for
   * the same actor, as a download may take many parts.
   */
  read(range?: ByteRange): AsyncIterable<Uint8Array>
}

/** Exports of tenants. All throw TENANCY_EXPORT_DISABLED where `createTenancy` has no option `exports`. */
export interface TenantExports {
  /**
   * Starts an export and answers at once: a process of the installation makes a backup of the tenant in the background. If that
   * process dies, another one begins again, three times at most. One export of a tenant is under way at a time. Leaves an entry
   * in the tenant's audit log.
   *
   * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (no database, or its retention is over),
   *   TENANCY_EXPORT_RUNNING, TENANCY_EXPORT_LIMIT_REACHED (five are kept), TENANCY_REQUEST_INVALID, TENANCY_CONFIG_PEER_MISSING
   * @example
   * const { id } = await tenancy.startTenantExport({ tenant: 'acme', actor: user.id })
   */
  startTenantExport(input: StartTenantExportInput): Promise<TenantExport>
  /** Lists exports that are not over yet or still kept, in the order in which they were started. @throws TENANCY_TENANT_NOT_FOUND */
  listTenantExports(input: ListTenantExportsInput): Promise<TenantExport[]>
  /** Reads an export. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_EXPORT_NOT_FOUND (also: expired) */
  getTenantExport(input: TenantExportInput): Promise<TenantExport>
  /**
   * Cancels an export, or deletes its archive. Another process that works on it stops within seconds.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_EXPORT_NOT_FOUND
   */
  deleteTenantExport(input: TenantExportInput): Promise<void>
  /**
   * Opens the archive of an export that is ready.
   *
   * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND, TENANCY_EXPORT_NOT_FOUND, TENANCY_EXPORT_NOT_READY,
   *   TENANCY_EXPORT_UNAVAILABLE (this process does not have the archive)
   * @example
   * const archive = await tenancy.openTenantExport({ tenant: 'acme', export: id })
   * await pipeline(archive.read(), createWriteStream('acme.t2fb'))
   */
  openTenantExport(input: TenantExportInput): Promise<TenantExportArchive>
}

/**
 * Where archives of exports are kept. Every process of the installation must reach the same one. Keys are of our own making: hex
 * digits, hyphens and a dot. A store of objects needs the five functions; a folder is there already ({@link ExportsOptions.folder}).
 */
export interface ExportStorage {
  /** Stores an archive. It is durable when this resolves; until then nobody reads it. Rejects when `bytes` throws, and keeps nothing. */
  write(key: string, bytes: AsyncIterable<Uint8Array>): Promise<void>
  /** Gives the size of an archive in bytes; undefined: there is none. */
  size(key: string): Promise<number | undefined>
  /** Reads a part of an archive. */
  read(key: string, range: ByteRange): AsyncIterable<Uint8Array>
  /** Removes an archive, and what an interrupted `write` left of it. One that is gone is no error. */
  remove(key: string): Promise<void>
  /** Lists the keys of all archives, those of interrupted writes included. */
  list(): Promise<readonly string[]>
}

/** How exports of tenants are made and kept. Either `folder` or `storage` is given. */
export interface ExportsOptions {
  /**
   * Folder for the archives, made if it is missing. Share it among all processes (a volume, NFS): each may be the one that makes an
   * archive, and the one that is asked for it.
   */
  readonly folder?: string | undefined
  /** A store of your own in place of a folder. */
  readonly storage?: ExportStorage | undefined
  /** `age` public keys (`age1…`): archives are encrypted to them unless a request names others. Default: they are not encrypted. */
  readonly encryptTo?: string | readonly string[] | undefined
  /** How long an archive is kept, 60 to 2592000 (30 days). Default: 86400, a day. */
  readonly expiresInSeconds?: number | undefined
  /** Most exports that all processes make at a time; a process makes one. Others wait. Default: 2. */
  readonly maxRunning?: number | undefined
  /** Most bytes of an archive; a larger one fails with TENANCY_EXPORT_TOO_LARGE. Default: no limit but the disk. */
  readonly maxBytes?: number | undefined
}
