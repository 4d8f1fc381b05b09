import type { Client } from 'pg'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { DatabaseRehearsal, RehearsalError, RehearsedDatabase, RehearsedFile } from '../../core/fleet/rehearsal.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { readAppliedFiles } from '../../postgres/files/sql-files.js'
import type { BuilderOptions } from '../building/database-builder.js'
import {
  type ApplySchemaOptions,
  applyTenantSchema,
  ledgerSchema,
  type TenantSchema,
} from '../building/tenant-schema.js'
import { copyDatabase, copyError } from '../copying/copy-database.js'
import { type NewDatabase, schemaUpTo } from '../copying/new-database.js'
import { takeSnapshot } from '../copying/snapshot.js'
import { insideSettings, withConnection, withConnectionInside } from '../server/admin-connection.js'
import { createFileRecorder } from './file-recorder.js'
import { sampleDatabase } from './sample-database.js'

/** What {@link rehearseDatabase} needs. */
export interface RehearsalParts {
  readonly builder: BuilderOptions
  readonly schema: TenantSchema
  readonly lockTimeoutMs: number | undefined
  /** An empty database with the files up to a version. */
  readonly withNewDatabase: <Result>(
    version: number,
    work: (database: NewDatabase) => Promise<Result>,
  ) => Promise<Result>
}

/**
 * Applies the pending files to a copy of a database, filled from one snapshot of it. The live database goes on; its tables
 * cannot be altered while the copy is filled. The copy's row is in state `building`, with a role of its own: no tenant gets
 * it, no other tenant's role may connect to it, and the reconciler drops what a killed process leaves.
 *
 * @param name of the tenant's database
 */
export async function rehearseDatabase(
  { builder, schema, lockTimeoutMs, withNewDatabase }: RehearsalParts,
  name: string,
  { tenant, bytes, sampleAboveBytes, signal }: DatabaseRehearsal,
): Promise<RehearsedDatabase> {
  const source = { ...builder.server, database: name }
  signal?.throwIfAborted()
  const ledger = await withConnection(source, (client) => readAppliedFiles(client, ledgerSchema), insideSettings)
  const base = schemaUpTo(schema, ledger.version)
  if (base.latest.fingerprint !== ledger.fingerprint) {
    throw new TenancyError(
      'TENANCY_DATABASE_SCHEMA_INVALID',
      'The ledger of the database does not fit the schema files: one was edited, renamed or removed after it was applied',
    )
  }
  const startedAt = performance.now()
  const isSample = bytes > sampleAboveBytes
  return withNewDatabase(ledger.version, async (copy) => {
    if (isSample) await fillSample(source, copy, sampleAboveBytes / bytes, signal)
    else await copyDatabase({ source, target: copy, signal })
    const copyBytes = (await readSizes(builder, [copy.name])).get(copy.name) ?? 0
    const copyMs = performance.now() - startedAt
    const begunAt = performance.now()
    const files = await applyPending(copy, schema, ledger.version, signal, {
      ...{ members: builder.names.members, owners: builder.names.owners, lockTimeoutMs, tenant },
      // Nobody else uses the copy: what cannot be locked at once never can.
      maxAttempts: 1,
    })
    return { isSample, copyBytes, copyMs, files, migrationMs: performance.now() - begunAt }
  })
}

async function fillSample(
  source: ServerAccount,
  target: Pick<NewDatabase, 'withOwner'>,
  share: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const snapshot = await takeSnapshot(source)
  try {
    await sampleDatabase(snapshot, target, share, signal)
  } catch (error) {
    signal?.throwIfAborted()
    throw copyError(error, source.database)
  } finally {
    await snapshot.close().catch(() => {})
  }
}

async function applyPending(
  copy: NewDatabase,
  schema: TenantSchema,
  version: number,
  signal: AbortSignal | undefined,
  options: Omit<ApplySchemaOptions, 'withOwner' | 'observer'>,
): Promise<RehearsedFile[]> {
  const done: RehearsedFile[] = []
  const applyAll = async (client: Client, owner: Client) => {
    for (const file of schema.files.filter((each) => each.version > version)) {
      signal?.throwIfAborted()
      const recorder = createFileRecorder()
      const about = () => ({ name: file.name, durationMs: recorder.durationMs, ...recorder.effects })
      try {
        await applyTenantSchema(client, schemaUpTo(schema, file.version), {
          ...options,
          withOwner: (apply) => apply(owner),
          observer: recorder,
        })
        done.push(about())
      } catch (error) {
        signal?.throwIfAborted()
        done.push({ ...about(), error: describeError(error) })
        return
      }
    }
  }
  await withConnectionInside(copy.account, (client) =>
    copy.withOwner(async (owner) => {
      const abort = () => {
        void owner.end().catch(() => {})
        void client.end().catch(() => {})
      }
      signal?.addEventListener('abort', abort)
      try {
        await applyAll(client, owner)
      } finally {
        signal?.removeEventListener('abort', abort)
      }
    }),
  )
  return done
}

/** An error with its code, for a report. */
export function describeError(error: unknown): RehearsalError {
  const { code, message } = findTenancyError(error) ?? copyError(error, 'the tenant')
  return { code, message }
}

/** Sizes of databases in bytes. One that is gone is left out. */
export async function readSizes(
  { admin }: Pick<BuilderOptions, 'admin'>,
  names: readonly string[],
): Promise<Map<string, number>> {
  const { rows } = await admin.query<{ name: string; bytes: string }>(
    'select datname as name, pg_database_size(oid)::text as bytes from pg_database where datname = any ($1)',
    [names],
  )
  return new Map(rows.map(({ name, bytes }) => [name, Number(bytes)]))
}
