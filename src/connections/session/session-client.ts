import type { ConnectionOptions } from 'node:tls'
import type pg from 'pg'
import { markOutage } from '../../postgres/outage.js'
import { inCallerContext } from '../caller-context.js'
import { requestCancel } from './cancel-request.js'
import { activeQueryOf, type ClientInternals, queueOf } from './client-internals.js'
import { isServerError } from '../connection-errors.js'
import { type SchemaEffects, hasSchemaEffects } from './schema-effects.js'
import type { PgCopy } from './pg-copy.js'
import { type KnownStatement, preparedQueryClass } from './prepared-query.js'
import { useQuickScram } from './quick-scram.js'
import { type Preparable, preparableFrom, textOf } from '../queries/query-text.js'
import { factsOf, reseed, resetSession } from './statement-effects.js'
import { StatementNames } from './statement-names.js'
import { fenceIn, isSubmittable } from '../queries/submittable.js'
import { refuseQuery, sessionNeedOf, sessionRequired, withoutName } from '../queries/transaction-pooling.js'

interface PreparedCounts {
  readonly by_sql: number
  readonly by_protocol: number
}

type Done = (error: Error | undefined | null, result: pg.QueryResult) => void

/** A `pg.Client` that knows whether its session is as it was when it was opened. */
export type SessionClient = pg.Client & SessionMembers

/** Makes clients of one copy of `pg`. */
export type SessionClientClass = new (config: pg.ClientConfig, prepareStatements: boolean) => SessionClient

/** What a {@link SessionClient} has besides what `pg.Client` has. */
interface SessionMembers {
  /** As of `pg`, in the context of the caller. One implementation behind all its overloads: `never` fits each result. */
  query(query: unknown, values?: unknown, callback?: unknown): never
  /** Something ran that may have changed the session, as far as text and {@link schemaEffects} tell. */
  touched: boolean
  /** What its database runs behind the names in a statement. Not known: anything may have changed the session. */
  schemaEffects: SchemaEffects | undefined
  /** Told when the connection breaks, whoever has it. */
  onLost: (error: Error) => void
  /** A pooler in transaction mode is in between: the session ends with each transaction. */
  transactionPooling: boolean
  /** As `query`; a callback is called in whatever context the answer comes in. */
  run(query: unknown, values: unknown, callback: unknown): unknown
  /** Runs a query of our own, that leaves nothing behind. */
  read<Row extends object = Record<string, unknown>>(text: string): Promise<Row[]>
  /** Nothing runs and nothing is queued, and the server has answered all that was sent. */
  readonly ready: boolean
  /** The last "ready for query" of the server said that no transaction is open. */
  readonly outsideTransaction: boolean
  /** A query has not been answered yet, not even by an error. */
  readonly running: boolean
  /** The server has nothing to do for this client: no query, or a cursor that nobody reads from at the moment. */
  readonly resting: boolean
  /** Bytes that the server has sent. */
  readonly bytesRead: number
  /** Bytes that the server was sent. */
  readonly bytesWritten: number
  /** Queries can still be sent. */
  readonly usable: boolean
  /** Process id of the backend. */
  readonly backendPid: number | null
  /** Type parsers that are set from now on are gone when the returned function is called. */
  overrideTypes(): () => void
  /** Resolves when the last query is through; false: the connection ended first, or it took too long. */
  settled(timeoutMs?: number): Promise<boolean>
  /** Undoes whatever the last user did to the session. False: it cannot be undone, close the connection. */
  reset(): Promise<boolean>
  /**
   * Asks the server to stop what runs (PostgreSQL manual, 54.2.9). Resolves when the request has been dealt with: what
   * is sent after that and answered is not hit by it any more.
   */
  cancel(): Promise<void>
  /** Resolves when all requests to cancel have been dealt with. */
  cancelsDone(): Promise<unknown>
  /** Ends a cursor that nobody reads on from: the server waits for us, so there is nothing to cancel. */
  endPortal(): void
  /** Breaks the connection without a goodbye. */
  destroy(): void
}

const classes = new WeakMap<PgCopy['Client'], SessionClientClass>()

/** The class of sessions that are clients of `copy`. */
export function sessionClientClass(copy: PgCopy): SessionClientClass {
  const known = classes.get(copy.Client)
  if (known !== undefined) return known
  const made = makeClass(copy)
  classes.set(copy.Client, made)
  return made
}

