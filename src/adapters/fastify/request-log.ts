import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { RequestContext } from '../../core/context/request-scope.js'
import { safeRequestId } from '../../http/problem.js'
import { requestIdOf } from './request-state.js'

/** A pino logger, which can add fields to its own lines; other loggers only have `child`. */
type OwnLogger = FastifyBaseLogger & { setBindings(bindings: object): void }

const ownKey = Symbol('tenants2fast.log')

/**
 * Adds `requestId` to the log lines of each request, and `tenantId` and `userId` (and `administratorId` of whoever acts as
 * that user) once they are known. Returns the function that adds the latter; undefined for an application without a logger.
 */
export function identifyLogLines(
  app: FastifyInstance,
): ((request: FastifyRequest, reply: FastifyReply, context: RequestContext) => void) | undefined {
  const { log } = app
  // An application without a logger has one that is its own child.
  if (log.child({}) === log) return undefined
  if ('setBindings' in log && app.childLoggerFactory.name === 'defaultChildLoggerFactory') {
    app.setChildLoggerFactory((logger, bindings, options) => {
      const requestId = safeRequestId(Object.values(bindings)[0])
      return Object.assign(logger.child({ ...bindings, requestId }, options), { [ownKey]: true })
    })
  }
  return (request, reply, { tenant, user, impersonation }) => {
    const more = impersonation === undefined ? {} : { administratorId: impersonation.administrator.id }
    // No other request has this logger: adding to it costs less than making another child.
    if (isOwn(request.log)) {
      if (user !== undefined) request.log.setBindings({ tenantId: tenant?.id, userId: user.id, ...more })
      return
    }
    const bindings = { requestId: requestIdOf(request), tenantId: tenant?.id, userId: user?.id, ...more }
    request.log = request.log.child(bindings)
    reply.log = request.log
  }
}

function isOwn(log: FastifyBaseLogger): log is OwnLogger {
  return ownKey in log
}
