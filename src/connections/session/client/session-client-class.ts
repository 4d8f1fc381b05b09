import type { ConnectionOptions } from 'node:tls'
import type pg from 'pg'
import { markOutage } from '../../../postgres/outages/outage.js'
import { inCallerContext } from '../../caller-context.js'
import { hasSqlState, isServerError, sqlStates } from '../../../postgres/outages/sql-states.js'
import { type Preparable, preparableFrom, textOf } from '../../queries/query-text.js'
import { bindToCaller, isSubmittable } from '../../queries/submittable.js'
import { refuseQuery, sessionNeedOf, sessionRequired, withoutName } from '../../queries/transaction-pooling.js'
import { requestCancel } from './cancel-request.js'
import { activeQueryOf, type ClientInternals, queueOf } from './client-internals.js'
import { type FirstQuery, firstQuery } from '../first-query.js'
import type { PgCopy } from './pg-copy.js'
import { type KnownStatement, preparedQueryClass } from './prepared-query.js'
import { useQuickScram } from '../quick-scram.js'
import { hasSchemaEffects, type SchemaEffects } from '../schema/schema-effects.js'
import type { SessionClientClass, SessionMembers } from './session-client.js'
import { reseed, resetSession } from '../session-restore.js'
import { factsOf } from '../statement-effects.js'
import { StatementNames } from '../statement-names.js'

interface PreparedCounts {
  readonly by_sql: number
  readonly by_protocol: number
}

type Done = (error: Error | undefined | null, result: pg.QueryResult) => void

const classes = new WeakMap<PgCopy['Client'], SessionClientClass>()

/** Makes the class of {@link SessionClient}s of a copy of `pg`, once. */
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
    /** From the last "ready for query": `I` outside of a transaction, `T` inside, `E` inside of a failed one. */
    #transactionStatus: string | null = null
    /** Messages sent whose "ready for query" is still due. While there are any, the next one is not the next query's. */
    #unanswered = 0
    #isLoggedIn = false
    #preparesNothing = false
    /** What goes out with the proof of the password. */
    #first: FirstQuery | undefined
    readonly #statements: StatementNames | undefined
    /** Prepared statements by name. */
    readonly #known = new Map<string, KnownStatement>()

    constructor(config: pg.ClientConfig, prepareStatements: boolean) {
      super(config)
      if (prepareStatements) this.#statements = new StatementNames((name) => this.#closeStatement(name))
      this.#tls = config.ssl === true ? {} : config.ssl || undefined
      this.on('error', (error) => {
        // The queries under way fail with this error object.
        markOutage(error)
        this.onLost(error)
      })
      this.#countAnswers()
      useQuickScram(this, () => this.#first?.sendEarly())
    }

    override query(query: unknown, values?: unknown, callback?: unknown): never {
      if (isSubmittable(query)) bindToCaller(query)
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
      if (this.#preparesNothing) query = withoutName(query)
      if (!clean || (this.schemaEffects !== undefined && hasSchemaEffects(this.schemaEffects, facts)))
        this.touched = true
      if (clean && this.#statements !== undefined && !this.#preparesNothing && this.ready) {
        const preparable = preparableFrom(query, values)
        const name = preparable && this.#statements.nameFor(text)
        if (preparable !== undefined && name !== undefined) {
          return this.#queryPrepared(preparable, name, callback as Done | undefined)
        }
      }
      return this.#send(query, values, callback as Done)
    }

    schemaMayChange(): void {
      this.#preparesNothing = true
    }

    async read<Row extends object = Record<string, unknown>>(text: string): Promise<Row[]> {
      const result: unknown = await super.query(text)
      const last = (Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult<Row>
      return last.rows
    }

    readFirst(text: string, isEarly: boolean): Promise<readonly Record<string, unknown>[]> {
      const first = firstQuery(copy, this.#internals, text)
      if (isEarly) this.#first = first
      super.query(first.submittable)
      return first.rows
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
        const settleTimer = timeoutMs === undefined ? undefined : setTimeout(() => finish(false), timeoutMs)
        const finish = (isSettled: boolean): void => {
          clearTimeout(settleTimer)
          this.removeListener('drain', onDrain)
          this.removeListener('end', onEnd)
          resolve(isSettled)
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
      // A tenant whose schema effects are unknown is rarely used: its prepared statements are not worth keeping. Behind a
      // pooler, statements of other clients may be in the same session.
      const mayDiscard = (this.#preparedCount === 0 || this.schemaEffects === undefined) && !this.transactionPooling
      const isReset = isQuiet && mayDiscard ? await this.#discardAll() : await this.#undo(isQuiet)
      this.touched = false
      return isReset && this.outsideTransaction
    }

    /** Runs two commands that need no plan, which cost a fresh connection least. Prepared statements are gone. */
    async #discardAll(): Promise<boolean> {
      const internals = this.#internals
      const { parsedStatements, stream } = internals.connection
      for (const name of Object.keys(parsedStatements)) delete parsedStatements[name]
      this.#known.clear()
      this.#statements?.clear()
      // One packet saves a round trip.
      internals.pipeline = true
      stream.cork()
      const answers = [super.query('discard all'), super.query(reseed(randomSeed()))]
      stream.uncork()
      const results = await Promise.allSettled(answers)
      internals.pipeline = false
      return results.every(({ status }) => status === 'fulfilled')
    }

    /** Keeps the prepared statements. False: a user has prepared or deallocated one. */
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
      // pg writes the callback into the caller's object, where the next use of the object would find it.
      if (!keepsCallback) delete (query as { callback?: unknown }).callback
      return answer
    }

    #queryPrepared(query: Preparable, name: string, callback: Done | undefined): Promise<pg.QueryResult> | undefined {
      if (callback !== undefined) {
        const outside = this.outsideTransaction
        const retry: Done = (error, result) => {
          if (error == null) return callback(error, result)
          if (!isStale(error)) {
            // When pg cannot serialize the values, it closes the statement and believes that it is still there.
            if (!isServerError(error)) this.#statements?.forget(query.text)
            return callback(error, result)
          }
          this.#statements?.forget(query.text)
          // The statement did nothing. Inside of a transaction, all that follows is refused anyway.
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
        // As pg does: the stack leads to the code that sent the query.
        Error.captureStackTrace(error)
        throw error
      })
    }

    /** A cursor that fails may send two Syncs. The next query must not take the second answer for its own. */
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
        // The first one ends the login and answers no message.
        if (this.#isLoggedIn && this.#unanswered > 0) this.#unanswered -= 1
        this.#isLoggedIn = true
      })
      // A query that is read in pages sends its Sync when it is done. One that fails never does.
      connection.on('errorMessage', () => process.nextTick(() => this.#syncIfNoneIsDue()))
    }

    #syncIfNoneIsDue(): void {
      const { readyForQuery, connection } = this.#internals
      if (readyForQuery === false && this.#unanswered === 0 && !this.running && this.usable) connection.sync()
    }

    /** Closes a prepared statement. The message goes out with the next query. */
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

/** Whether the server no longer knows the statement, or its result has other columns now. */
function isStale(error: Error): boolean {
  if (hasSqlState(error, sqlStates.invalidSqlStatementName)) return true
  return (
    hasSqlState(error, sqlStates.featureNotSupported) && error.message === 'cached plan must not change result type'
  )
}
