import type { Context } from 'hono'
import type { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { readProperty } from '../../core/errors/error-chain.js'
import { type Logger, stderrLogger } from '../../core/logger.js'
import { logError } from '../../http/error-log.js'
import { problemOf } from '../../http/foreign-problem.js'
import { toProblem } from '../../http/problem.js'
import { stateOf } from './request-state.js'

/** A thrown value that is no `Error`, which Hono would hand to no error handler. */
export class ThrownValue extends Error {
  readonly value: unknown

  constructor(value: unknown) {
    super('A value was thrown that is no Error')
    this.value = value
  }
}

/**
 * Answers any error with a problem document (RFC 9457), and logs it once: server errors at level error, in full; refusals of
 * this package at level debug; other faults of the client at level info. An `HTTPException` with a response of its own answers
 * with that.
 *
 * @example
 * app.onError(tenancyErrorHandler)
 * @example
 * app.onError((error, c) => (error instanceof OutOfStock ? c.json({ title: 'Out of stock' }, 409) : tenancyErrorHandler(error, c)))
 */
export function tenancyErrorHandler(error: Error, c: Context): Response {
  const thrown = error instanceof ThrownValue ? error.value : error
  if (hasResponse(thrown)) return thrown.getResponse()
  const state = stateOf(c)
  const problem = problemOf(thrown, { requestId: state?.requestId })
  logError(thrown, problem, state === undefined ? stderrLogger : loggerOf(state))
  const response = c.body(problem.body, problem.status as ContentfulStatusCode, { ...problem.headers })
  // They describe the body that the handler had meant to send.
  for (const name of ['content-encoding', 'content-length', 'content-range', 'etag', 'last-modified']) {
    if (!(name in problem.headers)) response.headers.delete(name)
  }
  // Hono would put the headers of an earlier answer over those of the document.
  c.res = undefined
  return response
}

/** Not by `instanceof`, which fails for another copy of Hono. */
function hasResponse(thrown: unknown): thrown is HTTPException {
  return readProperty(thrown, 'res') instanceof Response && typeof readProperty(thrown, 'getResponse') === 'function'
}

/** The logger of a request, whose lines name its id, tenant and user. */
function loggerOf({ logger, requestId, scope }: NonNullable<ReturnType<typeof stateOf>>): Logger {
  const { user, tenant, impersonation } = scope?.context ?? {}
  const more = impersonation === undefined ? {} : { administratorId: impersonation.administrator.id }
  const fields = { requestId, tenantId: tenant?.id, userId: user?.id, ...more }
  return {
    debug: (own, message) => logger.debug({ ...fields, ...own }, message),
    info: (own, message) => logger.info({ ...fields, ...own }, message),
    warn: (own, message) => logger.warn({ ...fields, ...own }, message),
    error: (own, message) => logger.error({ ...fields, ...own }, message),
  }
}

/**
 * Makes a refusal of ours one that Hono can answer by itself, as it does an `HTTPException`: an application without
 * `app.onError` would answer 500. Several requests may share the error, so its document has no request id.
 */
export function answerable(error: unknown): unknown {
  const problem = toProblem(error)
  if (problem === undefined || !(error instanceof Error)) return error
  if (Object.hasOwn(error, 'getResponse') || !Object.isExtensible(error)) return error
  const { status, headers, body } = problem
  return Object.defineProperty(error, 'getResponse', { value: () => new Response(body, { status, headers }) })
}
