import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { problemOf } from '../../http/foreign-problem.js'
import { toProblem } from '../../http/problem.js'
import { answerSecondErrorsBare } from './bare-answer.js'
import { logError } from './error-log.js'
import { requestIdOf } from './request-id.js'

/**
 * Answers any error with a problem document (RFC 9457), and logs it once: server errors as errors, in full; refusals of
 * this package at level debug; other faults of the client at level info. When sending the document fails, because an
 * `onSend` hook throws, the answer is a plain 500 past all hooks.
 *
 * The plugin sets it as the error handler of its scope if there is none yet. An application that has its own gets every
 * error of the plugin there, as any other, and may hand on what it does not know.
 *
 * @example
 * app.setErrorHandler((error, request, reply) => {
 *   if (error instanceof OutOfStock) return reply.code(409).send({ title: 'Out of stock' })
 *   return tenancyErrorHandler(error, request, reply)
 * })
 */
export function tenancyErrorHandler(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemOf(error, { requestId: requestIdOf(request), chosenStatus: reply.statusCode })
  logError(error, problem, request)
  answerSecondErrorsBare(reply)
  reply.code(problem.status).headers(problem.headers)
  // The document is text already, whatever the handler had chosen to serialize its answer with.
  void reply.serializer(asItIs).send(problem.body)
}

/** Answers with the problem document of a `TenancyError`, or of a database that went away; hands on any other error. */
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
  // Fastify warns of, or refuses, a second handler in a scope. This one is a default: the application's replaces it.
  const alreadySet = Object.getOwnPropertySymbols(app).find(
    ({ description }) => description === 'fastify.errorHandlerAlreadySet',
  )
  if (alreadySet !== undefined) Object.assign(app, { [alreadySet]: false })
}

function asItIs(payload: unknown): string {
  return payload as string
}
