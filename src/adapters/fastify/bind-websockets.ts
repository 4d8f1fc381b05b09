import type { EventEmitter } from 'node:events'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { bindContext } from '../../core/context/bind-context.js'
import { tryGetScope } from '../../core/context/current.js'

const bound = new WeakSet<EventEmitter>()

/**
 * Lets listeners of a WebSocket run in the context that they were added in: usually that of its upgrade. For routes of
 * `@fastify/websocket`, whose server announces a socket while its request is served, before the route's handler has it.
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
