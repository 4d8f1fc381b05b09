import { createGzip } from 'node:zlib'
import type { Readable } from 'node:stream'
import type { BackupInput, BackupMethod, BackupProgress, BackupReport, Backups } from '../core/backup/backup.js'
import type { BackupCatalog, BackupDatabases, ContentSnapshot, ContentTable } from '../core/backup/ports.js'
import { findTenancyError } from '../core/errors/errors.js'
import type { Tenant } from '../core/model.js'
import type { VersionedDatabase } from '../core/tenants/tenant-databases.js'
import { type ArchiveSink, backupFailed, openFolderSink, openStreamSink } from './archive-sink.js'
import { encryptionTo } from './encryption.js'
import { type Manifest, manifestFormat, manifestVersion, signManifest } from './manifest.js'
import { chain, gathered, measure } from './part-bytes.js'
import { structureToKeep } from './structure.js'
import { dumpArguments, findPgTool, isForLibpq, libpqEnvironment, type PgTool, runPgTool } from './pg-tools.js'

/** What backups and restores need. */
export interface BackupParts {
  readonly catalog: BackupCatalog
  readonly databases: BackupDatabases
  readonly installationId: () => Promise<string>
  /** Master secret, which manifests are signed with a key of. */
  readonly secret: Buffer
  /** Version of this package. */
  readonly version: string
  /** Folder of `pg_dump` and `pg_restore`. Default: the path. */
  readonly pgFolder: string | undefined
  /** Days that a replaced database is kept. */
  readonly keepDays: number
  /** @throws TENANCY_CONNECTION_BUDGET_TOO_LARGE */
  readonly checkBudget: () => Promise<void>
  /** Called after a tenant got another database; with the id of the one that it had, if any. */
  readonly onSwapped: (tenant: Tenant, replacedDatabaseId: string | null) => void
}

/** Level 3: half of the time of the default for a tenth more bytes. */
const gzipLevel = 3

/** Makes the function `backup`. */
export function createBackup(parts: BackupParts): Backups['backup'] {
  const { catalog, databases, installationId, secret, version } = parts

  return async (input: BackupInput): Promise<BackupReport> => {
    const { to, encryptTo, signal, actor = null, allowDeleted = false } = input
    signal?.throwIfAborted()
    await parts.checkBudget()
    const { tenant, database } = await catalog.databaseOf(input.tenant, { allowDeleted })
    const recipients = encryptTo === undefined ? [] : [encryptTo].flat()
    const encrypt = recipients.length === 0 ? undefined : await encryptionTo(recipients)
    const installation = await installationId()
    const { content, ...report } = await databases.withSnapshot(database, signal, async (snapshot) => {
      const tool = await chooseTool(snapshot, input.method, parts.pgFolder)
      const sink = await openSink(to)
      try {
        const structure = await snapshot.structure()
        const writer = createWriter({ snapshot, sink, encrypt, input })
        const written = await (tool === undefined ? writer.copyTables() : writer.dump(tool))
        const manifest: Manifest = {
          ...{ format: manifestFormat, formatVersion: manifestVersion, createdBy: version },
          ...{ serverVersion: snapshot.serverVersion, databaseBytes: snapshot.databaseBytes },
          ...{ takenAt: snapshot.takenAt.toISOString(), installation },
          ...describe(tenant, database),
          schema: snapshot.schema,
          ...{ method: tool === undefined ? 'copy' : 'pg_dump', isEncrypted: encrypt !== undefined },
          sequences: snapshot.sequences.map((sequence) => ({ ...sequence })),
          materializedViews: snapshot.relations.materializedViews.map((view) => ({ ...view })),
          largeObjects: snapshot.relations.largeObjects,
          structure: structureToKeep(structure),
          ...written,
        }
        signal?.throwIfAborted()
        await sink.finish(signManifest(manifest, secret))
        return { ...reportOf(manifest), content: { relations: snapshot.relations, schema: snapshot.schema } }
      } catch (error) {
        await sink.abort().catch(() => {})
        signal?.throwIfAborted()
        throw writeError(error)
      }
    })
    await catalog.recordBackup(tenant, actor, archiveOf(report, recipients.length > 0))
    // After the snapshot: the connections of both do not add up.
    return { ...report, restoreProblems: await findProblems(databases, content) }
  }
}

const maxProblems = 100

/** The archive is there whatever comes of it. */
async function findProblems(
  databases: BackupDatabases,
  content: Parameters<BackupDatabases['restoreProblems']>[0],
): Promise<readonly string[]> {
  try {
    return (await databases.restoreProblems(content)).slice(0, maxProblems)
  } catch (error) {
    return [`it could not be tried: ${error instanceof Error ? error.message : String(error)}`]
  }
}

const openSink = async (to: BackupInput['to']): Promise<ArchiveSink> => {
  if (typeof to !== 'string') return openStreamSink(to)
  return openFolderSink(to).catch((error: unknown) => {
    throw writeError(error)
  })
}

/** Chooses `pg_dump`, or undefined for our own COPY. */
async function chooseTool(
  snapshot: ContentSnapshot,
  wanted: BackupMethod | undefined,
  folder: string | undefined,
): Promise<PgTool | undefined> {
  if (wanted === 'copy') return undefined
  const tool = await findPgTool('pg_dump', folder)
  const major = Math.floor(snapshot.serverVersion / 10_000)
  // A name with a line break would not be one line in the script of a dump.
  const hasBreak = snapshot.relations.tables.some((table) =>
    [table.schema, table.name, ...table.columns.map(({ name }) => name)].some((name) => /[\n\r]/.test(name)),
  )
  const problem =
    tool === undefined
      ? 'pg_dump was not found: set TENANT_PG_BIN_DIR'
      : tool.version < major
        ? `pg_dump ${tool.version} is older than the server, ${major}`
        : !isForLibpq(snapshot.account)
          ? 'pg_dump does not know the authorities that the server’s certificate is checked with: name them by sslrootcert'
          : hasBreak
            ? 'the name of a table or column has a line break'
            : undefined
  if (problem === undefined) return tool
  if (wanted === 'pg_dump') throw backupFailed(problem)
  return undefined
}

