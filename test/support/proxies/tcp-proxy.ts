import { createServer, connect, type Server, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * What the proxy does with connections, open and new ones:
 * `pass` forwards; `refuse` resets the open ones and stops listening; `reset` accepts and resets at once; `silence` keeps
 * and accepts connections and forwards nothing, as a server that is unreachable without an error.
 */
export type ProxyMode = 'pass' | 'refuse' | 'reset' | 'silence'

/** A TCP proxy on 127.0.0.1 that makes its target unreachable in several ways. */
export interface TcpProxy {
  readonly port: number
  /** Connections that clients hold open at this moment. */
  readonly openConnections: number
  /** Connections that the proxy has accepted so far, whatever it did with them. */
  readonly accepted: number
  set(mode: ProxyMode): Promise<void>
  /** Delay of each answer, milliseconds; from the next piece of data on. Default: 0. */
  delayMs: number
  /** Closes every open connection, as a restart of the server would. The mode stays. */
  breakAll(): void
  close(): Promise<void>
}

/** Puts a proxy before `target`. Call `close()` when done. */
export async function startTcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const pairs = new Map<Socket, Socket | undefined>()
  let delayMs = 0
  let accepted = 0
  let mode: ProxyMode = 'pass'
  let server: Server | undefined
  let port = 0

  function forward(client: Socket): void {
    const behind = connect(target)
    pairs.set(client, behind)
    join(client, behind)
    behind.on('error', () => client.resetAndDestroy())
    client.on('close', () => behind.destroy())
  }

  function join(client: Socket, behind: Socket): void {
    client.pipe(behind)
    const held = new Transform({
      transform(chunk, _encoding, done) {
        if (delayMs === 0) done(null, chunk)
        else void sleep(delayMs).then(() => done(null, chunk))
      },
    })
    behind.pipe(held).pipe(client)
  }

  function accept(client: Socket): void {
    accepted += 1
    pairs.set(client, undefined)
    client.on('error', () => {})
    client.on('close', () => pairs.delete(client))
    if (mode === 'pass') forward(client)
    else if (mode === 'silence') client.pause()
    else client.resetAndDestroy()
  }

  async function listen(): Promise<void> {
    server = createServer({ pauseOnConnect: true }, accept)
    await new Promise<void>((resolve, reject) => {
      server?.once('error', reject).listen({ port, host: '127.0.0.1' }, resolve)
    })
    const address = server.address()
    if (address !== null && typeof address === 'object') port = address.port
  }

  async function stopListening(): Promise<void> {
    const stopped = server
    server = undefined
    if (stopped === undefined) return
    const closed = new Promise<void>((resolve) => stopped.close(() => resolve()))
    for (const client of pairs.keys()) client.resetAndDestroy()
    await closed
  }

  await listen()
  return {
    get port() {
      return port
    },
    get delayMs() {
      return delayMs
    },
    set delayMs(ms) {
      delayMs = ms
    },
    get accepted() {
      return accepted
    },
    get openConnections() {
      return pairs.size
    },
    async set(next) {
      const previous = mode
      mode = next
      if (next === 'refuse') return stopListening()
      if (previous === 'refuse') await listen()
      for (const [client, behind] of pairs) {
        if (client.destroyed) continue
        if (next === 'reset') client.resetAndDestroy()
        else if (next === 'silence') {
          client.unpipe()
          client.pause()
          behind?.unpipe()
          behind?.pause()
        } else if (previous === 'silence') {
          if (behind === undefined) forward(client)
          else {
            join(client, behind)
          }
        }
      }
    },
    breakAll() {
      for (const client of pairs.keys()) client.destroy()
    },
    close: () => stopListening(),
  }
}
