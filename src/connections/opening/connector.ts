import { channel } from 'node:diagnostics_channel'
import { TenancyError } from '../../core/errors/errors.js'
import type { CheckoutPool } from '../checkout.js'
import { isRefusal } from '../connection-errors.js'
import type { SchedulerSettings } from '../options.js'
import { openSession } from '../session/open-session.js'
import type { SessionClient } from '../session/session-client.js'
import { Denials } from './denials.js'
import { ServerOutages } from './server-outages.js'

const roleRestored = channel('tenants2fast:connection:role-restored')

/**
 * Opens connections to tenants' databases. Does not try while their server is down, and restores roles that were
 * changed.
 */
export class Connector {
  readonly #options: SchedulerSettings
  readonly #outages = new ServerOutages()
  readonly #denials = new Denials((key) => this.#restoreRole(key))
  #rolesRestored = 0

  constructor(options: SchedulerSettings) {
    this.#options = options
  }

  get rolesRestored(): number {
    return this.#rolesRestored
  }

  /** Waits until no role is being restored. */
  settled(): Promise<void> {
    return this.#denials.settled()
  }

  async connect(pool: Pick<CheckoutPool, 'key' | 'resolveTarget'>): Promise<SessionClient> {
    const { acquireTimeoutMs: timeoutMs, clientConfig, prepareStatements, transactionPooling, copy } = this.#options
    const target = await beforeDeadline(pool.resolveTarget(), timeoutMs)
    const server = `${target.account.host}:${target.account.port}`
    const options = { timeoutMs, prepareStatements, transactionPooling, copy }
    const open = () => openSession(target, clientConfig, options)
    this.#outages.admit(server, performance.now())
    try {
      const client = await open().catch(async (error: unknown) => {
        if (!isRefusal(error) || !(await this.#restoreRole(pool.key))) throw error
        return open()
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
