import { LRUCache } from 'lru-cache'
import type { ApiKeyCache, ApiKeyDirectory, ApiKeyRecord } from '../../core/identity/api-keys.js'
import type { Logger } from '../../core/logger.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import { createBatch } from '../batches.js'
import type { Coherence } from '../changes/coherence.js'
import { createEntry, createEntryStore, type Entry, keepEntry } from '../entries.js'
import { createSingleFlight } from '../single-flight.js'

/** What {@link createKeyCache} needs. */
export interface KeyCacheOptions {
  readonly directory: ApiKeyDirectory
  readonly coherence: Pick<Coherence, 'maxStalenessMs' | 'confirmedAtMs' | 'subscribe'>
  readonly logger: Logger
  /** Most keys remembered. Default: 10 000. */
  readonly maxEntries?: number
}

/** An {@link ApiKeyCache} that accepts changes and can be closed. */
export interface LocalKeyCache extends ApiKeyCache {
  /** Makes this process read the keys of a user or tenant (no id: all) again, without waiting for the catalog's message. */
  invalidate(id?: string): void
  /** Stops following the catalog; no entry is usable afterwards. */
  close(): void
}

const maxBytes = 16 * 2 ** 20
const recordBytes = 2000
/** Hashes that no key has: those of keys that were removed. A hash that has no key never gets one. */
const maxUnknown = 1000
const unknownForMs = 60_000
const noteEveryMs = 5 * 60_000

/**
 * Caches API keys by the hash of their text, by the epochs of their tenant and of the member who answers for them, as members
 * are cached. Not in Redis: a key is read by one query of one row, which is what the epochs would cost that its value in Redis
 * could be found by.
 */
export function createKeyCache({ directory, coherence, logger, maxEntries = 10_000 }: KeyCacheOptions): LocalKeyCache {
  const { maxStalenessMs } = coherence
  const store = createEntryStore<ApiKeyRecord>(maxEntries, maxBytes)
  const unknown = new LRUCache<string, true>({ max: maxUnknown, ttl: unknownForMs })
  const notedAtMs = new LRUCache<string, number>({ max: maxEntries })
  const flights = createSingleFlight()
  const ask = createBatch<Buffer, ApiKeyRecord | undefined>((hashes) =>
    catalogAnswer(directory.findKeys(hashes), 'API keys'),
  )
  let isClosed = false

  function invalidate(id?: string, epoch?: number): void {
    store.markStale(id, epoch)
    flights.invalidate(id)
  }
  const unsubscribe = coherence.subscribe({
    user: (id, epoch) => invalidate(id, epoch),
    tenant: invalidate,
    rules: () => invalidate(),
    all: () => invalidate(),
  })

  function isUsable(entry: Entry<ApiKeyRecord>, sinceMs: number): boolean {
    const currentAtMs = Math.max(entry.confirmedAtMs, coherence.confirmedAtMs)
    return !isClosed && !entry.isStale && currentAtMs >= sinceMs - maxStalenessMs && sinceMs < entry.endsAtMs
  }

  function read(key: string, hash: Buffer, sinceMs: number): Promise<Entry<ApiKeyRecord> | undefined> {
    return flights.share(`key ${key}`, sinceMs - maxStalenessMs, async (state) => {
      const record = await ask(hash)
      if (record === undefined) {
        store.delete(key)
        unknown.set(key, true)
        return undefined
      }
      const { changesAtMs } = record.grants
      const basis = {
        userId: record.responsible?.id,
        tenantId: record.tenant.id,
        userEpoch: record.responsible?.epoch ?? 0,
        tenantEpoch: record.tenantEpoch,
        endsAtMs: changesAtMs === null ? Number.POSITIVE_INFINITY : performance.now() + changesAtMs - Date.now(),
      }
      const bytes = recordBytes + 8 * record.grants.permissionIds.length
      return keepEntry(store, key, createEntry(record, bytes, basis, state.startedAtMs), state)
    })
  }

  return {
    find(hash, sinceMs) {
      const key = hash.toString('base64url')
      const known = store.get(key)
      if (known !== undefined && isUsable(known, sinceMs)) return known
      return unknown.has(key) ? undefined : read(key, hash, sinceMs)
    },
    noteUse({ serviceAccount: { apiKey }, lastUsedAtMs }) {
      const nowMs = Date.now()
      if (nowMs - Math.max(lastUsedAtMs, notedAtMs.get(apiKey.id) ?? 0) < noteEveryMs) return
      notedAtMs.set(apiKey.id, nowMs)
      directory.noteUse(apiKey.id).catch((error: unknown) => {
        logger.warn({ apiKeyId: apiKey.id, error: String(error) }, 'The use of an API key could not be noted')
      })
    },
    invalidate,
    close() {
      isClosed = true
      unsubscribe()
      invalidate()
    },
  }
}
