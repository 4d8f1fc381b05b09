import pg from 'pg'
import { markOutage } from '../core/outage.js'
import { inCallerContext } from './caller-context.js'
import { requestCancel } from './cancel-request.js'
import { type HiddenCode, runsHiddenCode } from './hidden-code.js'
import { type KnownStatement, PreparedQuery } from './prepared-query.js'
import { useQuickScram } from './quick-scram.js'
import { type Preparable, preparableFrom, textOf } from './query-text.js'
import { factsOf, reseed, resetSession } from './session-state.js'
import { StatementNames } from './statement-names.js'
import { fenceIn, isSubmittable } from './submittable.js'
import { refuseQuery, sessionNeedOf, sessionRequired, withoutName } from './transaction-pooling.js'

/** What `pg` (pinned exactly) knows about its client and its types do not say; test/connections holds it to that. */
interface ClientInternals {
  /** Undefined until connected. */
  readonly readyForQuery: boolean | undefined
  readonly _queryQueue: readonly unknown[]
  readonly _queryable: boolean
  readonly _ending: boolean
  _types: pg.TypeOverrides
  _getActiveQuery(): unknown
  readonly processID: number | null
  readonly secretKey: number | null
  /** Queries are sent before the ones in front of them are answered. */
  pipeline: boolean
  readonly connection: {
    readonly stream: { readonly bytesRead: number; cork(): void; uncork(): void; destroy(): void }
    query(text: string): void
    sync(): void
    on(event: 'readyForQuery' | 'errorMessage', listener: () => void): void
    /** By name. */
    readonly parsedStatements: Record<string, string>
    close(message: { readonly type: 'S'; readonly name: string }): void
  }
}

interface PreparedCounts {
  readonly by_sql: number
  readonly by_protocol: number
}

type Done = (error: Error | undefined | null, result: pg.QueryResult) => void

/** A `pg.Client` that knows whether its session is as it was when it was opened. */
export class SessionClient extends pg.Client {
  /** Something ran that may have changed the session, as far as text and {@link hiddenCode} tell. */
  touched = false
  /** What its database runs behind the names in a statement. Not known: anything may have changed the session. */
  hiddenCode: HiddenCode | undefined
  /** Told when the connection breaks, whoever has it. */
  onLost: (error: Error) => void = () => {}
  /** A pooler in transaction mode is in between: the session ends with each transaction. */
  transactionPooling = false
  readonly #encrypted: boolean
  /** Messages that the server ends with "ready for query" and has not yet: the next such answer is not the next query's. */
  #unanswered = 0
  readonly #statements: StatementNames | undefined
  /** By name of the statement. */
  readonly #known = new Map<string, KnownStatement>()

  constructor(config: pg.ClientConfig, prepareStatements: boolean) {
    super(config)
    if (prepareStatements) this.#statements = new StatementNames((name) => this.#closeStatement(name))
    this.#encrypted = Boolean(config.ssl)
    this.on('error', (error) => {
      // The queries under way fail with this very error.
      markOutage(error)
      this.onLost(error)
    })
    this.#countAnswers()
    useQuickScram(this)
  }

  // One implementation behind all overloads of pg: `never` fits each of their results.
  override query(query: unknown, values?: unknown, callback?: unknown): never {
    if (isSubmittable(query)) fenceIn(query)
    if (typeof values === 'function') return this.run(query, undefined, inCallerContext(values as Done)) as never
    return this.run(
      query,
      values,
      typeof callback === 'function' ? inCallerContext(callback as Done) : callback,
    ) as never
  }

  /** As `query`; a callback is called in whatever context the answer comes in. */
  run(query: unknown, values: unknown, callback: unknown): unknown {
    const text = textOf(query)
    const facts = factsOf(text)
    const { clean } = facts
    if (this.transactionPooling) {
      const need = clean || !this.ready || this.getTransactionStatus() !== 'I' ? undefined : sessionNeedOf(text)
      if (need !== undefined) return refuseQuery(query, callback, sessionRequired(need))
      query = withoutName(query)
    }
    if (!clean || (this.hiddenCode !== undefined && runsHiddenCode(this.hiddenCode, facts))) this.touched = true
    if (clean && this.#statements !== undefined && this.ready) {
      const preparable = preparableFrom(query, values)
      const name = preparable && this.#statements.nameFor(text)
      if (preparable !== undefined && name !== undefined) {
        return this.#queryPrepared(preparable, name, callback as Done | undefined)
      }
    }
    return this.#send(query, values, callback as Done)
  }

