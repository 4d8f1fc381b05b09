import type { Client } from 'pg'
import type { TenantDatabase } from '../../core/model.js'
import type { VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import type { Migration } from '../../core/tenants/migration.js'
import { isPlain } from '../../postgres/text/plain-statements.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import { refuseUnless } from '../../postgres/outages/refusal.js'
import { type AppliedFile, describeLedger, ledgerInsert, maxInteger } from '../../postgres/files/sql-files.js'
import { unaltered, type StateOptions } from '../owner/database-state.js'
import { defaultPrivileges } from '../building/tenant-privileges.js'
import { ledgerSchema, type TenantSchema } from '../building/tenant-schema.js'

/** What {@link applyPlainFiles} did. */
export interface PlainRun {
  /** Files that were applied; the others, if any, need a closer look at the database. */
  readonly applied: readonly Migration[]
  readonly isDone: boolean
}

/** Files of plain statements that a database lacks, and the ledger that it has to have before them. */
export interface PlainFiles {
  readonly before: readonly AppliedFile[]
  readonly pending: readonly Migration[]
}

/**
 * The files that a database lacks by what the catalog remembers of its ledger. Undefined: not all of them are plain (see
 * {@link isPlain}), or the catalog does not know a ledger that these files begin with.
 */
export function plainFilesFor(schema: TenantSchema, database: VersionedDatabase): PlainFiles | undefined {
  const { schemaVersion, schemaFingerprint } = database
  if (schemaVersion === null || schema.tool) return undefined
  const { files } = schema
  const count = files.findIndex(({ version }) => version > schemaVersion)
  if (count === -1) return undefined
  const before = files.slice(0, count)
  const known = describeLedger(before)
  if (known.version !== schemaVersion || known.fingerprint !== schemaFingerprint) return undefined
  const pending = files.slice(count)
  const arePlain = pending.every(
    ({ inTransaction, up, version }) => inTransaction && version <= maxInteger && typeof up === 'string' && isPlain(up),
  )
  return arePlain ? { before, pending } : undefined
}

/** What {@link applyPlainFiles} needs besides. */
export interface PlainRunOptions extends Omit<StateOptions, 'login'> {
  readonly lockTimeoutMs: number
  readonly statementTimeoutMs?: number | undefined
}

/** Short: a file that has to wait for a lock gets its time, and its tries, where its waits are told about. */
const maxLockWaitMs = 100

/**
 * Applies files of plain statements, each by one message: a transaction that begins with a look at the database's identity,
 * ledger and privileges. A file that cannot run like that is rolled back and left to the caller: it will fail there again,
 * or find what is missing.
 *
 * @param client a new connection of the owner login, under the database's lock
 * @throws what ends the connection
 */
export async function applyPlainFiles(
  client: Client,
  database: TenantDatabase,
  { before, pending }: PlainFiles,
  options: PlainRunOptions,
): Promise<PlainRun> {
  const ledger = [...before]
  for (const [index, file] of pending.entries()) {
    try {
      await client.query(messageOf(database, ledger, file, options))
    } catch (error) {
      // Where the connection has ended, nobody knows what became of the file.
      await client.query('rollback').catch(() => {
        throw error
      })
      return { applied: pending.slice(0, index), isDone: false }
    }
    ledger.push(file)
  }
  return { applied: pending, isDone: true }
}

function messageOf(
  database: TenantDatabase,
  ledger: readonly AppliedFile[],
  file: Migration,
  options: PlainRunOptions,
): string {
  const { lockTimeoutMs, statementTimeoutMs, owners } = options
  const text = String(file.up)
  return [
    'begin read write',
    `set local lock_timeout = ${Math.min(lockTimeoutMs, maxLockWaitMs)}`,
    'set local search_path = pg_catalog',
    refuseUnless(unaltered(database, ledger, options), 'the database is not as the catalog remembers it'),
    // As the login, which may: the group of owners may not.
    ledgerInsert(ledgerSchema, [file]),
    `set local role ${quoteIdentifier(owners)}`,
    // A tenant can have dropped them a moment ago.
    ...(/create/i.test(text) ? [defaultPrivileges(options)] : []),
    ...(statementTimeoutMs === undefined ? [] : [`set local statement_timeout = ${statementTimeoutMs}`]),
    'set local search_path to default',
    // A comment may end it.
    `${text}\n`,
    'commit',
  ].join(';\n')
}
