import { TenancyError } from '../core/errors/errors.js'
import { describeBlockers, type LockBlocker } from './lock-blockers.js'
import type { SqlClient } from '../core/sql-client.js'
import type { MigrationFunction, MigrationTenant } from '../core/tenants/migration.js'
import { retry } from './retry.js'
import type { SqlFileErrorCodes } from './sql-folder.js'
import { hasSqlState, sqlStates } from './sql-states.js'
import { statementLines } from './sql-statements.js'
import { runStatements, StatementFailure } from './statement-run.js'

/** One direction of one migration. */
export interface MigrationStep {
  readonly name: string
  readonly work: string | MigrationFunction
  /** False: statements are sent one by one, each on its own. Functions always have a transaction. */
  readonly inTransaction: boolean
  /** SQL for the list of another tool. */
  readonly toolChange?: string
  /** SQL for our own ledger. */
  readonly ledgerChange: string
}

/** Whether a hook runs in the transaction of its file. */
export interface FileTransaction {
  readonly inTransaction: boolean
}

/** Options of {@link runMigrationStep}. */
export interface SqlFileRun {
  readonly codes: Pick<SqlFileErrorCodes, 'invalid' | 'failed' | 'blocked'>
  /** Longest wait of a statement for a lock, milliseconds; then its file is rolled back and tried again. Default: 2000. */
  readonly lockTimeoutMs?: number
  /** Longest time of a statement, milliseconds; then its file fails. Default: no limit but the database's own. */
  readonly statementTimeoutMs?: number | undefined
  /** Most attempts for a file that waits for locks. Default: 8. */
  readonly maxAttempts?: number
  /** The tenant, for migrations that are functions. Default: none. */
  readonly tenant?: MigrationTenant | undefined
  /** Runs before each file, in its transaction if it has one. */
  readonly prepare?: (client: SqlClient, file: FileTransaction) => Promise<unknown>
  /** Runs after each file and before its row in the ledger, in its transaction if it has one. */
  readonly finish?: (client: SqlClient, file: FileTransaction) => Promise<unknown>
  /** Finds the sessions that a backend waits for; called while a file runs, on another connection. Default: not looked for. */
  readonly findBlockers?: (pid: number) => Promise<readonly LockBlocker[]>
}

