import { channel } from 'node:diagnostics_channel'
import { TenancyError } from '../../core/errors/errors.js'
import {
  isSameAccount,
  type ServerAccount,
  type ServerAddress,
  type TenantDatabaseTarget,
} from '../../core/tenants/database-target.js'
import type { CheckoutPool } from '../checkout.js'
import { isRefusal } from '../connection-errors.js'
import type { SchedulerSettings } from '../options.js'
import { beginSession, openSession, type SessionOptions, type UnprovenSession } from '../session/open-session.js'
import type { SessionClient } from '../session/client/session-client.js'
import { Denials } from './denials.js'
import { ServerOutages } from './server-outages.js'

type OpeningPool = Pick<CheckoutPool, 'key' | 'resolveTarget' | 'expectedAccount'>

const roleRestored = channel('tenants2fast:connection:role-restored')

/**
 * Opens connections to tenants' databases. Does not try while their server is down, and restores roles that were
 * changed.
 */
export class Connector {
  readonly #options: SchedulerSettings
  readonly #outages = new ServerOutages()
  readonly #denials = new Denials((key) => this.#restoreRole(key))
  readonly #sessionOptions: SessionOptions
  /** Pools whose last connection could not go where it was expected to: nothing is begun for them ahead of the catalog. */
  readonly #misled = new WeakSet<OpeningPool>()
  #rolesRestored = 0

  constructor(options: SchedulerSettings) {
    this.#options = options
    const { acquireTimeoutMs: timeoutMs, prepareStatements, transactionPooling, throughPooler, copy } = options
    this.#sessionOptions = { timeoutMs, prepareStatements, transactionPooling, throughPooler, copy }
  }

  get rolesRestored(): number {
    return this.#rolesRestored
  }

  /** Waits until no role is being restored. */
  settled(): Promise<void> {
    return this.#denials.settled()
  }

  /**
   * Opens a connection, and goes where the catalog says.
   *
   * @param isHurried it is begun while the catalog is asked, towards where it most likely goes
   */
  async connect(pool: OpeningPool, isHurried: boolean): Promise<SessionClient> {
    const expected = pool.expectedAccount()
    const early = !isHurried || this.#misled.has(pool) ? undefined : this.#begin(expected)
    try {
      const target = await this.#targetOf(pool, expected)
      if (early !== undefined && isSameAccount(early.account, target.account)) {
        return await this.#open(pool, target, () => early.prove(target))
      }
      early?.discard()
      return await this.#open(pool, target)
    } catch (error) {
      early?.discard()
      throw error
    }
  }

  #begin(account: ServerAccount | undefined): UnprovenSession | undefined {
    if (account === undefined || !this.#outages.isAnswering(serverOf(account))) return undefined
    return beginSession(account, this.#options.clientConfig, this.#sessionOptions)
  }

  async #targetOf(pool: OpeningPool, expected: ServerAccount | undefined): Promise<TenantDatabaseTarget> {
    let isMisled = true
    try {
      const target = await beforeDeadline(pool.resolveTarget(), this.#options.acquireTimeoutMs)
      isMisled = expected === undefined || !isSameAccount(expected, target.account)
      return target
    } finally {
      if (isMisled) this.#misled.add(pool)
      else this.#misled.delete(pool)
    }
  }

  async #open(
    pool: OpeningPool,
    target: TenantDatabaseTarget,
    first: () => Promise<SessionClient> = () => openSession(target, this.#options.clientConfig, this.#sessionOptions),
  ): Promise<SessionClient> {
    const server = serverOf(target.account)
    this.#outages.admit(server, performance.now())
    try {
      const client = await first().catch(async (error: unknown) => {
        if (!isRefusal(error) || !(await this.#restoreRole(pool.key))) throw error
        return openSession(target, this.#options.clientConfig, this.#sessionOptions)
      })
      this.#outages.answered(server)
      this.#denials.watch(pool.key, client)
      return client
    } catch (error) {
      this.#outages.failed(server, error, performance.now())
      throw error
    }
  }

  /** A role can lock its tenant out, or change its future connections. An attacker may be able to run SQL as the role. */
  async #restoreRole(key: string): Promise<boolean> {
    const changes = await this.#options.restoreRole(key).catch(() => [])
    if (changes.length === 0) return false
    this.#rolesRestored += 1
    const message = `The role of a tenant database had changed its own ${changes.join(', ')}; it was restored`
    this.#options.logger.error({ tenant: key, changes }, message)
    roleRestored.publish({ tenant: key, changes })
    return true
  }
}

function serverOf({ host, port }: ServerAddress): string {
  return `${host}:${port}`
}

async function beforeDeadline<Value>(promise: Promise<Value>, timeoutMs: number): Promise<Value> {
  let deadline: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    const message = `The tenant’s database was not known within ${timeoutMs} ms`
    deadline = setTimeout(() => reject(new TenancyError('TENANCY_DATABASE_UNAVAILABLE', message)), timeoutMs)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(deadline)
  }
}
