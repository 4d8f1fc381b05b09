import { LRUCache } from 'lru-cache'
import type { Count } from '../../core/shared-counts.js'
import { tooMany } from './counts.js'

/** Counts of one kind in this process. They answer at once: a promise would cost a read more than the counting. */
export interface MemoryCounts {
  /** @throws {@link TenancyError} TENANCY_REQUEST_TOO_MANY with `retryAfterSeconds` */
  consume(key: string): Count
}

/** Keys that are used up, in this process. */
export interface UsedUpKeys {
  /** @throws {@link TenancyError} TENANCY_REQUEST_TOO_MANY with `retryAfterSeconds` */
  check(key: string): void
  block(key: string, ms: number): void
}

/** Most keys of each kind, so that callers with many addresses cannot fill the memory. Those not seen for longest go. */
const maxKeys = 100_000

interface Window {
  consumed: number
  /** `performance.now()`. */
  readonly endMs: number
}

/** Creates counts of so many points in a window that begins with the first of them. */
export function createMemoryCounts(points: number, windowSeconds: number): MemoryCounts {
  const windows = new LRUCache<string, Window>({ max: maxKeys })
  return {
    consume(key) {
      const nowMs = performance.now()
      let window = windows.get(key)
      if (window === undefined || window.endMs <= nowMs) {
        window = { consumed: 0, endMs: nowMs + windowSeconds * 1000 }
        windows.set(key, window)
      }
      const msLeft = window.endMs - nowMs
      window.consumed += 1
      if (window.consumed > points) throw tooMany(msLeft)
      return { consumed: window.consumed, msLeft }
    },
  }
}

/** Creates a list of keys that are used up. */
export function createUsedUpKeys(): UsedUpKeys {
  const ends = new LRUCache<string, number>({ max: maxKeys })
  return {
    check(key) {
      const msLeft = (ends.get(key) ?? 0) - performance.now()
      if (msLeft > 0) throw tooMany(msLeft)
    },
    block(key, ms) {
      ends.set(key, performance.now() + ms)
    },
  }
}
