import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'

/** Whether Node has handed a request to the server's listeners for upgrades (WebSocket), socket and all. */
function isUpgrade(request: IncomingMessage): boolean {
  return (request as { upgrade?: unknown }).upgrade === true
}

/**
 * Ends the sockets of upgrades that Fastify answers by a response, also by one that no hook sees: an address that cannot
 * be decoded (400), a parameter that is too long (414), a server that is closing (503). `app.routing` is where
 * `@fastify/websocket` hands its upgrades to Fastify.
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
      // Nobody answers any more.
      response.socket?.destroy()
      throw error
    }
  }
}

/**
 * Ends the socket of an upgrade once it is answered by a response, such as a refusal. Node takes such a socket out of the
 * server's care, so that nobody else would end it: it would outlive `app.close()`.
 */
function closeAfterRefusedUpgrade(response: ServerResponse): void {
  const { socket } = response
  if (socket === null) return
  response.setHeader('connection', 'close')
  // Whoever accepts the upgrade writes to the socket, not to this response: it never finishes.
  response.once('finish', () => {
    // Sends what is left; the other side might never end its own half.
    socket.destroySoon()
  })
}

/** Scopes inherit from the application: all of them, and those around the plugin, find what it has. */
function rootOf(app: FastifyInstance): FastifyInstance {
  let root = app
  while (!Object.hasOwn(root, 'routing')) root = Object.getPrototypeOf(root) as FastifyInstance
  return root
}
