import { LRUCache } from 'lru-cache'
import type { Remembered } from '../core/request-path.js'
import type { MembershipChange } from './changes/change-message.js'
import type { FlightState } from './single-flight.js'

/** A change of a membership: the epoch that it raised the user's to, and what it left, as far as messages said. */
interface OnlyChange {
  readonly epoch: number
  /** `ended`: no membership. `empty`: the membership without a role or override. */
  readonly left: 'ended' | 'empty' | undefined
}

/** A cached record with what it depends on and how current it is. Times are `performance.now()`. */
export interface Entry<Value extends object> extends Remembered<Value> {
  readonly userId: string | undefined
  readonly tenantId: string | undefined
  /** `users.access_epoch` that the record is at least as new as. */
  userEpoch: number
  /** The same, as the catalog itself said. Lower: messages have raised the other one since. */
  readonly readUserEpoch: number
  /** `tenants.access_epoch` that the record was read at; 0 without a tenant. */
  readonly tenantEpoch: number
  /** When the record changes by itself (a temporary permission begins or ends). */
  readonly endsAtMs: number
  /** When the read, or the last query that confirmed it, began. */
  confirmedAtMs: number
  /** A change was reported since: a query of the epochs has to confirm it first. */
  isStale: boolean
  /** A newer epoch of its user or tenant is known: no query can confirm it. */
  isOutdated: boolean
  /** The change that outdated it, as long as no other change of its user or tenant was reported since it was read. */
  onlyChange: OnlyChange | undefined
  /** No longer in the store, so changes do not reach it: never usable again. */
  isEvicted: boolean
}

/** Makes an entry of a record that was read, or began to be read, at `confirmedAtMs`. */
export function createEntry<Value extends object>(
  value: Value,
  bytes: number,
  basis: Pick<Entry<Value>, 'userId' | 'tenantId' | 'userEpoch' | 'tenantEpoch' | 'endsAtMs'> &
    Partial<Pick<Entry<Value>, 'readUserEpoch'>>,
  confirmedAtMs: number,
): Entry<Value> {
  return {
    value,
    bytes,
    readUserEpoch: basis.userEpoch,
    ...basis,
    confirmedAtMs,
    isStale: false,
    isOutdated: false,
    onlyChange: undefined,
    isEvicted: false,
  }
}

/** Marks an entry whose user or tenant has a newer epoch. */
export function outdate(entry: Entry<object>): void {
  entry.isOutdated = true
  entry.isStale = true
}

/**
 * Tells whether nothing but messages says how new the entry is. Whoever can connect to the catalog's database can send one: such an
 * entry is read again, and not confirmed by an epoch that it may have got from a forged message.
 */
export function isRaisedByMessages({ userEpoch, readUserEpoch }: Entry<object>): boolean {
  return userEpoch !== readUserEpoch
}

/** Tells whether the entry can never be usable again. */
export function isUnusable(entry: Entry<object>): boolean {
  return entry.isEvicted || entry.isOutdated
}

/** A bounded store of entries, found by key, and by user or tenant to mark them stale. */
export interface EntryStore<Value extends object> {
  get(key: string): Entry<Value> | undefined
  set(key: string, entry: Entry<Value>): void
  delete(key: string): void
  /** Marks the entries of a user or tenant as stale, and as outdated if older than `epoch`; without an id: all as stale. */
  markStale(id?: string, epoch?: number): void
  /**
   * Applies a change of one membership, which raised the user's epoch to `epoch`. Entries of that membership become outdated.
   * The user's other entries stay current if they had the epoch before; the rest is marked as by `markStale`.
   */
  changeMembership(userId: string, epoch: number, change: MembershipChange): void
  /** Notes that the change that raised the user's epoch to `epoch` left no role and no override in the tenant. */
  noteEmptied(userId: string, epoch: number, tenantId: string): void
}

/** Its key, which is hashed when it is longer than 200 letters, and what belongs to it. */
const entryBytes = 700

/**
 * Makes a store of at most `maxEntries` entries and `maxBytes` bytes; the least recently used are evicted. An entry larger
 * than a tenth of `maxBytes` is not kept: it serves the request that read it.
 */
export function createEntryStore<Value extends object>(
  maxEntries: number,
  maxBytes = Number.MAX_SAFE_INTEGER,
): EntryStore<Value> {
  const entriesById = new Map<string, Set<Entry<Value>>>()

  function forget(entry: Entry<Value>): void {
    entry.isStale = true
    entry.onlyChange = undefined
    entry.isEvicted = true
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
        // Epochs count every change: an entry at the epoch before this one has missed none.
        if (entry.isOutdated || entry.userEpoch !== epoch - 1) {
          markEntryStale(entry, userId, epoch)
        } else if (entry.tenantId === tenantId) {
          // A stale entry may have missed a change of its tenant or of the rules. Where a membership has ended, none matters.
          if (hasEnded) entry.onlyChange = { epoch, left: 'ended' }
          else if (!entry.isStale) entry.onlyChange = { epoch, left: undefined }
          outdate(entry)
        } else entry.userEpoch = epoch
      }
    },
    noteEmptied(userId, epoch, tenantId) {
      for (const entry of entriesById.get(userId) ?? []) {
        const { onlyChange } = entry
        if (entry.tenantId !== tenantId || onlyChange?.epoch !== epoch || onlyChange.left !== undefined) continue
        entry.onlyChange = { epoch, left: 'empty' }
      }
    },
  }
}

function markEntryStale(entry: Entry<object>, id: string | undefined, epoch: number): void {
  entry.isStale = true
  entry.onlyChange = undefined
  if (id !== undefined && epoch > (id === entry.userId ? entry.userEpoch : entry.tenantEpoch)) outdate(entry)
}

/** Stores an entry, unless a change was reported while it was read: then it serves this request only. */
export function keepEntry<Value extends object>(
  store: Pick<EntryStore<Value>, 'set'>,
  key: string,
  entry: Entry<Value>,
  state: FlightState,
): Entry<Value> {
  if (state.isInvalidated(idsOf(entry))) {
    entry.isStale = true
    entry.isEvicted = true
  } else store.set(key, entry)
  return entry
}

/** Ids of the user and the tenant whose changes concern the entry. */
function idsOf({ userId, tenantId }: Entry<object>): string[] {
  return [userId, tenantId].filter((id) => id !== undefined)
}
