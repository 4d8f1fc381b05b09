import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { lockTimeout, unlock } from '../../postgres/advisory-lock.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { openConnection } from './admin-connection.js'
import { leaseMs } from './database-lease.js'
import { takeDatabaseLock } from './lock-heartbeat.js'

/** The lock of one tenant database. */
export interface DatabaseLock {
  readonly key: string
  /** Longest wait for it, milliseconds. */
  readonly timeoutMs: number
  /** What it protects, for the message of the error. */
  readonly what: string
  /** Name of the database: transactions that a process left in it when it lost the lock are ended. */
  readonly database: string
}

/** A lock in the hands of this process. */
export interface HeldLock {
  /** Throws when the lock was lost meanwhile, with its connection. */
  readonly check: () => Promise<void>
  /** Whether another session ran files in the database when the lock was taken: see `waitForFileSessions`. */
  readonly hasFileSessions: boolean
}

/**
 * Holds the locks of the tenant databases that this process migrates, all on one connection to the catalog: to open one for
 * each lock would cost as much as the migration. The connection is opened for the first lock and closed some seconds after
 * the last one. If it is lost, so are its locks, and the work goes on: whoever takes a lock then ends the transactions that
 * were left idle (`endAbandonedTransactions`) and waits for files that run (`waitForFileSessions`); the ledger keeps a file from
 * being applied twice.
 */
export interface LockKeeper {
  /**
   * Runs `work` under a lock.
   * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
   */
  withLock<Result>(lock: DatabaseLock, work: (held: HeldLock) => Promise<Result>): Promise<Result>
  /** Closes the connection. Locks that are held are lost. */
  close(): Promise<void>
}

/** A connection that can be asked by several callers at once: it answers one after the other. */
interface Session extends SqlClient {
  end(): Promise<void>
}

const idleMs = 10_000

/** @param catalog the provisioning account, in the catalog database */
export function createLockKeeper(catalog: ServerAccount): LockKeeper {
  /** By key: resolves when this process has released the lock. One connection would be given the same lock again. */
  const held = new Map<string, Promise<void>>()
  let session: Promise<Session> | undefined
  let users = 0
  let idle: NodeJS.Timeout | undefined

  const connect = () => {
    if (session !== undefined) return session
    const forget = () => {
      if (session === opened) session = undefined
    }
    const opened = openSession(catalog, forget)
    opened.catch(forget)
    session = opened
    return opened
  }
  const disconnect = async () => {
    clearTimeout(idle)
    await session?.then((open) => open.end()).catch(() => {})
  }

  const runLocked = async <Result>(lock: DatabaseLock, work: (held: HeldLock) => Promise<Result>) => {
    const client = await connect()
    const hasFileSessions = await takeDatabaseLock(client, lock)
    try {
      // The lock is the session's: where it answers, the lock is held.
      return await work({ hasFileSessions, check: async () => void (await client.query('select')) })
    } finally {
      // A lock that cannot be released goes with its connection.
      await unlock(client, lock.key).catch(() => client.end())
    }
  }

  return {
    async withLock(lock, work) {
      const { leftMs, release } = await takeTurn(held, lock)
      users += 1
      clearTimeout(idle)
      try {
        return await runLocked({ ...lock, timeoutMs: leftMs }, work)
      } finally {
        release()
        users -= 1
        if (users === 0) idle = setTimeout(() => void disconnect(), idleMs).unref()
      }
    },
    close: disconnect,
  }
}

/** Waits until nobody else in this process has the lock or waits for it on the server. `leftMs`: of the time to wait. */
async function takeTurn(
  held: Map<string, Promise<void>>,
  { key, timeoutMs, what }: DatabaseLock,
): Promise<{ readonly leftMs: number; readonly release: () => void }> {
  const deadline = performance.now() + timeoutMs
  for (let other = held.get(key); other !== undefined; other = held.get(key)) {
    const leftMs = deadline - performance.now()
    if (leftMs <= 0) throw lockTimeout(what, timeoutMs)
    const stop = new AbortController()
    await Promise.race([other, sleep(leftMs, undefined, { signal: stop.signal }).catch(() => {})])
    stop.abort()
  }
  // Nothing is waited for since the last look: no other caller has come in between.
  let settle: (() => void) | undefined
  const released = new Promise<void>((resolve) => {
    settle = resolve
  })
  held.set(key, released)
  return {
    leftMs: Math.max(0, deadline - performance.now()),
    release() {
      held.delete(key)
      settle?.()
    },
  }
}

/** The server plans a statement once for each session: these are asked for every lock. */
function nameOf(text: string): string {
  return `t2f_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
}

async function openSession(catalog: ServerAccount, onEnd: () => void): Promise<Session> {
  const client = await openConnection(catalog)
  let asking: Promise<unknown> = Promise.resolve()
  const query: Session['query'] = <Row extends object>(text: string, values?: unknown[]) => {
    const answer = asking.then(() => client.query<Row>(values ? { name: nameOf(text), text, values } : text))
    asking = answer.catch(() => {})
    return answer
  }
  // A session with a lock is idle while another connection does the work: this says that its process lives.
  const heartbeat = setInterval(() => void query('select').catch(() => {}), leaseMs / 3)
  const end = () => {
    clearInterval(heartbeat)
    onEnd()
  }
  client.once('end', end)
  return {
    query,
    async end() {
      end()
      await client.end()
    },
  }
}
