import { type LockWait, unlock, waitForLock } from '../advisory-lock.js'
import type { AppliedFiles } from '../../core/tenants/tenant-databases.js'
import type { Migration } from '../../core/tenants/migration.js'
import { TenancyError, type TenancyErrorCode } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { type MigrationStep, resetAfterFiles, runMigrationStep, type SqlFileRun } from './sql-file-run.js'
import type { SqlFileErrorCodes } from './sql-folder.js'
import {
  type AppliedFile,
  describeLedger,
  openLedger,
  ledgerDelete,
  ledgerInsert,
  makeRoom,
  pendingFiles,
} from './sql-ledger.js'
import { compareWithTool, type ToolLedger } from './tool-ledger.js'

export {
  type AppliedFile,
  describeLedger,
  ledgerAccept,
  ledgerInsert,
  maxInteger,
  openLedger,
  pendingFiles,
  readAppliedFiles,
  readLedger,
} from './sql-ledger.js'
export { readSqlFolder, type SqlFile, type SqlFileErrorCodes } from './sql-folder.js'

/** Options of {@link applySqlFiles} and {@link revertSqlFiles}. */
export interface SqlLedger extends SqlFileRun {
  /** Schema of the table `schema_migrations`; it exists. */
  readonly schema: string
  /** Advisory lock against a second runner; undefined: the caller holds one. */
  readonly lock?: LockWait | undefined
  readonly codes: SqlFileErrorCodes
  /** The list of the tool that has written the folder. */
  readonly tool?: ToolLedger | undefined
  /** A role that must not get at that list. */
  readonly members?: string | undefined
  /**
   * Opens the connection that the files run on, as an account that may add ledger rows; called if there are files to run.
   * `client` is not used afterwards, and that connection is left as the last file has left it. Default: `client`.
   */
  readonly withFileClient?: (work: (client: SqlClient) => Promise<void>) => Promise<void>
  /** What the ledger has, if the caller knows; then it exists. Default: it is read. */
  readonly applied?: readonly AppliedFile[] | undefined
  /** Throws when these files must not run on a database with such a ledger. Called under the lock, before anything runs. */
  readonly checkApplied?: (applied: readonly AppliedFile[]) => Promise<void>
  /** Receives the state of the ledger after the last file, under the lock. */
  readonly record?: (state: AppliedFiles) => Promise<unknown>
}

/**
 * Applies the files that the ledger lacks, in order, each in one transaction with its ledger row; safe when two
 * processes do it at once. Each file finds the session as it was opened, whatever the one before has set. `client` is one
 * connection, not a pool, outside of a transaction; after an error it may still hold the lock, so close it.
 *
 * What the tool of the folder has applied to the database, and our ledger does not know, is taken over first.
 *
 * @returns the names of the files that were applied now
 * @throws {@link TenancyError} `codes.failed` (file, line and PostgreSQL's message; rolled back), `codes.blocked`,
 *   `codes.invalid` (an applied file was edited, renumbered or removed), `codes.disagreement`, and what `checkApplied` throws
 */
export async function applySqlFiles(
  client: SqlClient,
  files: readonly Migration[],
  ledger: SqlLedger,
): Promise<string[]> {
  const { schema, codes, tool } = ledger
  if (ledger.lock) await waitForLock(client, ledger.lock)
  let applied = ledger.applied ?? (await openLedger(client, schema))
  await ledger.checkApplied?.(applied)
  let pending = pendingOf(files, applied, codes)
  await makeRoom(client, schema, pending)
  const steps: MigrationStep[] = []
  if (tool && pending.length > 0) {
    const known = await knownToTool(client, files, applied.length, { tool, codes })
    if (known === undefined && applied.length > 0) {
      // The tool was never used in this database: it gets what our ledger has.
      const missed = tool.add(files.slice(0, applied.length), ledger.members)
      steps.push({ name: tool.table, work: missed, inTransaction: true, ledgerChange: '' })
    }
    const takenOver = known === undefined ? [] : files.slice(applied.length, known)
    if (takenOver.length > 0) {
      await client.query(ledgerInsert(schema, takenOver))
      applied = [...applied, ...takenOver]
      pending = pending.slice(takenOver.length)
    }
  }
  for (const file of pending) {
    steps.push({
      ...{ name: file.name, work: file.up, inTransaction: file.inTransaction },
      ...(tool && { toolChange: tool.add([file], ledger.members) }),
      ledgerChange: ledgerInsert(schema, [file]),
    })
  }
  const runAll = async (fileClient: SqlClient) => {
    for (const [index, step] of steps.entries()) {
      await runMigrationStep(fileClient, step, { ...ledger, isFresh: ledger.isFresh === true && index === 0 })
    }
  }
  if (steps.length > 0) await runFiles(client, ledger, runAll)
  await ledger.record?.(describeLedger([...applied, ...pending]))
  if (ledger.lock) await unlock(client, ledger.lock.key)
  return pending.map((file) => file.name)
}

