import { beforeEach, expect, test } from 'vitest'
import type { CoherenceListener } from '../../src/cache/changes/coherence.js'
import { createHostDirectory } from '../../src/cache/host-directory.js'

let reads: string[]
let owners: Map<string, string>
let listeners: CoherenceListener[]
let coherence: { maxStalenessMs: number; confirmedAtMs: number; subscribe: (listener: CoherenceListener) => () => void }
const read = async (host: string) => {
  reads.push(host)
  return owners.get(host)
}
const now = () => performance.now()

beforeEach(() => {
  reads = []
  owners = new Map([['app.example.org', 'tenant-1']])
  listeners = []
  coherence = {
    maxStalenessMs: 2000,
    confirmedAtMs: Number.POSITIVE_INFINITY,
    subscribe(listener) {
      listeners.push(listener)
      return () => {}
    },
  }
})

test('A known host, and one that names nobody, is answered at once and without a read', async () => {
  const hosts = createHostDirectory({ read, coherence })
  expect(await hosts.find('app.example.org', now())).toBe('tenant-1')
  expect(await hosts.find('nobody.example.org', now())).toBeUndefined()
  expect(hosts.find('app.example.org', now())).toBe('tenant-1')
  expect(hosts.find('nobody.example.org', now())).toBeUndefined()
  expect(reads).toEqual(['app.example.org', 'nobody.example.org'])
})

test('Requests that come at once for an unknown host share one read', async () => {
  const hosts = createHostDirectory({ read, coherence })
  const found = await Promise.all(Array.from({ length: 20 }, async () => hosts.find('app.example.org', now())))
  expect(new Set(found)).toEqual(new Set(['tenant-1']))
  expect(reads).toHaveLength(1)
})

test('A change that is heard of during a read is not overwritten by what the read finds', async () => {
  let answer: (tenant: string) => void = () => {}
  const hosts = createHostDirectory({
    ...{ coherence },
    read: (host) => {
      reads.push(host)
      return reads.length === 1 ? new Promise((resolve) => (answer = resolve)) : Promise.resolve('tenant-2')
    },
  })
  const before = hosts.find('app.example.org', now())
  for (const listener of listeners) listener.host?.('app.example.org')
  answer('tenant-1')
  expect(await before).toBe('tenant-1')
  expect(await hosts.find('app.example.org', now())).toBe('tenant-2')
})

test('While changes cannot be followed, a host is read again after the longest staleness', async () => {
  coherence.confirmedAtMs = 0
  const hosts = createHostDirectory({ read, coherence })
  await hosts.find('app.example.org', now())
  expect(hosts.find('app.example.org', now())).toBe('tenant-1')
  owners.set('app.example.org', 'tenant-2')
  expect(await hosts.find('app.example.org', now() + coherence.maxStalenessMs + 1)).toBe('tenant-2')
})

test('A catalog that does not answer is an error, and is not remembered', async () => {
  let isDown = true
  const hosts = createHostDirectory({
    ...{ coherence },
    read: (host) => (isDown ? Promise.reject(Object.assign(new Error('gone'), { code: 'ECONNREFUSED' })) : read(host)),
  })
  await expect(hosts.find('app.example.org', now())).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
  isDown = false
  expect(await hosts.find('app.example.org', now())).toBe('tenant-1')
})

test('No more hosts are remembered than may be', async () => {
  const hosts = createHostDirectory({ read, coherence, maxEntries: 10 })
  for (let index = 0; index < 50; index += 1) await hosts.find(`h${index}.example.org`, now())
  expect(hosts.find('h49.example.org', now())).toBeUndefined()
  await hosts.find('h0.example.org', now())
  expect(reads).toHaveLength(51)
})
