import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import type { ConnectionSchedulerOptions } from '../../src/connections/options.js'
import { type ConnectionScheduler, createConnectionScheduler } from '../../src/connections/scheduler.js'
import { RequestScope } from '../../src/core/context/request-scope.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { anonymousContext } from '../../src/http/pipeline.js'
import { countBackends, createTenantDatabase, type TestTenantDatabase } from './tenant-database.js'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Sets up tenant databases for a test file, and a scheduler for each test, which must leave no backend behind. */
export function useScheduler(count: number) {
  const databases: TestTenantDatabase[] = []
  let scheduler: ConnectionScheduler | undefined

  beforeAll(async () => {
    while (databases.length < count) databases.push(await createTenantDatabase())
  })

  afterEach(async () => {
    await scheduler?.close()
    scheduler = undefined
    await expect.poll(() => countBackends(databases.map(({ key }) => key))).toBe(0)
  })

  afterAll(async () => {
    for (const database of databases) await database.drop()
  })

  const current = (): ConnectionScheduler => {
    if (scheduler === undefined) throw new Error('No scheduler was started')
    return scheduler
  }
  return {
    databases,
    current,
    stats: () => current().stats(),
    start(options: ConnectionSchedulerOptions = {}): TenantPool[] {
      const started = createConnectionScheduler({ logger: quiet, ...options })
      scheduler = started
      return databases.map((database) => started.pool(database.key, database.resolveTarget))
    },
  }
}

/** Uses the pool until its scheduler has asked its database for the schema's effects, though it is never idle for long. */
export async function acquaint(pool: TenantPool): Promise<void> {
  for (let use = 0; use < 130; use += 1) await pool.query('select 1')
  await expect.poll(() => pool.idleCount, { interval: 1 }).toBe(1)
}

/** Process id of the backend that answers a query of this pool. */
export async function pidOf(pool: TenantPool): Promise<number> {
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}

/** Makes a request scope that is aborted when `signal` is. */
export function abortable(signal: AbortSignal): RequestScope {
  return new (class extends RequestScope {
    override get isAborted(): boolean {
      return signal.aborted
    }

    override onAborted(listener: () => void): void {
      signal.addEventListener('abort', listener)
    }

    override offAborted(listener: () => void): void {
      signal.removeEventListener('abort', listener)
    }
  })(anonymousContext)
}
