import { LRUCache } from 'lru-cache'
import type { Remembered } from '../core/request-path.js'
import type { MembershipChange } from './coherence.js'
import type { FlightState } from './single-flight.js'

/** What a remembered record depends on and how current it is known to be. Times are `performance.now()`. */
export interface Entry<Value extends object> extends Remembered<Value> {
  readonly userId: string | undefined
  readonly tenantId: string | undefined
  /** `users.access_epoch` that the record is at least as new as. */
  userEpoch: number
  /** `tenants.access_epoch` that the record was read at; 0 without a tenant. */
  readonly tenantEpoch: number
  /** From here on the record says something else by itself (temporary permissions). */
  readonly endsAtMs: number
  /** When the read, or the last query that confirmed it, began. */
  confirmedAtMs: number
  /** Something changed since: a query has to confirm it first. */
  isStale: boolean
  /** A newer epoch of its user or tenant was heard of: no query can confirm it. */
  isOutdated: boolean
  /** The membership has ended, and nothing was heard of its user or tenant since. */
  isEnded: boolean
  /** No longer in the store, so no news reaches it: never usable again. */
  isGone: boolean
}

/** Makes an entry of a record that was read, or began to be read, at `confirmedAtMs`. */
export function createEntry<Value extends object>(
  value: Value,
  bytes: number,
  basis: Pick<Entry<Value>, 'userId' | 'tenantId' | 'userEpoch' | 'tenantEpoch' | 'endsAtMs'>,
  confirmedAtMs: number,
): Entry<Value> {
  return { value, bytes, ...basis, confirmedAtMs, isStale: false, isOutdated: false, isEnded: false, isGone: false }
}

/** Says that a newer epoch than the entry's is known. */
export function outdate(entry: Entry<object>): void {
  entry.isOutdated = true
  entry.isStale = true
}

/** Whether nothing can make the entry usable again. */
export function isLost(entry: Entry<object>): boolean {
  return entry.isGone || entry.isOutdated
}

/** A bounded store of entries, found by key, and by user or tenant to mark them stale. */
export interface EntryStore<Value extends object> {
  get(key: string): Entry<Value> | undefined
  set(key: string, entry: Entry<Value>): void
  delete(key: string): void
  /** Marks the entries of a user or tenant as stale, and as outdated if older than `epoch`; without an id: all as stale. */
  markStale(id?: string, epoch?: number): void
  /**
   * Says that this epoch of the user's concerns their place in one tenant only. Entries of that place are outdated; others
   * that were current until then still are, and what may have missed something is marked as by `markStale`.
   */
  changeMembership(userId: string, epoch: number, change: MembershipChange): void
}

/** Its key, which is hashed when it is longer than 200 letters, and what belongs to it. */
const entryBytes = 700

/**
 * Makes a store of at most `maxEntries` that take at most `maxBytes` together; the least recently used go first. One that
 * would take more than a tenth of it serves once.
 */
export function createEntryStore<Value extends object>(
  maxEntries: number,
  maxBytes = Number.MAX_SAFE_INTEGER,
): EntryStore<Value> {
  const entriesById = new Map<string, Set<Entry<Value>>>()

  function forget(entry: Entry<Value>): void {
    entry.isStale = true
    entry.isEnded = false
    entry.isGone = true
    for (const id of idsOf(entry)) {
      const entries = entriesById.get(id)
      entries?.delete(entry)
      if (entries?.size === 0) entriesById.delete(id)
    }
  }

  const store = new LRUCache<string, Entry<Value>>({ max: maxEntries, maxSize: maxBytes, dispose: forget })
  return {
    get: (key) => store.get(key),
    set(key, entry) {
      const size = entryBytes + entry.bytes
      if (size > maxBytes / 10) {
        store.delete(key)
        return forget(entry)
      }
      for (const id of idsOf(entry)) {
        const entries = entriesById.get(id)
        if (entries === undefined) entriesById.set(id, new Set([entry]))
        else entries.add(entry)
      }
      store.set(key, entry, { size })
    },
    delete: (key) => void store.delete(key),
    markStale(id, epoch = 0) {
      for (const entry of id === undefined ? store.values() : (entriesById.get(id) ?? [])) {
        markEntryStale(entry, id, epoch)
      }
    },
    changeMembership(userId, epoch, { tenantId, hasEnded }) {
      for (const entry of entriesById.get(userId) ?? []) {
        // Epochs count every change: whoever was at the one before, and heard of none since, has missed nothing.
        if (entry.isOutdated || entry.userEpoch !== epoch - 1) {
          markEntryStale(entry, userId, epoch)
        } else if (entry.tenantId === tenantId) {
          outdate(entry)
          entry.isEnded = hasEnded
        } else entry.userEpoch = epoch
      }
    },
  }
}

function markEntryStale(entry: Entry<object>, id: string | undefined, epoch: number): void {
  entry.isStale = true
  entry.isEnded = false
  if (id !== undefined && epoch > (id === entry.userId ? entry.userEpoch : entry.tenantEpoch)) outdate(entry)
}

/** Keeps an entry, unless a change overtook the read it comes from: then it serves this once. */
export function keepEntry<Value extends object>(
  store: Pick<EntryStore<Value>, 'set'>,
  key: string,
  entry: Entry<Value>,
  state: FlightState,
): Entry<Value> {
  if (state.isInvalidated(idsOf(entry))) {
    entry.isStale = true
    entry.isGone = true
  } else store.set(key, entry)
  return entry
}

/** The user and the tenant whose news concern the entry. */
function idsOf({ userId, tenantId }: Entry<object>): string[] {
  return [userId, tenantId].filter((id) => id !== undefined)
}
