import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { DatabaseRehearsal, RehearsalError, RehearsedDatabase, RehearsedFile } from '../../core/fleet/rehearsal.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { readAppliedFiles } from '../../postgres/sql-files.js'
import type { BuilderOptions } from '../building/database-builder.js'
import {
  type ApplySchemaOptions,
  applyTenantSchema,
  ledgerSchema,
  type TenantSchema,
} from '../building/tenant-schema.js'
import { copyDatabase, copyError } from '../copying/copy-database.js'
import { schemaUpTo, withNewDatabase } from '../copying/new-database.js'
import { takeSnapshot } from '../copying/snapshot.js'
import { insideSettings, withConnection, withConnectionInside } from '../server/admin-connection.js'
import { createFileRecorder } from './file-recorder.js'
import { sampleDatabase } from './sample-database.js'

/** What {@link rehearseDatabase} needs. */
export interface RehearsalParts {
  readonly builder: BuilderOptions
  readonly schema: TenantSchema
  readonly lockTimeoutMs: number | undefined
  readonly isHardened: boolean
}

/**
 * Applies the pending files to a copy of a database, filled from one snapshot of it. The live database goes on; its tables
 * cannot be altered while the copy is filled. The copy's row is in state `building`, with a role of its own: no tenant gets
 * it, no other tenant's role may connect to it, and the reconciler drops what a killed process leaves.
 *
 * @param name of the tenant's database
 */
export async function rehearseDatabase(
  { builder, schema, lockTimeoutMs, isHardened }: RehearsalParts,
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
  const request = { schema: base, lockTimeoutMs, isHardened }
  return withNewDatabase(builder, request, async ({ name: copyName, account }) => {
    if (isSample) await fillSample(source, account, sampleAboveBytes / bytes, signal)
    else await copyDatabase({ source, target: account, signal })
    const copyBytes = (await readSizes(builder, [copyName])).get(copyName) ?? 0
    const copyMs = performance.now() - startedAt
    const begunAt = performance.now()
    const files = await applyPending(
      account,
      { schema, version: ledger.version, signal },
      {
        ...{ members: builder.names.members, lockTimeoutMs, tenant },
        // Nobody else uses the copy: what cannot be locked at once never can.
        maxAttempts: 1,
      },
    )
    return { isSample, copyBytes, copyMs, files, migrationMs: performance.now() - begunAt }
  })
}

async function fillSample(
  source: ServerAccount,
  target: ServerAccount,
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
  account: ServerAccount,
  {
    schema,
    version,
    signal,
  }: Pick<RehearsalParts, 'schema'> & Pick<DatabaseRehearsal, 'signal'> & { readonly version: number },
  options: ApplySchemaOptions,
): Promise<RehearsedFile[]> {
  const done: RehearsedFile[] = []
  await withConnectionInside(account, async (client) => {
    const abort = () => void client.end().catch(() => {})
    signal?.addEventListener('abort', abort)
    try {
      for (const file of schema.files.filter((each) => each.version > version)) {
        signal?.throwIfAborted()
        const recorder = createFileRecorder()
        const startedAt = performance.now()
        const about = () => ({ name: file.name, durationMs: performance.now() - startedAt, ...recorder.effects })
        try {
          await applyTenantSchema(client, schemaUpTo(schema, file.version), { ...options, observer: recorder })
          done.push(about())
        } catch (error) {
          signal?.throwIfAborted()
          done.push({ ...about(), error: describeError(error) })
          return
        }
      }
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  })
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
