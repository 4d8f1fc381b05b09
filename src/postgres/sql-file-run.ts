import { TenancyError } from '../core/errors/errors.js'
import { describeBlockers, type LockBlocker } from './lock-blockers.js'
import type { SqlClient } from '../core/sql-client.js'
import { retry } from './retry.js'
import type { SqlFile, SqlFileErrorCodes } from './sql-folder.js'
import { hasSqlState, sqlStates } from './sql-states.js'
import { statementLines } from './sql-statements.js'

/** Whether a hook runs in the transaction of its file. */
export interface FileTransaction {
  readonly inTransaction: boolean
}

/** Options of {@link applySqlFile}; see `SqlLedger`. */
export interface SqlFileRun {
  readonly codes: Pick<SqlFileErrorCodes, 'invalid' | 'failed' | 'blocked'>
  readonly lockTimeoutMs?: number
  readonly maxAttempts?: number
  readonly prepare?: (client: SqlClient, file: FileTransaction) => Promise<unknown>
  readonly finish?: (client: SqlClient, file: FileTransaction) => Promise<unknown>
  readonly findBlockers?: (pid: number) => Promise<readonly LockBlocker[]>
}

// Role and settings as they were when the connection was opened. RESET ALL leaves the role alone.
const resetSettings = 'reset session authorization; reset role; reset all'
// And everything else that a file may leave to the next one.
const resetSession = `${resetSettings}; close all; unlisten *; discard temp; discard sequences; deallocate all`

/** For our own statements: bare names, of operators too, must not find objects that others have made. */
const ownNamesOnly = 'set search_path = pg_catalog'

const maxInternalErrors = 3
const isLocked = (error: unknown) => hasSqlState(error, sqlStates.lockNotAvailable, sqlStates.deadlockDetected)

/**
 * Applies one file and then `ledgerInsert`, in one transaction that has the settings of a new session before and after it.
 * A file that does not get a lock in time gives way to the sessions that wait behind it, and is tried again.
 *
 * @throws {@link TenancyError} `codes.failed`, `codes.blocked`, `codes.invalid`; rolled back
 */
export async function applySqlFile(
  client: SqlClient,
  file: SqlFile,
  ledgerInsert: string,
  run: SqlFileRun,
): Promise<void> {
  const { lockTimeoutMs = 2000, maxAttempts = 8 } = run
  async function attemptFile(attempt: number): Promise<void> {
    const blockers = await watchBlockers(client, lockTimeoutMs, run.findBlockers)
    const count = countStatements(client)
    try {
      await applyOnce(client, file, ledgerInsert, { ...run, lockTimeoutMs }, count)
    } catch (error) {
      if (error instanceof TenancyError) throw error
      const place = `${file.name}${placeOf(error, file.sql, count.finished)}`
      if (!isLocked(error)) throw new TenancyError(run.codes.failed, `${place}: ${messageOf(error)}`, { cause: error })
      const found = describeBlockers(blockers.last())
      throw new TenancyError(
        run.codes.blocked,
        `${place}: a lock could not be had within ${lockTimeoutMs} ms, ${attempt} times; ` +
          `${found === '' ? 'another session holds it' : `held by ${found}`}: try again when that transaction is over`,
        { cause: error },
      )
    } finally {
      count.stop()
      await blockers.stop()
    }
  }

  await retry(attemptFile, {
    mayRetry: (error, attempt) => {
      const { cause } = error as TenancyError
      if (isLocked(cause)) return attempt < maxAttempts
      return hasSqlState(cause, sqlStates.internalError) && attempt < maxInternalErrors
    },
    // Callers that waited behind the file go first.
    pauseMs: (attempt) => Math.min(attempt * 250, 1500) * (0.5 + Math.random()),
  })
}