async function runFiles(
  client: SqlClient,
  { withFileClient }: SqlLedger,
  work: (client: SqlClient) => Promise<void>,
): Promise<void> {
  if (withFileClient) return withFileClient(work)
  await work(client)
  await resetAfterFiles(client)
}

function pendingOf(
  files: readonly Migration[],
  applied: readonly AppliedFile[],
  codes: Pick<SqlFileErrorCodes, 'invalid'>,
): readonly Migration[] {
  const found = pendingFiles(files, applied)
  if ('problem' in found) throw new TenancyError(codes.invalid, found.problem)
  return found.pending
}

/**
 * Finds out how many of the files the tool has applied to the database; undefined: it was never used there.
 *
 * @param ours how many our ledger has
 * @throws {@link TenancyError} `codes.disagreement`
 */
async function knownToTool(
  client: SqlClient,
  files: readonly Migration[],
  ours: number,
  { tool, codes }: Pick<SqlLedger, 'codes'> & { readonly tool: ToolLedger },
): Promise<number | undefined> {
  const code = codes.disagreement ?? codes.invalid
  let entries
  try {
    entries = await tool.read(client)
  } catch (cause) {
    throw new TenancyError(code, `${tool.table} cannot be read: ${(cause as Error).message}`, { cause })
  }
  const compared = compareWithTool(tool.table, entries, files, ours)
  if ('disagreement' in compared) throw new TenancyError(code, compared.disagreement)
  return compared.known
}

/** What {@link revertSqlFiles} needs besides. */
export interface RevertOptions {
  /** The migrations after this version are reverted. */
  readonly to: number
  /** Code of a migration that nothing undoes. */
  readonly irreversible: TenancyErrorCode
}

/**
 * Reverts the newest files of a database, the last one first, each in one transaction with the removal of its row in the
 * ledger and in the tool's list. Nothing runs unless all of them can be reverted.
 *
 * @returns the names of the files that were reverted now
 * @throws {@link TenancyError} as {@link applySqlFiles}; `irreversible`
 */
export async function revertSqlFiles(
  client: SqlClient,
  files: readonly Migration[],
  { to, irreversible }: RevertOptions,
  ledger: SqlLedger,
): Promise<string[]> {
  const { schema, codes, tool } = ledger
  const applied = ledger.applied ?? (await openLedger(client, schema))
  pendingOf(files, applied, codes)
  const byVersion = new Map(files.map((file) => [file.version, file]))
  const rows = applied.filter(({ version }) => version > to).toReversed()
  const unknown = rows.find(({ version }) => !byVersion.has(version))
  if (unknown) {
    throw new TenancyError(irreversible, `${unknown.name} was applied by a newer release: revert it from there`)
  }
  const reverted = rows.map(({ version }) => byVersion.get(version)).filter((file) => file !== undefined)
  const withoutDown = reverted.filter(({ down }) => down === undefined).map(({ name }) => name)
  if (withoutDown.length > 0) {
    throw new TenancyError(irreversible, `nothing undoes ${withoutDown.join(', ')}: nothing was reverted`)
  }
  if (tool && reverted.length > 0) {
    const known = await knownToTool(client, files, applied.length, { tool, codes })
    if (known !== undefined && known > applied.length) {
      throw new TenancyError(
        codes.disagreement ?? codes.invalid,
        `${tool.table} has ${files[known - 1]?.name}, which was not applied from here: migrate first, which takes it over`,
      )
    }
  }
  const revertAll = async (fileClient: SqlClient) => {
    for (const [index, file] of reverted.entries()) {
      const step = {
        ...{ name: `${file.name} (down)`, work: file.down ?? '', inTransaction: file.downInTransaction ?? true },
        ...(tool && { toolChange: tool.remove([file]) }),
        ledgerChange: ledgerDelete(schema, file.version),
      }
      await runMigrationStep(fileClient, step, { ...ledger, isFresh: ledger.isFresh === true && index === 0 })
      // Each at once: requests ask the catalog which version a database has.
      await ledger.record?.(describeLedger(applied.filter(({ version }) => version < file.version)))
    }
  }
  if (reverted.length > 0) await runFiles(client, ledger, revertAll)
  return reverted.map(({ name }) => name)
}
