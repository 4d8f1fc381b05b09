// A TCP proxy on 127.0.0.1 whose answers can be made late.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** @param {number} port of what stands behind it, on 127.0.0.1 */
export async function startSlowProxy(port) {
  const proxy = { port: 0, delayMs: 0, close }
  const sockets = new Set()
  const server = createServer((client) => {
    const behind = connect(port, '127.0.0.1')
    for (const [from, to] of [
      [client, behind],
      [behind, client],
    ]) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
    client.on('data', (data) => behind.write(data))
    behind.on('data', (data) => {
      if (proxy.delayMs === 0) client.write(data)
      else setTimeout(() => client.write(data), proxy.delayMs)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy.port = server.address().port
  return proxy

  async function close() {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
}
