import type { EventEmitter } from 'node:events'
import type { RequestScope } from '../../core/context/current.js'
import { abortedError, stalledError } from '../connection-errors.js'
import type { SessionClient } from '../session/session-client.js'
import { hearErrors, type Submittable, type SubmittableFence } from './submittable.js'

/** Streams show this of themselves, cursors nothing. */
interface StreamState {
  readonly destroyed?: boolean
  readonly readableLength?: number
  readonly readableEnded?: boolean
  readonly readableFlowing?: boolean | null
  readonly writableLength?: number
  readonly writableEnded?: boolean
  /** Of pg-query-stream. */
  readonly cursor?: unknown
  destroy?(error?: Error): unknown
}

/** How a lease of a submitted query comes back. */
export interface SubmittedQueryEnd {
  /** The connection as it is: what still runs on it is stopped. */
  giveBack(): void
  /** The server is stopped and the connection closed: nobody can read on where its reader has stopped. */
  breakOff(): void
}

/** A stream that was destroyed says goodbye to the server by itself, if it can, within this time. */
const goodbyeMs = 1000

/**
 * A cursor or stream that `pool.query` has given a connection. The connection comes back when the query is over, or when
 * nobody will end it: its stream was destroyed, its request is gone, or whoever is to read or write makes no progress.
 */
export class SubmittedQuery {
  readonly #query: Submittable
  readonly #stream: StreamState
  readonly #fence: SubmittableFence
  readonly #client: SessionClient
  readonly #work: RequestScope | undefined
  readonly #end: SubmittedQueryEnd
  readonly #readAtStart: number
  readonly #onGone = (): void => this.abort(abortedError(undefined))
  #goodbye: NodeJS.Timeout | undefined
  #isOver = false

  constructor(
    query: Submittable,
    fence: SubmittableFence,
    client: SessionClient,
    work: RequestScope | undefined,
    end: SubmittedQueryEnd,
  ) {
    this.#query = query
    this.#stream = query
    this.#fence = fence
    this.#client = client
    this.#work = work
    this.#end = end
    this.#readAtStart = client.bytesRead
    fence.onDestroy = () => this.#destroyed()
    work?.onAborted(this.#onGone)
    void client.settled().then(() => this.#finish(() => end.giveBack()))
  }

  /** What changes as long as anybody makes progress. */
  get progress(): string {
    const { readableLength, writableLength } = this.#stream
    return `${this.#client.bytesRead} ${this.#client.bytesWritten} ${readableLength} ${writableLength}`
  }

  /** The server waits for whoever is to read, or to write on, and not they for the server. */
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

  /** Ends it because of its reader or writer, who is told by `error`. */
  stall(timeoutMs: number): void {
    this.abort(stalledError(timeoutMs))
  }

  abort(error: Error): void {
    if (this.#isOver) return
    this.#fence.abort(error)
    hearErrors(this.#query)
    const { writableLength } = this.#stream
    // A stream that writes tells the server by itself, and waits for the answer; all others learn it here.
    if (writableLength === undefined && !this.#isCopyTo) this.#query.handleError(error)
    this.#stream.destroy?.(error)
    if (writableLength === undefined) this.#fence.silence()
    this.#finish(() => (this.#isCopyTo ? this.#end.breakOff() : this.#end.giveBack()))
  }

  /** Of pg-copy-streams: it reads from the connection itself, and reads no more once it is destroyed. */
  get #isCopyTo(): boolean {
    return this.#stream.readableLength !== undefined && this.#stream.cursor === undefined
  }

  #destroyed(): void {
    if (this.#isOver) return
    if (this.#isCopyTo && this.#stream.readableEnded === false) {
      this.#fence.silence()
      return this.#finish(() => this.#end.breakOff())
    }
    this.#goodbye ??= setTimeout(() => this.#finish(() => this.#end.giveBack()), goodbyeMs)
  }

  #finish(end: () => void): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#goodbye)
    this.#fence.onDestroy = undefined
    this.#work?.offAborted(this.#onGone)
    end()
  }
}