type Content = Pick<Manifest, 'tables' | 'parts'>

const describeTable = (table: ContentTable) => ({ ...table, columns: table.columns.map((column) => ({ ...column })) })

function createWriter({
  snapshot,
  sink,
  encrypt,
  input: { onProgress, signal },
}: {
  readonly snapshot: ContentSnapshot
  readonly sink: ArchiveSink
  readonly encrypt: ((bytes: Readable) => Promise<Readable>) | undefined
  readonly input: Pick<BackupInput, 'onProgress' | 'signal'>
}) {
  const { tables } = snapshot.relations
  const parts: Manifest['parts'] = []
  const done: Manifest['tables'] = []
  let bytes = 0
  let reportedAt = 0
  const tell = (table?: string) => {
    const progress: BackupProgress = { phase: 'data', table, tablesDone: done.length, tables: tables.length, bytes }
    onProgress?.(progress)
  }
  const onBytes = (count: number) => {
    bytes += count
    if (bytes - reportedAt < 16 * 1024 * 1024) return
    reportedAt = bytes
    tell()
  }

  const writePart = async (base: string, plain: Readable) => {
    const name = encrypt === undefined ? base : `${base}.age`
    const { through, result } = measure(onBytes)
    const last = encrypt === undefined ? plain : await encrypt(plain)
    try {
      await sink.write(name, gathered(chain(last, through)))
    } finally {
      plain.destroy()
    }
    parts.push({ name, ...result() })
    return name
  }

  return {
    async copyTables(): Promise<Content> {
      tell()
      for (const [index, table] of tables.entries()) {
        signal?.throwIfAborted()
        const { rows, count } = snapshot.read(table)
        const raw = measure()
        const part = await writePart(
          `data-${String(index).padStart(5, '0')}.copy.gz`,
          chain(rows, raw.through, createGzip({ level: gzipLevel, chunkSize: 1 << 18 })),
        )
        done.push({ ...describeTable(table), rows: count(), bytes: raw.result().bytes, part })
        tell(table.name)
      }
      return { tables: done, parts }
    },

    async dump(tool: PgTool): Promise<Content> {
      tell()
      const { env, remove } = await libpqEnvironment(snapshot.account)
      try {
        const { child, ended } = runPgTool(tool, dumpArguments(snapshot.id), env, false)
        const stop = () => void child.kill('SIGTERM')
        signal?.addEventListener('abort', stop)
        try {
          const [written, counted] = await Promise.allSettled([
            writePart('database.dump', child.stdout as Readable).catch((error: unknown) => {
              stop()
              throw error
            }),
            (async () => {
              for (const table of tables) {
                signal?.throwIfAborted()
                done.push({ ...describeTable(table), rows: await snapshot.count(table), bytes: null, part: null })
                tell(table.name)
              }
            })(),
          ])
          await ended.catch((cause: unknown) => {
            if (written.status === 'rejected') throw written.reason
            throw backupFailed(`pg_dump: ${(cause as Error).message}`, cause)
          })
          if (written.status === 'rejected') throw written.reason
          if (counted.status === 'rejected') throw counted.reason
        } finally {
          signal?.removeEventListener('abort', stop)
          stop()
        }
      } finally {
        await remove()
      }
      return { tables: done, parts }
    },
  }
}

function describe(tenant: Tenant, database: VersionedDatabase): Pick<Manifest, 'tenant' | 'database'> {
  return {
    tenant: { id: tenant.id, slug: tenant.slug, name: tenant.name },
    database: { id: database.id, epoch: database.epoch },
  }
}

function reportOf(manifest: Manifest): Omit<BackupReport, 'restoreProblems'> {
  return {
    tenant: { id: manifest.tenant.id, slug: manifest.tenant.slug },
    databaseId: manifest.database.id,
    method: manifest.method,
    takenAt: new Date(manifest.takenAt),
    schemaVersion: manifest.schema.version,
    tables: manifest.tables.length,
    rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0),
    bytes: manifest.parts.reduce((sum, part) => sum + part.bytes, 0),
    skippedLargeObjects: manifest.largeObjects,
  }
}

function archiveOf(
  { method, takenAt, schemaVersion, rows, bytes }: ReturnType<typeof reportOf>,
  isEncrypted: boolean,
): object {
  return { method, takenAt, schemaVersion, rows, bytes, isEncrypted }
}

const fileProblems: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of the disk is used up',
  EACCES: 'this process may not write there',
  EPERM: 'this process may not write there',
  EROFS: 'the disk cannot be written to',
  ENOENT: 'the folder that it should be in is not there',
  ENOTDIR: 'the folder that it should be in is no folder',
  EFBIG: 'a file became too large',
  EPIPE: 'the reader of the stream went away',
}

/** Errors of the server pass: they have codes of their own. */
function writeError(error: unknown): unknown {
  if (findTenancyError(error) || (error instanceof Error && 'severity' in error)) return error
  const { code, message } = error as { code?: string; message?: string }
  return backupFailed(fileProblems[code ?? ''] ?? message ?? String(error), error)
}
