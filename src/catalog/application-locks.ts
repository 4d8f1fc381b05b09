import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { TenancyError } from '../core/errors/errors.js'
import type { SqlConnection, SqlPool, SqlResult } from '../core/sql-client.js'
import { parse, schemaOf } from './input.js'
import { runTogether } from './transaction.js'

/** A lock of the application. */
export interface WithLockInput {
  /** Names the lock in the whole installation: 1 to 63 lower-case letters, digits, `.`, `_` or `-`, a letter or digit first. */
  readonly name: string
  /** Longest wait for the lock, milliseconds, to 3,600,000. 0: it is free at once, or the call is refused. Default: 30,000. */
  readonly timeoutMs?: number | undefined
  /** Ends the wait, and is part of the signal that the function gets. Default: none. */
  readonly signal?: AbortSignal | undefined
}

/** Locks of the application, in the catalog. */
export interface ApplicationLocks {
  /**
   * Runs a function while no other process of the installation, nor another call of this one, runs one under the same name. Its
   * signal is aborted when the lock is lost because the catalog's connection broke, within seconds, and when the tenancy closes:
   * stop then. A process holds at most 3 locks at a time, each on one connection to the catalog; further calls wait.
   * @throws TENANCY_LOCK_TIMEOUT, TENANCY_CATALOG_UNAVAILABLE, TENANCY_CLOSED, TENANCY_REQUEST_INVALID; the reason of `signal`;
   *   what the function throws
   * @example
   * await tenancy.withLock({ name: 'nightly-report', timeoutMs: 0 }, async (signal) => report({ signal }))
   */
  withLock<Result>(input: WithLockInput, run: (signal: AbortSignal) => Result | Promise<Result>): Promise<Result>
}

const withLockInput = schemaOf<WithLockInput>()(
  z.strictObject({
    name: z
      .string('must be text')
      .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9, ".", "_" and "-"'),
    timeoutMs: z.int().min(0).max(3_600_000).optional(),
    signal: z.instanceof(AbortSignal, { error: 'must be an AbortSignal' }).optional(),
  }),
)
const runInput = z.custom<(signal: AbortSignal) => unknown>(
  (value) => typeof value === 'function',
  'must be a function',
)

/** Most locks that a process holds: each keeps one connection of the catalog's pool. */
const maxHeld = 3
const retryMs = 200
const heartbeatMs = 1000

/** Options of {@link createApplicationLocks}. */
export interface ApplicationLocksOptions {
  readonly catalog: SqlPool
  /** Gives the key of the advisory lock of a name, decimal text of a `bigint`. */
  readonly keyOf: (name: string) => string
}

/** Creates the locks of a process. */
export function createApplicationLocks({ catalog, keyOf }: ApplicationLocksOptions): ApplicationLocks & {
  /** Aborts the functions that hold a lock, and waits for them. */
  readonly close: () => Promise<void>
} {
  const closing = new AbortController()
  // Each call that waits listens to it.
  setMaxListeners(0, closing.signal)
  const held = new Set<Promise<unknown>>()
  let taken = 0

  /** Takes the lock in a transaction of its own, which also works behind a pooler; undefined: another one has it. */
  async function tryTake(name: string): Promise<SqlConnection | undefined> {
    if (taken >= maxHeld) return undefined
    taken += 1
    let client: SqlConnection | undefined
    try {
      client = await catalog.connect()
      const text = `select pg_try_advisory_xact_lock($1::bigint) as "isLocked",
        set_config('idle_in_transaction_session_timeout', '0', true)`
      const [, tried] = await runTogether(client, [{ text: 'begin' }, { text, values: [keyOf(name)] }])
      const [row] = (tried as SqlResult<{ isLocked: boolean }>).rows
      if (row?.isLocked === true) return client
      await client.query('rollback')
    } catch (error) {
      client?.release(true)
      taken -= 1
      throw error
    }
    client.release()
    taken -= 1
    return undefined
  }

  async function giveBack(client: SqlConnection): Promise<void> {
    const broken = await client.query('rollback').then(
      () => false,
      () => true,
    )
    client.release(broken)
    taken -= 1
  }

  async function take(name: string, timeoutMs: number, stop: AbortSignal): Promise<SqlConnection> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      stop.throwIfAborted()
      const client = await tryTake(name)
      if (client !== undefined) return client
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) {
        throw new TenancyError(
          'TENANCY_LOCK_TIMEOUT',
          `The lock ${JSON.stringify(name)} was not to be had within ${timeoutMs} ms: another call holds it, ` +
            `or this process holds ${maxHeld} locks`,
        )
      }
      await sleep(Math.min(retryMs * (0.5 + Math.random()), leftMs), undefined, { signal: stop }).catch(() => {})
    }
  }

  async function runLocked<Result>(
    client: SqlConnection,
    stop: AbortSignal,
    run: (signal: AbortSignal) => Result | Promise<Result>,
  ): Promise<Result> {
    const [lost, done] = [new AbortController(), new AbortController()]
    const watching = watch(client, lost, done.signal)
    try {
      return await run(AbortSignal.any([lost.signal, stop]))
    } finally {
      done.abort()
      await watching
      await giveBack(client)
    }
  }

  return {
    async withLock(input, run) {
      const { name, timeoutMs = 30_000, signal } = parse(withLockInput, input)
      parse(runInput, run, 'run')
      const stop = signal === undefined ? closing.signal : AbortSignal.any([closing.signal, signal])
      const client = await take(name, timeoutMs, stop)
      const running = runLocked(client, stop, run)
      const settled = running.catch(() => {}).finally(() => held.delete(settled))
      held.add(settled)
      return running
    },
    async close() {
      closing.abort(new TenancyError('TENANCY_CLOSED'))
      await Promise.all(held)
    },
  }
}

/** Aborts `lost` when the connection, and with it the lock, is gone. */
async function watch(client: SqlConnection, lost: AbortController, done: AbortSignal): Promise<void> {
  for (;;) {
    await sleep(heartbeatMs, undefined, { signal: done, ref: false }).catch(() => {})
    if (done.aborted) return
    try {
      await client.query('select')
    } catch (error) {
      lost.abort(
        new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The lock is lost: its connection broke', { cause: error }),
      )
      return
    }
  }
}
