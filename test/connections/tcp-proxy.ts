import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'

/** A way to a server that can be closed and opened again, as a restart of the server would. */
export interface TcpProxy {
  readonly port: number
  /** Connections that anybody has tried to open. */
  readonly tries: number
  /** How the server is to behave: as it is, refuse by hanging up, or accept and say nothing. */
  mode: 'open' | 'hang up' | 'mute'
  /** Breaks every connection. */
  breakAll(): void
  close(): Promise<void>
}

export async function startTcpProxy(to: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const sockets = new Set<net.Socket>()
  const state = { tries: 0, mode: 'open' as TcpProxy['mode'] }
  const track = (socket: net.Socket): net.Socket => {
    sockets.add(socket)
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  }
  const server = net.createServer((socket) => {
    state.tries += 1
    track(socket)
    if (state.mode === 'hang up') socket.destroy()
    if (state.mode !== 'open') return
    const upstream = track(net.connect(to.port, to.host))
    socket.pipe(upstream).pipe(socket)
    socket.on('close', () => upstream.destroy())
    upstream.on('close', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get tries() {
      return state.tries
    },
    get mode() {
      return state.mode
    },
    set mode(mode) {
      state.mode = mode
    },
    breakAll,
    async close() {
      breakAll()
      server.close()
      await once(server, 'close')
    },
  }
}
