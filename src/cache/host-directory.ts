import { LRUCache } from 'lru-cache'
import type { HostDirectory } from '../core/request-path.js'
import { catalogAnswer } from '../postgres/outages/catalog-outage.js'
import type { Coherence } from './changes/coherence.js'

interface KnownHost {
  /** Undefined: it names no tenant. */
  readonly tenantId: string | undefined
  /** `performance.now()` when it was asked for. */
  readonly readAtMs: number
}

/** What {@link createHostDirectory} needs. */
export interface HostDirectoryOptions {
  /** Reads the tenant's id that a host is proven for. */
  readonly read: (host: string) => Promise<string | undefined>
  readonly coherence: Pick<Coherence, 'maxStalenessMs' | 'confirmedAtMs' | 'subscribe'>
  /** Most hosts remembered, those that name nobody included. Default: 10 000; each has at most 253 letters. */
  readonly maxEntries?: number
}

/** Remembers which tenant a host names, until the catalog says that the host has changed. */
export function createHostDirectory({ read, coherence, maxEntries = 10_000 }: HostDirectoryOptions): HostDirectory {
  const hosts = new LRUCache<string, KnownHost>({ max: maxEntries })
  const underway = new Map<string, Promise<string | undefined>>()
  /** Rises with each change that was heard of: what was being read meanwhile is not remembered. */
  let changes = 0
  coherence.subscribe({
    host(name) {
      changes += 1
      hosts.delete(name)
      underway.delete(name)
    },
    all() {
      changes += 1
      hosts.clear()
      underway.clear()
    },
  })

  async function readHost(host: string): Promise<string | undefined> {
    const [readAtMs, before] = [performance.now(), changes]
    const tenantId = await catalogAnswer(read(host), 'host')
    if (changes === before) hosts.set(host, { tenantId, readAtMs })
    return tenantId
  }

  return {
    find(host, sinceMs) {
      const known = hosts.get(host)
      const currentAtMs = Math.max(known?.readAtMs ?? 0, coherence.confirmedAtMs)
      if (known !== undefined && currentAtMs >= sinceMs - coherence.maxStalenessMs) return known.tenantId
      const found = coherence.maxStalenessMs > 0 ? underway.get(host) : undefined
      if (found !== undefined) return found
      const reading = readHost(host).finally(() => {
        if (underway.get(host) === reading) underway.delete(host)
      })
      underway.set(host, reading)
      return reading
    },
  }
}
