import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'

/** Tells whether Node has given a request, with its socket, to the server's listeners for upgrades (WebSocket). */
function isUpgrade(request: IncomingMessage): boolean {
  return (request as { upgrade?: unknown }).upgrade === true
}

/**
 * Ends the sockets of upgrades that Fastify answers with a response. Some of these no hook sees: a URL that cannot be decoded
 * (400), a parameter that is too long (414), a server that is closing (503). `@fastify/websocket` passes its upgrades to
 * Fastify by `app.routing`, so that is replaced.
 */
export function closeAfterRefusedUpgrades(app: FastifyInstance): void {
  const root = rootOf(app)
  const routing = root.routing.bind(root)
  root.routing = function routeUpgrade(request, response) {
    if (!isUpgrade(request)) return routing(request, response)
    closeAfterRefusedUpgrade(response)
    try {
      return routing(request, response)
    } catch (error) {
      // Nothing will answer it now.
      response.socket?.destroy()
      throw error
    }
  }
}

/**
 * Ends the socket of an upgrade once it is answered with a response, such as a refusal. Node's server no longer tracks such a
 * socket, so nothing else would end it: it would outlive `app.close()`.
 */
function closeAfterRefusedUpgrade(response: ServerResponse): void {
  const { socket } = response
  if (socket === null) return
  response.setHeader('connection', 'close')
  // An accepted upgrade is answered on the socket, so this response then never finishes.
  response.once('finish', () => {
    // Sends what is left first. `end()` would wait for the other side, which may never end its half.
    socket.destroySoon()
  })
}

/** Finds the root application, from which every scope inherits `routing`, also those around the plugin. */
export function rootOf(app: FastifyInstance): FastifyInstance {
  let root = app
  while (!Object.hasOwn(root, 'routing')) root = Object.getPrototypeOf(root) as FastifyInstance
  return root
}