interface LimitedRun extends SqlFileRun {
  readonly lockTimeoutMs: number
  readonly maxAttempts: number
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
 * Runs one step and then its changes of the ledgers, in one transaction that has the settings of a new session before and
 * after it. A step that does not get a lock in time gives way to the sessions that wait behind it, and is tried again. Of a
 * step without a transaction each statement is tried again, and those before it stay.
 *
 * @throws {@link TenancyError} `codes.failed`, `codes.blocked`, `codes.invalid`; rolled back, if it has a transaction
 */
export async function runMigrationStep(client: SqlClient, step: MigrationStep, options: SqlFileRun): Promise<void> {
  const { lockTimeoutMs = 2000, maxAttempts = 8 } = options
  const run: LimitedRun = { ...options, lockTimeoutMs, maxAttempts }
  async function attemptStep(attempt: number): Promise<void> {
    const blockers = await watchBlockers(client, lockTimeoutMs, run.findBlockers)
    const count = countStatements(client)
    try {
      await (step.inTransaction ? runOnce(client, step, run, count) : runOneByOne(client, step, run))
    } catch (error) {
      if (error instanceof TenancyError) throw error
      throw describeFailure(error, { step, run, attempt, finished: count.finished, blockers: blockers.last() })
    } finally {
      count.stop()
      await blockers.stop()
    }
  }

  await retry(attemptStep, {
    mayRetry: (error, attempt) => {
      if (!step.inTransaction) return false
      const { cause } = error as TenancyError
      if (isLocked(cause)) return attempt < maxAttempts
      return hasSqlState(cause, sqlStates.internalError) && attempt < maxInternalErrors
    },
    // Callers that waited behind the file go first.
    pauseMs: pauseAfter,
  })
}

const pauseAfter = (attempt: number) => Math.min(attempt * 250, 1500) * (0.5 + Math.random())

async function runOnce(client: SqlClient, step: MigrationStep, run: LimitedRun, count: StatementCount): Promise<void> {
  const { codes, statementTimeoutMs, prepare, finish } = run
  const limit = `set local lock_timeout = ${run.lockTimeoutMs}`
  await client.query(resetSession)
  try {
    await client.query(`begin read write; ${limit}`)
    await prepare?.(client, { inTransaction: true })
    if (statementTimeoutMs !== undefined) await client.query(`set local statement_timeout = ${statementTimeoutMs}`)
    const before = await currentTransaction(client)
    await (typeof step.work === 'string' ? count.during(client.query(step.work)) : step.work(client, run.tenant))
    if ((await currentTransaction(client)) !== before) {
      throw new TenancyError(
        codes.invalid,
        `${step.name} ends its transaction (commit or rollback): remove that statement`,
      )
    }
    // Constraints that the file deferred are checked while its own settings hold.
    await client.query('set constraints all immediate')
    if (step.toolChange) await client.query(`set local search_path = pg_catalog; ${step.toolChange}`)
    await finish?.(client, { inTransaction: true })
    await client.query(`${resetSettings}; ${limit}; set local search_path = pg_catalog; ${step.ledgerChange}`)
    await client.query('commit')
  } catch (error) {
    // A connection that is gone has rolled back already; the first error is the one that counts.
    await client.query('rollback').catch(() => {})
    throw error
  }
  await client.query(`${resetSession}; ${ownNamesOnly}`)
}

async function runOneByOne(client: SqlClient, step: MigrationStep, run: LimitedRun): Promise<void> {
  const { prepare, finish, lockTimeoutMs, maxAttempts } = run
  if (typeof step.work !== 'string') throw new Error(`${step.name} is a function: it has a transaction`)
  await client.query(resetSession)
  await client.query(`set lock_timeout = ${lockTimeoutMs}`)
  await prepare?.(client, { inTransaction: false })
  if (run.statementTimeoutMs !== undefined) await client.query(`set statement_timeout = ${run.statementTimeoutMs}`)
  await runStatements(client, step.work, {
    lockTimeoutMs,
    maxAttempts,
    mayRetry: (error, attempt) =>
      isLocked(error) || (hasSqlState(error, sqlStates.internalError) && attempt < maxInternalErrors),
    pauseMs: pauseAfter,
  })
  await finish?.(client, { inTransaction: false })
  // One message is one transaction.
  await client.query(
    `${resetSettings}; set local search_path = pg_catalog; ${step.toolChange ? `${step.toolChange};` : ''} ${step.ledgerChange}`,
  )
  await client.query(`${resetSession}; ${ownNamesOnly}`)
}

/** A step that failed, and what was known at that moment. */
interface StepFailure {
  readonly step: MigrationStep
  readonly run: LimitedRun
  readonly attempt: number
  readonly finished: number | undefined
  readonly blockers: readonly LockBlocker[]
}

function describeFailure(error: unknown, { step, run, attempt, finished, blockers }: StepFailure): TenancyError {
  const part = error instanceof StatementFailure ? error.statement : undefined
  const cause = part === undefined ? error : (error as StatementFailure).cause
  const place = `${step.name}${part ? `, line ${part.line} (statement ${part.number})` : placeOf(error, step.work, finished)}`
  const rest = [
    ...(part && part.number > 1 ? ['the statements before it stay, and the next run begins the file again'] : []),
    ...(part?.leftover === undefined ? [] : [part.leftover]),
  ].map((each) => `; ${each}`)
  if (!isLocked(cause)) {
    const hint = step.inTransaction && hasSqlState(cause, sqlStates.activeSqlTransaction) ? noTransactionHint : ''
    return new TenancyError(run.codes.failed, `${place}: ${reasonOf(cause, run)}${hint}${rest.join('')}`, { cause })
  }
  const found = describeBlockers(blockers)
  return new TenancyError(
    run.codes.blocked,
    `${place}: a lock could not be had within ${part?.waitedMs ?? run.lockTimeoutMs} ms, ${part?.attempts ?? attempt} times; ` +
      `${found === '' ? 'another session holds it' : `held by ${found}`}: try again when that transaction is over${rest.join('')}`,
    { cause },
  )
}

const noTransactionHint = ': make "-- no-transaction" the first line of the file'

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
function placeOf(error: unknown, sql: MigrationStep['work'], finished: number | undefined): string {
  if (typeof sql !== 'string') return ''
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

/** Explains an error; PostgreSQL says only that the statement was cancelled when it took too long. */
function reasonOf(error: unknown, { statementTimeoutMs }: SqlFileRun): string {
  const tookTooLong = statementTimeoutMs !== undefined && hasSqlState(error, sqlStates.queryCanceled)
  return tookTooLong ? `a statement took longer than ${statementTimeoutMs} ms (statementTimeoutMs)` : messageOf(error)
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
