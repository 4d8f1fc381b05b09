import type { FastifyRequest } from 'fastify'
import { readProperty } from '../../core/errors/error-chain.js'
import { isTenancyError } from '../../core/errors/errors.js'
import type { Problem } from '../../http/problem.js'

/** So many errors inside of one are written, each as often as it is reached, and so deep. */
const maxErrors = 10_000
const maxDepth = 500
const maxStackLength = 8192

/**
 * Logs an error once: server errors as errors, refusals of this package at level debug, other faults of the client at
 * level info. Never throws: an error may be one that no logger can write, and its request wants an answer.
 */
export function logError(error: unknown, problem: Problem, request: FastifyRequest): void {
  try {
    if (isBounded(error)) writeError(error, problem, request)
    else logUnwritable(error, problem, request)
  } catch {
    logUnwritable(error, problem, request)
  }
}

function writeError(error: unknown, problem: Problem, request: FastifyRequest): void {
  const said = readProperty(error, 'message')
  const message = typeof said === 'string' ? said : problem.body
  if (problem.status < 500) {
    if (isTenancyError(error)) request.log.debug({ err: error }, message)
    else request.log.info({ err: error }, message)
    // Nobody reads the answer to a request whose client is gone.
  } else if (isTenancyError(error, 'TENANCY_CONNECTION_ABORTED')) request.log.debug({ err: error }, message)
  else request.log.error({ err: error }, message)
}

function logUnwritable(error: unknown, { status }: Problem, { log }: FastifyRequest): void {
  try {
    const stack = readProperty(error, 'stack')
    log[status < 500 ? 'info' : 'error'](
      { stack: typeof stack === 'string' ? stack.slice(0, maxStackLength) : undefined },
      `An error that was answered with ${status} could not be written to the log`,
    )
  } catch {
    // A logger that writes nothing at all.
  }
}

/** A serializer of errors writes what it reaches twice twice: thirty aggregates may make a line without end. */
function isBounded(error: unknown): boolean {
  let left = maxErrors
  function visit(each: unknown, above: readonly unknown[]): boolean {
    if (typeof readProperty(each, 'message') !== 'string' || above.includes(each)) return true
    left -= 1
    if (left < 0 || above.length > maxDepth) return false
    const inner = readProperty(each, 'errors')
    // Once, though `cause` may be enumerable or not.
    const others = new Set<unknown>([readProperty(each, 'cause'), ...Object.values(each as object)])
    others.delete(inner)
    return [...(Array.isArray(inner) ? (inner as unknown[]) : []), ...others].every((other) =>
      visit(other, [...above, each]),
    )
  }
  return visit(error, [])
}
