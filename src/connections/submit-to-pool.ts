import { tryGetScope } from '../core/context/request-scope.js'
import type { CheckoutCallback } from './checkout.js'
import type { ConnectionDispatcher } from './connection-dispatcher.js'
import { abortedError } from './connection-errors.js'
import { textOf } from './queries/query-text.js'
import { bindToCaller, hearErrors, type Submittable } from './queries/submittable.js'
import { SubmittedQuery } from './queries/submitted-query.js'
import { transactionLeftOpen, transactionMisuseOf, transactionRefused } from './queries/transaction-control.js'

/** The part of a tenant's pool that {@link submitToPool} needs. */
export interface SubmitParts {
  readonly dispatcher: Pick<ConnectionDispatcher, 'giveBack' | 'breakOff' | 'streams'>
  /** Emits an event of the pool. */
  readonly announce: (event: 'acquire' | 'release', ...values: unknown[]) => void
  /** Checks a connection out. */
  readonly acquire: (done: CheckoutCallback) => void
  /** Counts the query as pending, until the returned function is called. */
  readonly begin: () => () => void
}

/** Runs a query object (a cursor, a stream) for `pool.query`. */
export function submitToPool(
  { dispatcher, announce, acquire, begin }: SubmitParts,
  query: Submittable,
  values: unknown,
  callback: unknown,
): Submittable {
  const target = query as { callback?: unknown }
  if (callback !== undefined && !target.callback) target.callback = callback
  const guard = bindToCaller(query)
  const misuse = transactionMisuseOf(textOf(query))
  if (misuse !== undefined) {
    process.nextTick(() => query.handleError(transactionRefused(misuse)))
    return query
  }
  const scope = tryGetScope()
  const finish = begin()
  acquire((error, checkout) => {
    const client = checkout?.connection
    if (checkout === undefined || client === undefined) {
      finish()
      if (scope?.isAborted === true) hearErrors(query)
      return query.handleError(error)
    }
    checkout.holder = scope
    announce('acquire', client)
    const end = (give: () => void): void => {
      finish()
      announce('release', undefined, client)
      give()
    }
    const giveBack = (): void => end(() => dispatcher.giveBack(checkout, false))
    if (query.destroyed === true) return giveBack()
    guard.onReady = () => (client.outsideTransaction ? undefined : transactionLeftOpen())
    try {
      client.run(query, values, callback)
    } catch (failure) {
      end(() => dispatcher.giveBack(checkout, true))
      return query.handleError(failure)
    }
    const breakOff = (): void => end(() => dispatcher.breakOff(checkout))
    const submitted = new SubmittedQuery(query, guard, client, scope, { giveBack, breakOff })
    if (scope?.isAborted === true) submitted.abort(abortedError(undefined))
    else dispatcher.streams.watch(submitted)
  })
  return query
}
