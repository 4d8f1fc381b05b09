import { LRUCache } from 'lru-cache'
import type { Coherence } from './changes/coherence.js'

interface Kept<Value> {
  readonly value: Value
  readonly readAtMs: number
}

/** Values by tenant id, as current as `maxStalenessMs` demands. */
export interface SettingsCache<Value extends object> {
  find(tenantId: string, read: () => Promise<{ readonly value: Value; readonly bytes: number }>): Promise<Value>
  invalidate(tenantId?: string): void
}

/** Makes a cache of at most 2,000 entries and 16 MiB, which changes of their tenants empty. */
export function createSettingsCache<Value extends object>(
  coherence: Pick<Coherence, 'subscribe' | 'confirmedAtMs' | 'maxStalenessMs'>,
): SettingsCache<Value> {
  const entries = new LRUCache<string, Kept<Value>>({ max: 2000, maxSize: 16 * 1024 * 1024 })
  let changes = 0
  const invalidate = (tenantId?: string) => {
    changes += 1
    if (tenantId === undefined) entries.clear()
    else entries.delete(tenantId)
  }
  coherence.subscribe({ tenant: (id) => invalidate(id), all: () => invalidate() })
  return {
    invalidate,
    async find(tenantId, read) {
      const nowMs = performance.now()
      const known = entries.get(tenantId)
      if (
        known !== undefined &&
        coherence.maxStalenessMs > 0 &&
        Math.max(known.readAtMs, coherence.confirmedAtMs) >= nowMs - coherence.maxStalenessMs
      ) {
        return known.value
      }
      const seen = changes
      const { value, bytes } = await read()
      // A change that was reported meanwhile may be one of this tenant, after the read.
      if (seen === changes) entries.set(tenantId, { value, readAtMs: nowMs }, { size: 500 + bytes })
      return value
    },
  }
}
