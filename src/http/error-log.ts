import { readProperty } from '../core/errors/error-chain.js'
import { isTenancyError } from '../core/errors/errors.js'
import type { Logger } from '../core/logger.js'
import type { Problem } from './problem.js'

/** The part of a request's logger that errors go to. */
type ErrorLogger = Pick<Logger, 'debug' | 'info' | 'error'>

/** Most inner errors that are written, each counted as often as it is reached, and their greatest depth. */
const maxErrors = 10_000
const maxDepth = 500
const maxStackLength = 8192

/**
 * Logs an error once: server errors at level error, refusals of this package at level debug, other faults of the client at
 * level info. Never throws: some errors cannot be written by any logger, and their requests still need an answer.
 */
export function logError(error: unknown, problem: Problem, log: ErrorLogger): void {
  try {
    if (isBounded(error)) writeError(error, problem, log)
    else logUnwritable(error, problem, log)
  } catch {
    logUnwritable(error, problem, log)
  }
}

function writeError(error: unknown, problem: Problem, log: ErrorLogger): void {
  const said = readProperty(error, 'message')
  const message = typeof said === 'string' ? said : problem.body
  if (problem.status < 500) {
    if (isTenancyError(error)) log.debug({ err: error }, message)
    else log.info({ err: error }, message)
    // The client has gone: nobody reads the answer.
  } else if (isTenancyError(error, 'TENANCY_CONNECTION_ABORTED')) log.debug({ err: error }, message)
  else log.error({ err: error }, message)
}

function logUnwritable(error: unknown, { status }: Problem, log: ErrorLogger): void {
  try {
    const stack = readProperty(error, 'stack')
    log[status < 500 ? 'info' : 'error'](
      { stack: typeof stack === 'string' ? stack.slice(0, maxStackLength) : undefined },
      `An error that was answered with ${status} could not be written to the log`,
    )
  } catch {
    // This logger cannot write anything.
  }
}

/** A serializer writes an inner error once for each way that leads to it: thirty nested aggregates may make an endless line. */
function isBounded(error: unknown): boolean {
  let left = maxErrors
  function visit(each: unknown, above: readonly unknown[]): boolean {
    if (typeof readProperty(each, 'message') !== 'string' || above.includes(each)) return true
    left -= 1
    if (left < 0 || above.length > maxDepth) return false
    const inner = readProperty(each, 'errors')
    // A set, because an enumerable `cause` is among the values as well.
    const others = new Set<unknown>([readProperty(each, 'cause'), ...Object.values(each as object)])
    others.delete(inner)
    return [...(Array.isArray(inner) ? (inner as unknown[]) : []), ...others].every((other) =>
      visit(other, [...above, each]),
    )
  }
  return visit(error, [])
}
