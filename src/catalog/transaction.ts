import { withOrigin } from '../core/audit-origin.js'
import { isTenancyError } from '../core/errors/errors.js'
import { retry } from '../postgres/outages/retry.js'
import { hasSqlState, sqlStates } from '../postgres/outages/sql-states.js'
import type { SqlClient, SqlConnection, SqlPool, SqlResult, SqlStatement } from '../core/sql-client.js'

/**
 * An open transaction. Statements that are issued without waiting for one another travel in one message, the first ones
 * together with BEGIN. They run in the order in which they were issued, each with a snapshot of its own; after one that
 * fails, none of that message is run. {@link inOrder} waits for them.
 */
export interface Transaction extends SqlClient {
  /** Commits, in one message with statements that were issued just before. Nothing can be issued afterwards. */
  commit(): Promise<void>
}

interface Issued extends SqlStatement {
  readonly resolve: (result: SqlResult<object>) => void
  readonly reject: (error: unknown) => void
}

/** How {@link inTransaction} begins. */
export interface TransactionOptions {
  /** One moment of the catalog, for reads that belong together. Default: false. */
  readonly isSnapshot?: boolean
}

/**
 * Runs `work` in one transaction on one connection: committed when it resolves, unless `work` has committed itself, rolled
 * back when it throws. A connection whose rollback fails is destroyed. Two transactions that wait for each other: the server
 * ends one, which is run again, so `work` does nothing but query.
 */
export function inTransaction<Result>(
  pool: SqlPool,
  work: (client: Transaction) => Promise<Result>,
  options: TransactionOptions = {},
): Promise<Result> {
  return retry(() => tryTransaction(pool, work, options), {
    mayRetry: (error, attempt) => attempt < 4 && hasSqlState(error, sqlStates.deadlockDetected),
    pauseMs: (attempt) => Math.random() * 50 * attempt,
  })
}

// Our transactions take milliseconds. The server ends one whose process stopped in the middle, so that nobody waits for its locks;
// and one that waits for a lock, before the client's own limit: a change that the caller was told has failed must not be committed
// later.
const limits = [
  "set_config('idle_in_transaction_session_timeout', '10s', true)",
  "set_config('lock_timeout', '5s', true)",
]

async function tryTransaction<Result>(
  pool: SqlPool,
  work: (client: Transaction) => Promise<Result>,
  { isSnapshot = false }: TransactionOptions,
): Promise<Result> {
  const client = await pool.connect()
  const { issue, close } = createIssuer(client)
  let committed: Promise<void> | undefined
  let broken = false
  const commit = () => (committed ??= issue({ text: 'commit' }).then(() => {}))
  try {
    const begun = [
      issue({ text: isSnapshot ? 'begin isolation level repeatable read, read only' : 'begin' }),
      issue(isSnapshot ? { text: `select ${limits.join(', ')}` } : withOrigin(limits)),
    ]
    const worked = work({
      query: <Row extends object>(text: string, values?: unknown[]) =>
        committed === undefined
          ? (issue({ text, values }) as Promise<SqlResult<Row>>)
          : Promise.reject(new Error('The transaction is over')),
      commit,
    })
    const [result] = await inOrder([worked, ...begun])
    await commit()
    return result
  } catch (error) {
    // A rollback cannot succeed where the statement before it got no answer. The server rolls back when the connection ends.
    broken = isTenancyError(error, 'TENANCY_CATALOG_UNAVAILABLE')
    await close(error)
    if (!broken) {
      await client.query('rollback').catch(() => {
        broken = true
      })
    }
    throw error
  } finally {
    client.release(broken)
  }
}

/**
 * Waits for all, and throws the error of the first one in order that has failed: what is asked together is refused in the same
 * order as one after the other.
 */
export async function inOrder<const Results extends readonly unknown[]>(
  results: readonly [...Results],
): Promise<{ -readonly [Index in keyof Results]: Awaited<Results[Index]> }> {
  const settled = await Promise.allSettled(results)
  const failed = settled.find((result): result is PromiseRejectedResult => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return settled.map((result) => (result as PromiseFulfilledResult<unknown>).value) as {
    -readonly [Index in keyof Results]: Awaited<Results[Index]>
  }
}

interface Issuer {
  /** Sends the statement in one message with the others that are issued in the same turn. */
  readonly issue: (statement: SqlStatement) => Promise<SqlResult<object>>
  /** Sends nothing any more, and waits until nothing that was sent is unanswered. What is issued from now on is refused. */
  readonly close: (error: unknown) => Promise<unknown>
}

function createIssuer(client: SqlConnection): Issuer {
  let unsent: Issued[] = []
  let sent: Promise<unknown> = Promise.resolve()
  /** What failed first. Nothing is sent any more. */
  let failure: { readonly error: unknown } | undefined

  async function send(): Promise<void> {
    const batch = unsent
    unsent = []
    try {
      // PostgreSQL answers a COMMIT of a transaction that has failed without an error, and rolls back.
      if (failure !== undefined) throw failure.error
      const results = client.queryTogether?.(batch) ?? inSequence(client, batch)
      for (const [index, { resolve }] of batch.entries()) results[index]?.then(resolve, () => {})
      await inOrder(results)
    } catch (error) {
      failure ??= { error }
      // Those that were answered are settled already.
      for (const { reject } of batch) reject(error)
    }
  }

  return {
    issue(statement) {
      // The first of a turn. The others are issued before this `then` calls back.
      if (unsent.length === 0) sent = sent.then(send)
      const result = new Promise<SqlResult<object>>((resolve, reject) => {
        unsent.push({ ...statement, resolve, reject })
      })
      // A statement that nobody waits for, because work failed elsewhere, fails the transaction and not the process.
      result.catch(() => {})
      return result
    },
    close(error) {
      failure ??= { error }
      return sent
    },
  }
}

/** Sends statements in one message, if the connection can, and waits for all. */
export function runTogether(
  client: SqlConnection,
  statements: readonly SqlStatement[],
): Promise<readonly SqlResult<object>[]> {
  return inOrder(client.queryTogether?.(statements) ?? inSequence(client, statements))
}

/** Sends one statement after the other, and none after one that failed, as `queryTogether` does. */
function inSequence(client: SqlClient, statements: readonly SqlStatement[]): Promise<SqlResult<object>>[] {
  let before: Promise<unknown> = Promise.resolve()
  return statements.map(({ text, values }) => {
    const result = before.then(() => client.query<object>(text, values))
    before = result
    return result
  })
}
