import { connect, createServer, type Server, type Socket } from 'node:net'

/** Progress of a statement: not yet sent to the server, just sent, or answered and the answer not yet passed on. */
export type StatementPhase = 'before' | 'sent' | 'after'

/** A moment between two protocol messages. */
export interface StatementBoundary {
  /** Number of the statement, from 1, over all connections in the order of their arrival. */
  readonly statement: number
  readonly phase: StatementPhase
  /** What was sent; the texts of one message are a line each. */
  readonly text: string
  /** Server process of the connection. */
  readonly pid: number | undefined
}

/** Options of {@link startPgProxy}. */
export interface PgProxyOptions {
  readonly upstream: { readonly host: string; readonly port: number }
  /** Called at every boundary; the connection waits for it. */
  readonly onBoundary?: (boundary: StatementBoundary) => Promise<void> | void
}

/**
 * A TCP proxy in front of PostgreSQL that understands the messages of the protocol (PostgreSQL manual, 54.7) well enough to
 * stop between them. Connections through it must not use TLS.
 */
export class PgProxy {
  upstream: { readonly host: string; readonly port: number }
  onBoundary: PgProxyOptions['onBoundary']
  /** Statements seen so far. */
  statements = 0
  readonly #server: Server
  readonly #links = new Set<Link>()

  constructor(options: PgProxyOptions) {
    this.upstream = options.upstream
    this.onBoundary = options.onBoundary
    this.#server = createServer((client) => this.#accept(client))
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('The proxy does not listen')
    return address.port
  }

  /** Server processes of the connections that are open. */
  get pids(): number[] {
    return [...this.#links].flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #accept(client: Socket): void {
    const link = new Link(client, connect(this.upstream), async (boundary) => this.onBoundary?.(boundary))
    link.nextStatement = () => (this.statements += 1)
    this.#links.add(link)
    client.once('close', () => this.#links.delete(link))
  }
}

/** Starts a proxy on a free port. */
export function startPgProxy(options: PgProxyOptions): Promise<PgProxy> {
  return new PgProxy(options).listen()
}

type Stop = (boundary: StatementBoundary) => Promise<void>

interface Statement {
  readonly statement: number
  readonly text: string
}

/** One connection and its counterpart. */
class Link {
  pid: number | undefined
  nextStatement: () => number = () => 0
  readonly #client: Socket
  readonly #server: Socket
  readonly #stop: Stop
  /** Statements that the server has not answered yet. */
  readonly #unanswered: Statement[] = []
  #hasStarted = false
  #parsed = ''
  /** Messages of an extended query, sent on together with its Sync: a server with only half of them would hold locks. */
  #half: Buffer[] = []

  constructor(client: Socket, server: Socket, stop: Stop) {
    this.#client = client
    this.#server = server
    this.#stop = stop
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => this.destroy())
      socket.on('close', () => this.destroy())
    }
    inOrder(
      client,
      (message) => this.#fromClient(message),
      () => this.#hasStarted,
    )
    inOrder(
      server,
      (message) => this.#fromServer(message),
      () => true,
    )
  }

  destroy(): void {
    this.#client.destroy()
    this.#server.destroy()
  }

  async #fromClient(message: Buffer): Promise<void> {
    if (!this.#hasStarted) {
      // StartupMessage, or CancelRequest, after which nothing follows.
      this.#hasStarted = true
      this.#server.write(message)
      return
    }
    // Parse: the name, then the text, both ended by a zero byte.
    if (message[0] === 0x50) this.#parsed += `${message.toString('utf8', message.indexOf(0, 5) + 1)}\n`
    const isQuery = message[0] === 0x51
    const isSync = message[0] === 0x53
    if (!isQuery && !isSync) {
      // An answer in a login, or Terminate: no Sync follows.
      if (message[0] === 0x70 || message[0] === 0x58) this.#server.write(message)
      else this.#half.push(message)
      return
    }
    const statement = { statement: this.nextStatement(), text: isQuery ? message.toString('utf8', 5) : this.#parsed }
    this.#parsed = ''
    await this.#stop({ ...statement, phase: 'before', pid: this.pid })
    this.#unanswered.push(statement)
    this.#server.write(Buffer.concat([...this.#half, message]))
    this.#half = []
    await this.#stop({ ...statement, phase: 'sent', pid: this.pid })
  }

  async #fromServer(message: Buffer): Promise<void> {
    // BackendKeyData
    if (message[0] === 0x4b) this.pid = message.readInt32BE(5)
    // ReadyForQuery; the first one, after the login, answers no statement.
    const answered = message[0] === 0x5a ? this.#unanswered.shift() : undefined
    if (answered !== undefined) await this.#stop({ ...answered, phase: 'after', pid: this.pid })
    this.#client.write(message)
  }
}

/** Hands over a socket's messages one after the other; `isTyped` says whether the next one starts with a type byte. */
function inOrder(socket: Socket, handle: (message: Buffer) => Promise<void>, isTyped: () => boolean): void {
  let rest = Buffer.alloc(0)
  let turn = Promise.resolve()
  const drain = async () => {
    for (;;) {
      const start = isTyped() ? 1 : 0
      if (rest.length < start + 4) return
      const length = start + rest.readInt32BE(start)
      if (rest.length < length) return
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      await handle(message)
    }
  }
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk])
    turn = turn.then(drain).catch(() => void socket.destroy())
  })
}
