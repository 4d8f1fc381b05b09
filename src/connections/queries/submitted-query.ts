import type { EventEmitter } from 'node:events'
import type { RequestScope } from '../../core/context/request-scope.js'
import { abortedError, stalledError } from '../connection-errors.js'
import { hearErrors, type Submittable, type SubmittableGuard } from './submittable.js'

/** The state that streams show. Cursors show none. */
interface StreamState {
  readonly destroyed?: boolean
  readonly readableLength?: number
  readonly readableEnded?: boolean
  readonly readableFlowing?: boolean | null
  readonly writableLength?: number
  readonly writableEnded?: boolean
  /** Streams of pg-query-stream have one. */
  readonly cursor?: unknown
  destroy?(error?: Error): unknown
}

/** The part of a session that a {@link SubmittedQuery} looks at. */
export interface SubmittedQueryClient {
  readonly bytesRead: number
  readonly bytesWritten: number
  /** The server has nothing to do for this client at the moment. */
  readonly resting: boolean
  /** Resolves when the query has ended, or the connection. */
  settled(): Promise<boolean>
}

/** The ways in which the checkout of a submitted query ends. */
export interface SubmittedQueryEnd {
  /** Gives the connection back as it is: what still runs on it is stopped. */
  giveBack(): void
  /** Stops the server and closes the connection: nobody can read on where its reader has stopped. */
  breakOff(): void
}

/** How long a stream that was destroyed has to end its query by itself. */
const streamEndMs = 1000

/**
 * A cursor or stream that `pool.query` has given a connection. The connection comes back when the query is over. It is
 * also taken back when the stream was destroyed, the request was aborted, or its reader or writer makes no progress.
 */
export class SubmittedQuery {
  readonly #query: Submittable
  readonly #stream: StreamState
  readonly #guard: SubmittableGuard
  readonly #client: SubmittedQueryClient
  readonly #scope: RequestScope | undefined
  readonly #end: SubmittedQueryEnd
  readonly #readAtStart: number
  readonly #onAborted = (): void => this.abort(abortedError(undefined))
  #streamEndTimer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(
    query: Submittable,
    guard: SubmittableGuard,
    client: SubmittedQueryClient,
    scope: RequestScope | undefined,
    end: SubmittedQueryEnd,
  ) {
    this.#query = query
    this.#stream = query
    this.#guard = guard
    this.#client = client
    this.#scope = scope
    this.#end = end
    this.#readAtStart = client.bytesRead
    guard.onDestroy = () => this.#destroyed()
    scope?.onAborted(this.#onAborted)
    void client.settled().then(() => this.#finish(() => end.giveBack()))
  }

  /** A value that changes as long as reader or writer make progress. */
  get progress(): string {
    const { readableLength, writableLength } = this.#stream
    return `${this.#client.bytesRead} ${this.#client.bytesWritten} ${readableLength} ${writableLength}`
  }

  /** Whether the server waits for the reader or writer, and not the other way round. */
  get waitsForUser(): boolean {
    const { destroyed, readableLength, readableFlowing, writableLength, writableEnded } = this.#stream
    if (destroyed === true || this.#client.resting) return true
    if (this.#isCopyTo) {
      const isRead = readableFlowing === true || (this.#query as unknown as EventEmitter).listenerCount('readable') > 0
      return !isRead || (readableLength ?? 0) > 0
    }
    const isAnswered = this.#client.bytesRead > this.#readAtStart
    return writableLength === 0 && writableEnded === false && isAnswered
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Ends the query because its reader or writer made no progress for `timeoutMs`. */
  stall(timeoutMs: number): void {
    this.abort(stalledError(timeoutMs))
  }

  abort(error: Error): void {
    if (this.#isOver) return
    this.#guard.abort(error)
    hearErrors(this.#query)
    const { writableLength } = this.#stream
    // A stream that writes tells the server by itself and waits for the answer. All others are told here.
    if (writableLength === undefined && !this.#isCopyTo) this.#query.handleError(error)
    this.#stream.destroy?.(error)
    if (writableLength === undefined) this.#guard.silence()
    this.#finish(() => (this.#isCopyTo ? this.#end.breakOff() : this.#end.giveBack()))
  }

  /** COPY TO of pg-copy-streams reads from the connection itself, and reads no more once it is destroyed. */
  get #isCopyTo(): boolean {
    return this.#stream.readableLength !== undefined && this.#stream.cursor === undefined
  }

  #destroyed(): void {
    if (this.#isOver) return
    if (this.#isCopyTo && this.#stream.readableEnded === false) {
      this.#guard.silence()
      return this.#finish(() => this.#end.breakOff())
    }
    this.#streamEndTimer ??= setTimeout(() => this.#finish(() => this.#end.giveBack()), streamEndMs)
  }

  #finish(end: () => void): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#streamEndTimer)
    this.#guard.onDestroy = undefined
    this.#scope?.offAborted(this.#onAborted)
    end()
  }
}