  /** Runs a query of our own, that leaves nothing behind. */
  async read<Row extends object = Record<string, unknown>>(text: string): Promise<Row[]> {
    const result = await super.query<Row>(text)
    return result.rows
  }

  /** Nothing runs and nothing is queued, and the server has answered all that was sent. */
  get ready(): boolean {
    const internals = this.#internals
    return internals.readyForQuery === true && internals._queryQueue.length === 0 && this.#unanswered === 0
  }

  /** A query has not been answered yet, not even by an error. */
  get running(): boolean {
    return this.#internals._getActiveQuery() != null || this.#internals._queryQueue.length > 0
  }

  /** The server has nothing to do for this client: no query, or a cursor that nobody reads from at the moment. */
  get resting(): boolean {
    const query = this.#internals._getActiveQuery()
    if (query == null) return !this.running
    // pg-query-stream has its cursor inside.
    const cursor = typeof query === 'object' && 'cursor' in query ? query.cursor : query
    return typeof cursor === 'object' && cursor !== null && 'state' in cursor && cursor.state === 'idle'
  }

  /** Bytes that the server has sent. */
  get bytesRead(): number {
    return this.#internals.connection.stream.bytesRead
  }

  /** Queries can still be sent. */
  get usable(): boolean {
    return this.#internals._queryable && !this.#internals._ending
  }

  /** Process id of the backend. */
  get backendPid(): number | null {
    return this.#internals.processID
  }

  /** Type parsers that are set from now on are gone when the returned function is called. */
  overrideTypes(): () => void {
    const internals = this.#internals
    const before = internals._types
    internals._types = new pg.TypeOverrides(before)
    return () => {
      internals._types = before
    }
  }

  /** Resolves when the last query is through; false: the connection ended first, or it took too long. */
  settled(timeoutMs?: number): Promise<boolean> {
    return new Promise((resolve) => {
      const patience = timeoutMs === undefined ? undefined : setTimeout(() => finish(false), timeoutMs)
      const finish = (through: boolean): void => {
        clearTimeout(patience)
        this.removeListener('drain', onDrain)
        this.removeListener('end', onEnd)
        resolve(through)
      }
      const onDrain = (): void => {
        if (this.ready) finish(true)
      }
      const onEnd = (): void => finish(false)
      this.on('drain', onDrain)
      this.on('end', onEnd)
    })
  }

  /** Undoes whatever the last user did to the session. False: it cannot be undone, close the connection. */
  async reset(): Promise<boolean> {
    const isQuiet = this.getTransactionStatus() === 'I'
    // A tenant of whose code nothing is known is rarely used: nothing that it prepared is worth keeping. Behind a pooler,
    // other clients' statements may be in the same session.
    const mayDiscard = (this.#preparedCount === 0 || this.hiddenCode === undefined) && !this.transactionPooling
    const isReset = isQuiet && mayDiscard ? await this.#discardAll() : await this.#undo(isQuiet)
    this.touched = false
    return isReset && this.getTransactionStatus() === 'I'
  }

  /** Two commands that need no plan: what costs a fresh connection least. Prepared statements are gone. */
  async #discardAll(): Promise<boolean> {
    const internals = this.#internals
    const { parsedStatements, stream } = internals.connection
    for (const name of Object.keys(parsedStatements)) delete parsedStatements[name]
    this.#known.clear()
    this.#statements?.clear()
    // In one packet: it costs a round trip less.
    internals.pipeline = true
    stream.cork()
    const answers = [super.query('discard all'), super.query(reseed(randomSeed()))]
    stream.uncork()
    const results = await Promise.allSettled(answers)
    internals.pipeline = false
    return results.every(({ status }) => status === 'fulfilled')
  }