function makeClass(copy: PgCopy): SessionClientClass {
  const PreparedQuery = preparedQueryClass(copy)
  class Session extends copy.Client implements SessionMembers {
    touched = false
    schemaEffects: SchemaEffects | undefined
    onLost: (error: Error) => void = () => {}
    transactionPooling = false
    readonly #tls: ConnectionOptions | undefined
    #cancels: Promise<unknown> = Promise.resolve()
    /** As the last "ready for query" told it: outside of a transaction, inside, or inside of a failed one. */
    #transactionStatus: string | null = null
    /** Messages that the server ends with "ready for query" and has not yet: the next such answer is not the next query's. */
    #unanswered = 0
    readonly #statements: StatementNames | undefined
    /** By name of the statement. */
    readonly #known = new Map<string, KnownStatement>()

    constructor(config: pg.ClientConfig, prepareStatements: boolean) {
      super(config)
      if (prepareStatements) this.#statements = new StatementNames((name) => this.#closeStatement(name))
      this.#tls = config.ssl === true ? {} : config.ssl || undefined
      this.on('error', (error) => {
        // The queries under way fail with this very error.
        markOutage(error)
        this.onLost(error)
      })
      this.#countAnswers()
      useQuickScram(this)
    }

    override query(query: unknown, values?: unknown, callback?: unknown): never {
      if (isSubmittable(query)) fenceIn(query)
      if (typeof values === 'function') return this.run(query, undefined, inCallerContext(values as Done)) as never
      return this.run(
        query,
        values,
        typeof callback === 'function' ? inCallerContext(callback as Done) : callback,
      ) as never
    }

    run(query: unknown, values: unknown, callback: unknown): unknown {
      const text = textOf(query)
      const facts = factsOf(text)
      const { clean } = facts
      if (this.transactionPooling) {
        const need = clean || !this.ready || !this.outsideTransaction ? undefined : sessionNeedOf(text)
        if (need !== undefined) return refuseQuery(query, callback, sessionRequired(need))
        query = withoutName(query)
      }
      if (!clean || (this.schemaEffects !== undefined && hasSchemaEffects(this.schemaEffects, facts)))
        this.touched = true
      if (clean && this.#statements !== undefined && this.ready) {
        const preparable = preparableFrom(query, values)
        const name = preparable && this.#statements.nameFor(text)
        if (preparable !== undefined && name !== undefined) {
          return this.#queryPrepared(preparable, name, callback as Done | undefined)
        }
      }
      return this.#send(query, values, callback as Done)
    }

    async read<Row extends object = Record<string, unknown>>(text: string): Promise<Row[]> {
      const result = await super.query<Row>(text)
      return result.rows
    }

    get ready(): boolean {
      const internals = this.#internals
      return internals.readyForQuery === true && queueOf(internals).length === 0 && this.#unanswered === 0
    }

    get running(): boolean {
      return activeQueryOf(this.#internals) != null || queueOf(this.#internals).length > 0
    }

    get resting(): boolean {
      const query = activeQueryOf(this.#internals)
      if (query == null) return !this.running
      // pg-query-stream has its cursor inside.
      const cursor = typeof query === 'object' && 'cursor' in query ? query.cursor : query
      return typeof cursor === 'object' && cursor !== null && 'state' in cursor && cursor.state === 'idle'
    }

    get bytesRead(): number {
      return this.#internals.connection.stream.bytesRead
    }

    get bytesWritten(): number {
      return this.#internals.connection.stream.bytesWritten
    }

    get outsideTransaction(): boolean {
      return this.#transactionStatus === 'I'
    }

    override getTransactionStatus(): never {
      return this.#transactionStatus as never
    }

    get usable(): boolean {
      return this.#internals._queryable && !this.#internals._ending
    }

    get backendPid(): number | null {
      return this.#internals.processID
    }

    overrideTypes(): () => void {
      const internals = this.#internals
      const before = internals._types
      internals._types = new (before.constructor as typeof pg.TypeOverrides)(before)
      return () => {
        internals._types = before
      }
    }

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

    async reset(): Promise<boolean> {
      const isQuiet = this.outsideTransaction
      // A tenant of whose code nothing is known is rarely used: nothing that it prepared is worth keeping. Behind a pooler,
      // other clients' statements may be in the same session.
      const mayDiscard = (this.#preparedCount === 0 || this.schemaEffects === undefined) && !this.transactionPooling
      const isReset = isQuiet && mayDiscard ? await this.#discardAll() : await this.#undo(isQuiet)
      this.touched = false
      return isReset && this.outsideTransaction
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

    cancel(): Promise<void> {
      const { processID, secretKey } = this.#internals
      if (processID === null || secretKey === null) return Promise.resolve()
      const request = requestCancel({ host: this.host, port: this.port }, processID, secretKey, this.#tls)
      this.#cancels = Promise.all([this.#cancels, request])
      return request
    }

    cancelsDone(): Promise<unknown> {
      return this.#cancels
    }

    endPortal(): void {
      if (activeQueryOf(this.#internals) != null && this.#unanswered === 0) this.#internals.connection.sync()
    }

    destroy(): void {
      this.#internals.connection.stream.destroy()
    }

    #send(query: unknown, values?: unknown, callback?: Done): unknown {
      const isConfig = callback !== undefined && typeof query === 'object' && query !== null
      const keepsCallback = !isConfig || 'callback' in query || 'submit' in query
      const answer: unknown = super.query(query as string, values as unknown[], callback as Done)
      // pg writes the callback into the caller's object, where the next use of that would find it.
      if (!keepsCallback) delete (query as { callback?: unknown }).callback
      return answer
    }

    #queryPrepared(query: Preparable, name: string, callback: Done | undefined): Promise<pg.QueryResult> | undefined {
      if (callback !== undefined) {
        const outside = this.outsideTransaction
        const retry: Done = (error, result) => {
          if (error == null) return callback(error, result)
          if (!isStale(error)) {
            // pg closes the statement of values that it can't write, and believes that it is still there.
            if (!isServerError(error)) this.#statements?.forget(query.text)
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
      connection.on('readyForQuery', ({ status }) => {
        this.#transactionStatus = status ?? null
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

  return Session
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
