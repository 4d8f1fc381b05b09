import { hkdfSync } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { TenancyError } from '../core/errors/errors.js'
import type { SqlClient } from '../core/sql-client.js'

/**
 * Derives the key of an advisory lock from the master secret and a purpose (HKDF-SHA-256, RFC 5869), as decimal text of a
 * `bigint`. Nobody without the secret can compute it. `pg_locks` shows it to every session while the lock is held, so the
 * lock belongs in a database that no tenant can connect to.
 */
export function deriveLockKey(secret: Buffer, purpose: string): string {
  const bytes = Buffer.from(hkdfSync('sha256', secret, '', `tenants2fast advisory lock ${purpose}`, 8))
  return bytes.readBigInt64BE().toString()
}

/** A wait for an advisory lock. */
export interface LockWait {
  /** Key of the lock, decimal text of a `bigint`. */
  readonly key: string
  /** Longest wait, milliseconds. */
  readonly timeoutMs: number
  /** What the lock protects, for the message of the error. */
  readonly what: string
  /** Runs each time that another session holds the lock, such as to end one that is stuck. */
  readonly onHeld?: (key: string) => Promise<unknown>
  /** Takes the lock unless another session holds it. Default: {@link tryLock}. */
  readonly attempt?: () => Promise<boolean>
}

const retryMs = 50

/**
 * Takes a session's advisory lock, or gives up at the deadline.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function waitForLock(client: SqlClient, wait: LockWait): Promise<void> {
  const { key, timeoutMs, what, onHeld, attempt = () => tryLock(client, key) } = wait
  const deadline = performance.now() + timeoutMs
  while (!(await attempt())) {
    await onHeld?.(key)
    if (performance.now() >= deadline) throw lockTimeout(what, timeoutMs)
    await sleep(Math.min(retryMs, timeoutMs))
  }
}

/** Takes a session's advisory lock unless another session holds it. */
export async function tryLock(client: SqlClient, key: string): Promise<boolean> {
  const { rows } = await client.query<{ isLocked: boolean }>('select pg_try_advisory_lock($1::bigint) as "isLocked"', [
    key,
  ])
  return rows[0]?.isLocked === true
}

/** Releases an advisory lock of the session. */
export async function unlock(client: SqlClient, key: string): Promise<void> {
  await client.query('select pg_advisory_unlock($1::bigint)', [key])
}

/** Makes the error of a wait that reached its deadline. */
export function lockTimeout(what: string, timeoutMs: number): TenancyError {
  return new TenancyError(
    'TENANCY_DATABASE_LOCK_TIMEOUT',
    `Another process has held the lock of ${what} for more than ${Math.ceil(timeoutMs / 1000)} s: wait until it is done, ` +
      'or end its session on the server',
  )
}
