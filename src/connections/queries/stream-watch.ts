import { outsideOfRequests } from '../caller-context.js'
import type { SubmittedQuery } from './submitted-query.js'

interface Watched {
  progress: string
  sinceMs: number
}

/** Ends streams and cursors whose reader or writer makes no progress. Costs nothing while there are no streams. */
export class StreamWatch {
  readonly #timeoutMs: number
  readonly #watched = new Map<SubmittedQuery, Watched>()
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  watch(query: SubmittedQuery): void {
    this.#watched.set(query, { progress: query.progress, sinceMs: performance.now() })
    this.#timer ??= outsideOfRequests(() => setInterval(() => this.#look(), Math.max(10, this.#timeoutMs / 4)).unref())
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#watched.clear()
  }

  #look(): void {
    const nowMs = performance.now()
    for (const [query, seen] of this.#watched) {
      if (query.isOver) {
        this.#watched.delete(query)
        continue
      }
      const { progress } = query
      if (progress !== seen.progress || !query.waitsForUser) {
        seen.progress = progress
        seen.sinceMs = nowMs
      } else if (nowMs - seen.sinceMs >= this.#timeoutMs) {
        this.#watched.delete(query)
        query.stall(this.#timeoutMs)
      }
    }
    if (this.#watched.size === 0) this.stop()
  }
}
