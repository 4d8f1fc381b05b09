import type { FastifyReply, FastifyRequest } from 'fastify'
import { problemOf } from '../../http/foreign-problem.js'
import type { Problem } from '../../http/problem.js'
import { logError } from './error-log.js'
import { requestIdOf } from './request-id.js'

/**
 * What Fastify turns to when the answer to an error fails, too: a plain 500, past all hooks. Fastify's own last answer
 * would show the message of the second error, such as a statement and its parameters.
 */
export function answerSecondErrorsBare(reply: FastifyReply): void {
  const nextHandler = Object.getOwnPropertySymbols(reply).find(
    ({ description }) => description === 'fastify.reply.nextErrorHandler',
  )
  if (nextHandler !== undefined) Object.assign(reply, { [nextHandler]: { func: answerBare } })
}

function answerBare(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  // Not the error's own status: it was the server that failed to answer.
  const problem = problemOf(undefined, { requestId: requestIdOf(request) })
  logError(error, problem, request)
  reply.hijack()
  writeBare(problem, reply)
}

function writeBare({ status, headers, body }: Problem, { raw }: FastifyReply): void {
  if (raw.headersSent || raw.destroyed) {
    raw.destroy()
    return
  }
  try {
    // They may be what made the first answer fail, or belong to its body.
    for (const name of raw.getHeaderNames()) if (name !== 'connection') raw.removeHeader(name)
    raw.writeHead(status, { ...headers, 'content-length': String(Buffer.byteLength(body)) })
    raw.end(body)
  } catch {
    raw.destroy()
  }
}
