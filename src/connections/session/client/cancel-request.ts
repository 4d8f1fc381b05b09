import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import type { ServerAddress } from '../../../core/tenants/database-target.js'

const timeoutMs = 1000
const cancelCode = 80877102
const encryptionCode = 80877103
const accepted = 'S'.charCodeAt(0)

/**
 * Asks a server to stop what one of its backends runs (PostgreSQL manual, 54.2.9). `host`: a name, an address, or the
 * folder of a Unix socket. `tls`: the options of the connection itself, so that nobody on the way can read its key.
 * Resolves when the server has dealt with the request, or after a second without an answer.
 */
export function requestCancel(
  { host, port }: ServerAddress,
  processId: number,
  secretKey: number,
  tls?: ConnectionOptions,
): Promise<void> {
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(cancelCode, 4)
  request.writeInt32BE(processId, 8)
  request.writeInt32BE(secretKey, 12)
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
  socket.on('error', () => {})
  socket.setTimeout(timeoutMs, () => socket.destroy())
  socket.unref()
  if (tls === undefined) {
    socket.write(request)
    socket.resume()
  } else {
    sendEncrypted(socket, request, { host, ...(isIP(host) === 0 && { servername: host }), ...tls })
  }
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

/** As any connection does, asks first whether the server encrypts (54.2.10). If it does not, nothing is sent. */
function sendEncrypted(socket: Socket, request: Buffer, options: ConnectionOptions): void {
  const question = Buffer.alloc(8)
  question.writeInt32BE(8, 0)
  question.writeInt32BE(encryptionCode, 4)
  socket.write(question)
  socket.once('data', (answer: Buffer) => {
    if (answer.length !== 1 || answer[0] !== accepted) return socket.destroy()
    const encrypted = connectTls({ ...options, socket })
    encrypted.on('error', () => socket.destroy())
    encrypted.once('secureConnect', () => encrypted.write(request))
    encrypted.resume()
  })
}
