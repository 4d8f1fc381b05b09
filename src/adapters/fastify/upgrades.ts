import type { IncomingMessage, ServerResponse } from 'node:http'

/** Whether Node has handed a request to the server's listeners for upgrades (WebSocket), socket and all. */
export function isUpgrade(request: IncomingMessage): boolean {
  return (request as { upgrade?: unknown }).upgrade === true
}

/**
 * Ends the socket of an upgrade once it is answered by a response, such as a refusal. Node takes such a socket out of the
 * server's care, so that nobody else would end it: it would outlive `app.close()`.
 */
export function closeAfterRefusedUpgrade(response: ServerResponse): void {
  const { socket } = response
  if (socket === null) return
  response.setHeader('connection', 'close')
  // Whoever accepts the upgrade writes to the socket, not to this response: it never finishes.
  response.once('finish', () => {
    // Sends what is left; the other side might never end its own half.
    socket.destroySoon()
  })
}
