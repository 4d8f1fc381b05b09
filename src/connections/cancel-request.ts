import { connect } from 'node:net'
import type { ServerAddress } from '../core/database-target.js'

const timeoutMs = 1000

/**
 * Asks a server to stop what one of its backends runs (PostgreSQL manual, 54.2.9). `host`: a name, an address, or the
 * folder of a Unix socket. Resolves when the request has been dealt with, or nobody does so within a second.
 */
export function requestCancel({ host, port }: ServerAddress, processId: number, secretKey: number): Promise<void> {
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(80877102, 4)
  request.writeInt32BE(processId, 8)
  request.writeInt32BE(secretKey, 12)
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
  socket.on('error', () => {})
  socket.setTimeout(timeoutMs, () => socket.destroy())
  socket.unref()
  socket.write(request)
  socket.resume()
  return new Promise((resolve) => socket.once('close', () => resolve()))
}
