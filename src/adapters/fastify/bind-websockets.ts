import type { EventEmitter } from 'node:events'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { bindContext } from '../../core/context/bind-context.js'
import { tryGetScope } from '../../core/context/request-scope.js'

const bound = new WeakSet<EventEmitter>()

/**
 * Runs the listeners of a WebSocket in the context in which they were added, usually that of its upgrade request. For routes
 * of `@fastify/websocket`: its server emits `connection` during the request, before the route's handler gets the socket.
 */
export function bindWebSocketsOf(scope: FastifyInstance, route: RouteOptions): void {
  const { websocket, wsHandler } = route as { websocket?: unknown; wsHandler?: unknown }
  const { websocketServer: server } = scope as { websocketServer?: EventEmitter }
  if ((websocket !== true && wsHandler === undefined) || server === undefined || bound.has(server)) return
  bound.add(server)
  server.on('connection', (socket: EventEmitter) => {
    if (tryGetScope() !== undefined) bindContext(socket)
  })
}
