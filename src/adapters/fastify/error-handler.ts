import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { answerBare } from '../../http/bare-answer.js'
import { logError } from '../../http/error-log.js'
import { problemOf } from '../../http/foreign-problem.js'
import { toProblem } from '../../http/problem.js'
import { requestIdOf } from './request-state.js'

/**
 * Answers any error with a problem document (RFC 9457), and logs it once: server errors at level error, in full; refusals of
 * this package at level debug; other faults of the client at level info. If the document cannot be sent because an `onSend`
 * hook throws, the answer is a plain 500 that skips all hooks.
 *
 * The plugin sets it as the error handler of its scope if there is none yet. An application with a handler of its own gets
 * the plugin's errors there, like any others, and may pass on what it does not know.
 *
 * @example
 * app.setErrorHandler((error, request, reply) => {
 *   if (error instanceof OutOfStock) return reply.code(409).send({ title: 'Out of stock' })
 *   return tenancyErrorHandler(error, request, reply)
 * })
 */
export function tenancyErrorHandler(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemOf(error, { requestId: requestIdOf(request), chosenStatus: reply.statusCode })
  logError(error, problem, request.log)
  answerSecondErrorsBare(reply)
  reply.code(problem.status).headers(problem.headers)
  // The document is text already, whatever serializer the handler had chosen for its answer.
  void reply.serializer(unchanged).send(problem.body)
}

/** Answers with the problem document of a `TenancyError`, or of a lost database; passes any other error to `next`. */
export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  next: HookHandlerDoneFunction,
): void {
  if (toProblem(error) === undefined) next(error as Error)
  else tenancyErrorHandler(error, request, reply)
}

/** Makes {@link tenancyErrorHandler} the error handler of a scope that has none of its own. */
export function useErrorHandler(app: FastifyInstance): void {
  if (app.errorHandler.name !== 'defaultErrorHandler') return
  app.setErrorHandler(tenancyErrorHandler)
  // Fastify warns about a second handler in a scope, or refuses it. Ours is a default: the application's replaces it.
  const alreadySet = Object.getOwnPropertySymbols(app).find(
    ({ description }) => description === 'fastify.errorHandlerAlreadySet',
  )
  if (alreadySet !== undefined) Object.assign(app, { [alreadySet]: false })
}

/**
 * Makes Fastify answer a plain 500 if sending the answer to an error fails as well. Fastify's own last answer would show the
 * message of the second error, such as a statement and its parameters.
 */
function answerSecondErrorsBare(reply: FastifyReply): void {
  const nextHandler = Object.getOwnPropertySymbols(reply).find(
    ({ description }) => description === 'fastify.reply.nextErrorHandler',
  )
  if (nextHandler !== undefined) Object.assign(reply, { [nextHandler]: { func: handleSecondError } })
}

function handleSecondError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  // The error's own status does not count: the server failed to answer.
  const problem = problemOf(undefined, { requestId: requestIdOf(request) })
  logError(error, problem, request.log)
  reply.hijack()
  answerBare(problem, reply.raw)
}

function unchanged(payload: unknown): string {
  return payload as string
}
