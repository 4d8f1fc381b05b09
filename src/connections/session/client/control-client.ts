import { EventEmitter } from 'node:events'
import { TenancyError } from '../../../core/errors/errors.js'
import { inCallerContext } from '../../caller-context.js'

/** The operations on its tenant's connections that a {@link ControlClient} needs. */
export interface SessionControl {
  /** Stops what runs on the tenant's connection of this backend. False: the tenant has no such connection in use. */
  cancelBackend(pid: number): Promise<boolean>
  /** Ends the tenant's connection of this backend. False: the tenant has no such connection in use. */
  terminateBackend(pid: number): Promise<boolean>
}

/** Marks the options of a tenant's pool, and objects that they are spread into. */
export const poolOptionsMark = Symbol.for('tenants2fast.pool-options')

type Callback = (error: Error | null, result?: object) => void

const command = /^\s*select\s+(?:pg_catalog\.)?pg_(cancel|terminate)_backend\s*\(\s*(\d{1,10}|\$1(?:::int4?)?)\s*\)/i

/**
 * The client that `new pool.Client()` makes. It has one purpose: to cancel a query of the same tenant, as Kysely does
 * with aborted queries. It needs no connection and does not queue: it sends a cancel request (PostgreSQL manual,
 * 54.2.9), which the connection's own key authorises. It reaches only connections of its own tenant in this process.
 */
export class ControlClient extends EventEmitter {
  readonly processID = null
  readonly #control: SessionControl
  readonly #isForeign: boolean

  constructor(control: SessionControl, options: unknown) {
    super()
    this.#control = control
    const isOurs = typeof options !== 'object' || options === null || poolOptionsMark in options
    this.#isForeign = !isOurs
  }

  connect(callback?: Callback): Promise<this> | undefined {
    return answerBy(this.#isForeign ? Promise.reject(foreignUse()) : Promise.resolve(this), callback)
  }

  query(query: unknown, values?: unknown, callback?: unknown): Promise<object> | undefined {
    const back = [values, callback].find((given) => typeof given === 'function') as Callback | undefined
    return answerBy(this.#run(query, Array.isArray(values) ? values : undefined), back)
  }

  end(callback?: Callback): Promise<void> | undefined {
    queueMicrotask(() => this.emit('end'))
    return answerBy<void>(Promise.resolve(), callback)
  }

  ref(): void {}

  unref(): void {}

  async #run(query: unknown, values: readonly unknown[] | undefined): Promise<object> {
    const config = typeof query === 'object' && query !== null ? (query as { text?: unknown; values?: unknown[] }) : {}
    const text = typeof query === 'string' ? query : config.text
    const [, verb, argument = ''] = (typeof text === 'string' && command.exec(text)) || []
    const pid = Number(argument.startsWith('$') ? (values ?? config.values)?.[0] : argument)
    if (this.#isForeign || verb === undefined || !Number.isSafeInteger(pid)) throw foreignUse()
    const isCancel = verb.toLowerCase() === 'cancel'
    const done = isCancel ? await this.#control.cancelBackend(pid) : await this.#control.terminateBackend(pid)
    const row = { [isCancel ? 'pg_cancel_backend' : 'pg_terminate_backend']: done }
    return { command: 'SELECT', rowCount: 1, oid: null, fields: [], rows: [row] }
  }
}

/** Answers as `pg` does: by callback if there is one, else by promise. */
function answerBy<Value>(answer: Promise<Value>, callback: Callback | undefined): Promise<Value> | undefined {
  if (callback === undefined) return answer
  const call = inCallerContext(callback)
  answer.then(
    (value) => process.nextTick(call, null, value),
    (error: Error) => process.nextTick(call, error),
  )
  return undefined
}

/** The error for code that makes a connection from the options that a tenant's pool shows. */
export function foreignUse(): TenancyError {
  return new TenancyError(
    'TENANCY_CONNECTION_FOREIGN',
    'A tenant’s pool was taken for the options of another pool, which has no connections: another copy of pg in this ' +
      'process does not know the tenant’s pool as one of its own. Pass the copy that the library at hand uses, ' +
      'createTenancy({ pg }), and make no pool or client of a tenant’s pool or its options',
  )
}