async function applyOnce(
  client: SqlClient,
  file: SqlFile,
  ledgerInsert: string,
  { lockTimeoutMs, prepare, finish, codes }: SqlFileRun & { readonly lockTimeoutMs: number },
  count: StatementCount,
): Promise<void> {
  const limit = `set local lock_timeout = ${lockTimeoutMs}`
  await client.query(resetSession)
  try {
    await client.query(`begin read write; ${limit}`)
    await prepare?.(client, { inTransaction: true })
    const before = await currentTransaction(client)
    await count.during(client.query(file.sql))
    if ((await currentTransaction(client)) !== before) {
      throw new TenancyError(
        codes.invalid,
        `${file.name} ends its transaction (commit or rollback): remove that statement`,
      )
    }
    // Constraints that the file deferred are checked while its own settings hold.
    await client.query('set constraints all immediate')
    await finish?.(client, { inTransaction: true })
    await client.query(`${resetSettings}; ${limit}; set local search_path = pg_catalog; ${ledgerInsert}`)
    await client.query('commit')
  } catch (error) {
    // A connection that is gone has rolled back already; the first error is the one that counts.
    await client.query('rollback').catch(() => {})
    throw error
  }
  await client.query(`${resetSession}; ${ownNamesOnly}`)
}

async function currentTransaction(client: SqlClient): Promise<string | undefined> {
  const { rows } = await client.query<{ id: string }>('select pg_catalog.pg_current_xact_id()::pg_catalog.text as id')
  return rows[0]?.id
}

interface StatementCount {
  /** Number of statements of the file that were finished; undefined: unknown, or the whole file was. */
  readonly finished: number | undefined
  during<Result>(file: Promise<Result>): Promise<Result>
  stop(): void
}

/** The part of a `pg` client that tells when a statement is done. */
interface Completions {
  on(event: 'commandComplete', listener: () => void): unknown
  off(event: 'commandComplete', listener: () => void): unknown
}

/** Counts the statements of a file that PostgreSQL has finished, so that the one that failed can be named. */
function countStatements(client: SqlClient): StatementCount {
  const { connection } = client as { connection?: Completions }
  let finished: number | undefined
  let isRunning = false
  const count = () => {
    if (isRunning && finished !== undefined) finished += 1
  }
  connection?.on('commandComplete', count)
  return {
    get finished() {
      return finished
    },
    async during(file) {
      finished = connection === undefined ? undefined : 0
      isRunning = true
      try {
        const result = await file
        finished = undefined
        return result
      } finally {
        isRunning = false
      }
    },
    stop: () => void connection?.off('commandComplete', count),
  }
}

/** Tells where a file failed: the line that PostgreSQL names, or that in which the statement begins; never its text. */
function placeOf(error: unknown, sql: string, finished: number | undefined): string {
  const { position } = error as { position?: string }
  if (position === undefined) {
    if (finished === undefined) return ''
    const line = statementLines(sql)[finished]
    return line === undefined ? '' : `, line ${line} (statement ${finished + 1})`
  }
  // PostgreSQL counts characters, not UTF-16 units.
  const lines = Array.from(sql)
    .slice(0, Number(position) - 1)
    .join('')
    .split('\n')
  return `, line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`
}

function messageOf(error: unknown): string {
  return (error as { message?: string }).message ?? String(error)
}

/** Looks at intervals which sessions block the file: after the wait, that can no longer be found out. */
async function watchBlockers(
  client: SqlClient,
  lockTimeoutMs: number,
  findBlockers: SqlFileRun['findBlockers'],
): Promise<{ last(): readonly LockBlocker[]; stop(): Promise<void> }> {
  if (findBlockers === undefined) return { last: () => [], stop: async () => {} }
  const { rows } = await client.query<{ pid: number }>('select pg_catalog.pg_backend_pid() as pid')
  const pid = rows[0]?.pid ?? 0
  let last: readonly LockBlocker[] = []
  let asking: Promise<void> | undefined
  const ask = async () => {
    const found = await findBlockers(pid).catch(() => [])
    if (found.length > 0) last = found
    asking = undefined
  }
  const timer = setInterval(() => void (asking ??= ask()), Math.max(lockTimeoutMs / 4, 25))
  return {
    last: () => last,
    async stop() {
      clearInterval(timer)
      await asking
    },
  }
}
