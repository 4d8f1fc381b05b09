import type { SqlClient } from '../core/sql-client.js'
import { dropUnfinishedIndexes, indexOf, unfinishedIndexes } from './concurrent-index.js'
import { retry } from './outages/retry.js'
import { splitStatements } from './text/sql-statements.js'

/** What is known of a statement that failed. */
export interface FailedStatement {
  /** Line of its first token, from 1. */
  readonly line: number
  /** Its place among the statements, from 1. */
  readonly number: number
  readonly attempts: number
  /** How long it waited for a lock each time. */
  readonly waitedMs: number
  /** What it left behind and could not be removed. */
  readonly leftover: string | undefined
}

/** A statement of a text failed; `cause` is the error. */
export class StatementFailure extends Error {
  readonly statement: FailedStatement

  constructor(statement: FailedStatement, cause: unknown) {
    super('A statement failed', { cause })
    this.statement = statement
  }
}

/** Options of {@link runStatements}. */
export interface StatementLimits {
  /** The session's `lock_timeout`, milliseconds. */
  readonly lockTimeoutMs: number
  /** Most attempts for a statement. */
  readonly maxAttempts: number
  readonly mayRetry: (error: unknown, attempt: number) => boolean
  readonly pauseMs: (attempt: number) => number
}

/**
 * Sends the statements of a text one by one, outside of a transaction. `CREATE INDEX CONCURRENTLY` and the like block nobody,
 * so they wait for their locks as long as all attempts of another statement may take together. An index that such a
 * statement has left unfinished, now or in an earlier run, is dropped: `IF NOT EXISTS` would take it for a finished one.
 *
 * @throws {@link StatementFailure} the first that fails; those before it stay
 */
export async function runStatements(client: SqlClient, text: string, limits: StatementLimits): Promise<void> {
  const statements = splitStatements(text)
  // Whoever sets it means it.
  const setsTimeout = statements.some(({ words }) => words[0] === 'set' && words.includes('lock_timeout'))
  for (const statement of statements) {
    const isConcurrent = statement.words.includes('concurrently')
    const isPatient = isConcurrent && !setsTimeout
    const waitedMs = isPatient ? limits.lockTimeoutMs * limits.maxAttempts : limits.lockTimeoutMs
    const maxAttempts = isConcurrent ? 1 : limits.maxAttempts
    const index = isConcurrent ? indexOf(statement.text) : undefined
    let attempts = 0
    let leftover: string | undefined
    const runOnce = async (attempt: number) => {
      attempts = attempt
      if (index) await dropUnfinishedIndexes(client, await unfinishedIndexes(client, index))
      try {
        await client.query(statement.text)
      } catch (error) {
        leftover = index && (await dropLeftover(client, index))
        throw error
      }
    }
    if (isPatient) await client.query(`set lock_timeout = ${waitedMs}`)
    try {
      await retry(runOnce, {
        mayRetry: (error, attempt) => attempt < maxAttempts && limits.mayRetry(error, attempt),
        pauseMs: limits.pauseMs,
      })
    } catch (error) {
      const { line, number } = statement
      throw new StatementFailure({ line, number, attempts, waitedMs, leftover }, error)
    }
    if (isPatient) await client.query(`set lock_timeout = ${limits.lockTimeoutMs}`)
  }
}

/** Says what is left; undefined: nothing, or the connection is gone and the next run drops it. */
async function dropLeftover(
  client: SqlClient,
  index: NonNullable<ReturnType<typeof indexOf>>,
): Promise<string | undefined> {
  const found = await unfinishedIndexes(client, index).catch(() => [])
  const isDropped = await dropUnfinishedIndexes(client, found).then(
    () => true,
    () => false,
  )
  return isDropped ? undefined : `the unfinished index ${found.join(', ')} is left, and the next run drops it`
}
