import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { RequestContext } from '../../core/context/current.js'
import { safeRequestId } from '../../http/problem.js'
import { requestIdOf } from './request-id.js'

/** Pino's way to add to the lines of a logger; other loggers have `child` only. */
type OwnLogger = FastifyBaseLogger & { setBindings(bindings: object): void }

const ownKey = Symbol('tenants2fast.log')

/**
 * Lets the log lines of a request carry `requestId`, and `tenantId` and `userId` once they are known. Gives the function
 * that makes them known; nothing for an application without a logger.
 */
export function identifyLogLines(
  app: FastifyInstance,
): ((request: FastifyRequest, reply: FastifyReply, context: RequestContext) => void) | undefined {
  const { log } = app
  // The logger of an application without one is its own child.
  if (log.child({}) === log) return undefined
  if ('setBindings' in log && app.childLoggerFactory.name === 'defaultChildLoggerFactory') {
    app.setChildLoggerFactory((logger, bindings, options) => {
      const requestId = safeRequestId(Object.values(bindings)[0])
      return Object.assign(logger.child({ ...bindings, requestId }, options), { [ownKey]: true })
    })
  }
  return (request, reply, { tenant, user }) => {
    // The request's alone: adding to it costs less than another child of it.
    if (isOwn(request.log)) {
      if (user !== undefined) request.log.setBindings({ tenantId: tenant?.id, userId: user.id })
      return
    }
    const bindings = { requestId: requestIdOf(request), tenantId: tenant?.id, userId: user?.id }
    request.log = request.log.child(bindings)
    reply.log = request.log
  }
}

function isOwn(log: FastifyBaseLogger): log is OwnLogger {
  return ownKey in log
}