  /** Keeps what was prepared; false: a user has prepared something as well. */
  async #undo(isQuiet: boolean): Promise<boolean> {
    const undo = resetSession(randomSeed())
    try {
      const results: unknown = await super.query(isQuiet ? undo : `rollback; ${undo}`)
      const last = Array.isArray(results) ? (results.at(-1) as pg.QueryResult<PreparedCounts>) : undefined
      const prepared = last?.rows[0]
      return prepared?.by_sql === 0 && prepared.by_protocol === this.#preparedCount
    } catch {
      return false
    }
  }

  get #preparedCount(): number {
    return Object.keys(this.#internals.connection.parsedStatements).length
  }

  /**
   * Asks the server to stop what runs (PostgreSQL manual, 54.2.9). Resolves when the request has been dealt with: what
   * is sent after that and answered is not hit by it any more.
   */
  cancel(): Promise<void> {
    const { processID, secretKey } = this.#internals
    // Unencrypted, so not where the connection itself had to be encrypted: that one is only destroyed.
    if (processID === null || secretKey === null || this.#encrypted) return Promise.resolve()
    return requestCancel({ host: this.host, port: this.port }, processID, secretKey)
  }

  /** Ends a cursor that nobody reads on from: the server waits for us, so there is nothing to cancel. */
  endPortal(): void {
    if (this.#internals._getActiveQuery() != null && this.#unanswered === 0) this.#internals.connection.sync()
  }

  /** Breaks the connection without a goodbye. */
  destroy(): void {
    this.#internals.connection.stream.destroy()
  }

  #send(query: unknown, values?: unknown, callback?: Done): unknown {
    return super.query(query as string, values as unknown[], callback as Done) as unknown
  }

  #queryPrepared(query: Preparable, name: string, callback: Done | undefined): Promise<pg.QueryResult> | undefined {
    if (callback !== undefined) {
      const outside = this.getTransactionStatus() === 'I'
      const retry: Done = (error, result) => {
        if (error == null) return callback(error, result)
        if (!isStale(error)) {
          // pg closes the statement of values that it can't write, and believes that it is still there.
          if (!(error instanceof pg.DatabaseError)) this.#statements?.forget(query.text)
          return callback(error, result)
        }
        this.#statements?.forget(query.text)
        // Nothing of it has happened; inside a transaction, all that follows is refused anyway.
        if (outside) this.#send(query, undefined, callback)
        else callback(error, result)
      }
      let known = this.#known.get(name)
      if (known === undefined) this.#known.set(name, (known = {}))
      this.#send(new PreparedQuery({ ...query, name }, retry, known))
      return undefined
    }
    const answer = new Promise<pg.QueryResult>((resolve, reject) => {
      void this.#queryPrepared(query, name, (error, result) => (error == null ? resolve(result) : reject(error)))
    })
    return answer.catch((error: Error) => {
      // As pg does: a stack that leads to whoever sent the query.
      Error.captureStackTrace(error)
      throw error
    })
  }

  /** A cursor that fails may send two Syncs; whoever comes next must not take the second answer for its own. */
  #countAnswers(): void {
    const { connection } = this.#internals
    const query = connection.query.bind(connection)
    const sync = connection.sync.bind(connection)
    connection.query = (text) => {
      this.#unanswered += 1
      query(text)
    }
    connection.sync = () => {
      this.#unanswered += 1
      sync()
    }
    connection.on('readyForQuery', () => {
      if (this.#unanswered > 0) this.#unanswered -= 1
    })
    // A query that is read in pages asks for its "ready for query" when it is done; one that fails never does.
    connection.on('errorMessage', () => process.nextTick(() => this.#syncIfNobodyDid()))
  }

  #syncIfNobodyDid(): void {
    const { readyForQuery, connection } = this.#internals
    if (readyForQuery === false && this.#unanswered === 0 && !this.running && this.usable) connection.sync()
  }

  /** Goes out with the query that follows. */
  #closeStatement(name: string): void {
    const { connection } = this.#internals
    this.#known.delete(name)
    if (connection.parsedStatements[name] === undefined) return
    delete connection.parsedStatements[name]
    connection.close({ type: 'S', name })
  }

  get #internals(): ClientInternals {
    return this as unknown as ClientInternals
  }
}

function randomSeed(): number {
  return Math.random() * 2 - 1
}

/** The server does not know the statement (any more), or its result has another shape since. */
function isStale(error: Error): boolean {
  if (!('code' in error)) return false
  return (
    error.code === '26000' || (error.code === '0A000' && error.message === 'cached plan must not change result type')
  )
}
