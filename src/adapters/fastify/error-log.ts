import type { FastifyRequest } from 'fastify'
import { readProperty } from '../../core/error-chain.js'
import { isTenancyError } from '../../core/errors.js'
import type { Problem } from '../../http/problem.js'

/**
 * Logs an error once: server errors as errors, refusals of this package at level debug, other faults of the client at
 * level info. Never throws: an error may be one that no logger can write, and its request wants an answer.
 */
export function logError(error: unknown, problem: Problem, request: FastifyRequest): void {
  try {
    writeError(error, problem, request)
  } catch {
    logUnwritable(problem, request)
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

function logUnwritable({ status }: Problem, request: FastifyRequest): void {
  try {
    request.log.error(`An error that was answered with ${status} could not be written to the log: writing it failed`)
  } catch {
    // A logger that writes nothing at all.
  }
}
