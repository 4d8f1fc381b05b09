import { TenancyError } from '../../core/errors/errors.js'
import { describeBlockers, type LockBlocker } from '../lock-blockers.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { MigrationFunction, MigrationTenant } from '../../core/tenants/migration.js'
import { retry } from '../outages/retry.js'
import type { SqlFileErrorCodes } from './sql-folder.js'
import { hasSqlState, sqlStates } from '../outages/sql-states.js'
import { quoteLiteral } from '../text/quote.js'
import { refusalOf, refuseUnless } from '../outages/refusal.js'
import { statementLines } from '../text/sql-statements.js'
import { runStatements, StatementFailure } from '../statement-run.js'

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

/** What the statements of a {@link FileSession} answer: columns by name. */
export type SessionFacts = Readonly<Record<string, string | undefined>>

/** Statements of our own around a file. They go with others in one message, and so are one text each. */
export interface FileSession {
  begin(where: FileTransaction): readonly string[]
  /** Takes the session back after the file. */
  tidy(where: FileTransaction): string
  /** Raises an error (see `refuseUnless`) when the file has changed what it must not. `begun`: what `begin` answered. */
  check(begun: SessionFacts): string
  /** Receives what `check` answered, when the file's transaction was committed. */
  ended?(facts: SessionFacts): void
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
  /** Whether the session has the settings that it was opened with, and nothing else. Default: they are reset first. */
  readonly isFresh?: boolean | undefined
  /** The tenant, for migrations that are functions. Default: none. */
  readonly tenant?: MigrationTenant | undefined
  /** Statements around each file, in its transaction if it has one. Default: none. */
  readonly session?: FileSession | undefined
  /** Runs before each file, after those of the session, in its transaction if it has one. */
  readonly prepare?: (client: SqlClient, file: FileTransaction) => Promise<unknown>
  /** Runs after each file and before those of the session, in its transaction if it has one. */
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
 * Runs one step and then its changes of the ledgers, in one transaction that begins with the settings of a new session. What
 * the file leaves in the session stays: see {@link resetAfterFiles}. A step that does not get a lock in time gives way to the sessions that wait behind it, and is tried again. Of a
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
      await (step.inTransaction
        ? runOnce(client, step, run, { isFresh: run.isFresh === true && attempt === 1, count })
        : runOneByOne(client, step, run))
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

async function runOnce(
  client: SqlClient,
  step: MigrationStep,
  run: LimitedRun,
  { isFresh, count }: { readonly isFresh: boolean; readonly count: StatementCount },
): Promise<void> {
  const { codes, prepare, finish, session } = run
  const where = { inTransaction: true }
  const limit = `set local lock_timeout = ${run.lockTimeoutMs}`
  if (!isFresh) await client.query(resetSession)
  try {
    const begun = await sendAll(client, [
      'begin read write',
      limit,
      ...(session?.begin(where) ?? []),
      ...timeLimit('set local', run),
      `select ${currentTransaction} as transaction`,
    ])
    await prepare?.(client, where)
    await (typeof step.work === 'string' ? count.during(client.query(step.work)) : step.work(client, run.tenant))
    // Nothing of this has an effect, the ledger's row included, once the file has ended its transaction.
    const checks = [
      refuseUnless(
        `${currentTransaction} operator(pg_catalog.=) ${quoteLiteral(begun['transaction'] ?? '')}`,
        endsTransaction,
      ),
      // Constraints that the file deferred are checked while its own settings hold.
      'set constraints all immediate',
      ...(step.toolChange ? [`set local search_path = pg_catalog; ${step.toolChange}`] : []),
    ]
    if (finish) {
      await sendAll(client, checks.splice(0))
      await finish(client, where)
    }
    const ended = await sendAll(client, [
      ...checks,
      ...(session ? [session.tidy(where), session.check(begun)] : []),
      `${resetSettings}; ${limit}; set local search_path = pg_catalog; ${step.ledgerChange}`,
      'commit',
    ])
    session?.ended?.(ended)
  } catch (error) {
    // A connection that is gone has rolled back already; the first error is the one that counts.
    await client.query('rollback').catch(() => {})
    const refusal = refusalOf(error)
    if (refusal === endsTransaction) {
      throw new TenancyError(
        codes.invalid,
        `${step.name} ends its transaction (commit or rollback): remove that statement`,
      )
    }
    throw refusal === undefined ? error : new Error(refusal)
  }
}

async function runOneByOne(client: SqlClient, step: MigrationStep, run: LimitedRun): Promise<void> {
  const { prepare, finish, session, lockTimeoutMs, maxAttempts } = run
  if (typeof step.work !== 'string') throw new Error(`${step.name} is a function: it has a transaction`)
  const where = { inTransaction: false }
  await client.query(resetSession)
  const begun = await sendAll(client, [
    `set lock_timeout = ${lockTimeoutMs}`,
    ...(session?.begin(where) ?? []),
    ...timeLimit('set', run),
  ])
  await prepare?.(client, where)
  await runStatements(client, step.work, {
    lockTimeoutMs,
    maxAttempts,
    mayRetry: (error, attempt) =>
      isLocked(error) || (hasSqlState(error, sqlStates.internalError) && attempt < maxInternalErrors),
    pauseMs: pauseAfter,
  })
  await finish?.(client, where)
  if (session) await client.query(session.tidy(where))
  try {
    // One message is one transaction.
    await sendAll(client, [
      ...(session ? [session.check(begun)] : []),
      `${resetSettings}; set local search_path = pg_catalog; ${step.toolChange ? `${step.toolChange};` : ''} ${step.ledgerChange}`,
    ])
  } catch (error) {
    const refusal = refusalOf(error)
    throw refusal === undefined ? error : new Error(refusal)
  }
}

/** Gives a connection that files have run on the settings for our own statements. */
export async function resetAfterFiles(client: SqlClient): Promise<void> {
  await client.query(`${resetSession}; ${ownNamesOnly}`)
}

/** A message that a session's checks raise: see {@link refuseUnless}. */
const endsTransaction = 'tenants2fast: the transaction was ended'

const currentTransaction = 'pg_catalog.pg_current_xact_id()::pg_catalog.text'

const timeLimit = (set: string, { statementTimeoutMs }: SqlFileRun) =>
  statementTimeoutMs === undefined ? [] : [`${set} statement_timeout = ${statementTimeoutMs}`]

/** Sends statements in one message; returns the columns of all rows of the answers. */
async function sendAll(client: SqlClient, statements: readonly string[]): Promise<SessionFacts> {
  const results = (await client.query<SessionFacts>(statements.join(';\n'))) as unknown as
    | { readonly rows: readonly SessionFacts[] }
    | readonly { readonly rows: readonly SessionFacts[] }[]
  return Object.assign({}, ...[results].flat().flatMap(({ rows }) => rows)) as SessionFacts
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
  // PostgreSQL counts characters, not UTF-16 units, and so does the column.
  const lines = Array.from(sql)
    .slice(0, Number(position) - 1)
    .join('')
    .split('\n')
  return `, line ${lines.length}, column ${Array.from(lines.at(-1) ?? '').length + 1}`
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
  const pid = await backendOf(client)
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

/** The process that serves a connection. The server names it when it accepts a `pg.Client`. */
async function backendOf(client: SqlClient): Promise<number> {
  const { processID } = client as { processID?: number | null }
  if (typeof processID === 'number') return processID
  const { rows } = await client.query<{ pid: number }>('select pg_catalog.pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}
