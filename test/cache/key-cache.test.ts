import { randomBytes, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { createKeyCache } from '../../src/cache/api-keys/key-cache.js'
import type { ApiKeyDirectory, ApiKeyRecord } from '../../src/core/identity/api-keys.js'
import { silentLogger } from '../http/fixture.js'
import { memberRecord } from './member-record.js'

type Listener = Parameters<Parameters<typeof createKeyCache>[0]['coherence']['subscribe']>[0]

function setUp(maxStalenessMs = 2000) {
  const reads: number[] = []
  const uses: string[] = []
  const records = new Map<string, ApiKeyRecord>()
  const listeners: Listener[] = []
  const failures: Error[] = []
  const coherence = {
    ...{ maxStalenessMs, confirmedAtMs: performance.now() },
    subscribe(listener: Listener) {
      listeners.push(listener)
      return () => {}
    },
  }
  const directory: ApiKeyDirectory = {
    async findKeys(hashes) {
      reads.push(hashes.length)
      const [failure] = failures
      if (failure !== undefined) throw failure
      return hashes.map((hash) => records.get(hash.toString('hex')))
    },
    async noteUse(keyId) {
      uses.push(keyId)
    },
  }
  const cache = createKeyCache({ directory, coherence, logger: silentLogger, maxEntries: 100 })
  const add = (given: Partial<ApiKeyRecord> = {}) => {
    const hash = randomBytes(32)
    const { tenant, grants, schemaVersion, tenantEpoch, rulesEpoch } = memberRecord(randomUUID(), randomUUID())
    const id = randomUUID()
    const record: ApiKeyRecord = {
      ...{ tenant, grants, schemaVersion, tenantEpoch, rulesEpoch, isInForce: true, formerSlugs: [], lastUsedAtMs: 0 },
      serviceAccount: { id, name: 'A', tenantId: tenant.id, apiKey: { id, name: 'K', prefix: 't2f_00000000' } },
      responsible: undefined,
      ...given,
    }
    records.set(hash.toString('hex'), record)
    return { hash, record }
  }
  return { cache, coherence, add, reads, uses, records, failures, tell: listeners[0] as Listener }
}

test('A key that is current is found without a query; a change of its tenant, or of who answers for it, has it read again', async () => {
  const { cache, add, reads, tell } = setUp()
  const responsible = { id: randomUUID(), epoch: 5 }
  const { hash, record } = add({ responsible })
  expect((await cache.find(hash, performance.now()))?.value).toBe(record)
  expect(cache.find(hash, performance.now())).not.toBeInstanceOf(Promise)
  expect(reads).toEqual([1])
  for (const change of [
    () => tell.tenant?.(record.tenant.id, record.tenantEpoch + 1),
    () => tell.user?.(responsible.id, 6),
    () => tell.rules?.(2),
    () => tell.all?.(),
  ]) {
    change()
    const found = cache.find(hash, performance.now())
    expect(found).toBeInstanceOf(Promise)
    await found
  }
  expect(reads).toHaveLength(5)
  tell.tenant?.(randomUUID(), 1)
  expect(cache.find(hash, performance.now())).not.toBeInstanceOf(Promise)
})

test('Nothing is used that is not confirmed within the bound, nor after its own end, nor once the cache is closed', async () => {
  const { cache, add, reads } = setUp()
  const { hash } = add()
  const ending = add({ grants: { roles: [], permissionIds: [], changesAtMs: Date.now() - 1 } })
  await cache.find(hash, performance.now())
  await cache.find(hash, performance.now() + 2001)
  expect(reads).toHaveLength(2)
  await cache.find(ending.hash, performance.now())
  await cache.find(ending.hash, performance.now())
  expect(reads).toHaveLength(4)
  cache.close()
  await cache.find(hash, performance.now())
  expect(reads).toHaveLength(5)
})

test('Hashes that no key has are remembered up to a number, and their look-ups share queries', async () => {
  const { cache, reads } = setUp()
  const hash = randomBytes(32)
  expect(await cache.find(hash, performance.now())).toBeUndefined()
  expect(cache.find(hash, performance.now())).toBeUndefined()
  expect(reads).toHaveLength(1)
  await Promise.all(Array.from({ length: 2000 }, async () => cache.find(randomBytes(32), performance.now())))
  expect(reads.length).toBeLessThan(10)
  expect(cache.find(hash, performance.now())).toBeInstanceOf(Promise)
})

test('While the catalog does not answer, a look-up says so, and the next one asks again', async () => {
  const { cache, add, failures } = setUp()
  const { hash, record } = add()
  failures.push(Object.assign(new Error('gone'), { code: 'ECONNREFUSED' }))
  await expect(cache.find(hash, performance.now())).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
  failures.pop()
  expect((await cache.find(hash, performance.now()))?.value).toBe(record)
})

test('A use is noted once in five minutes, and not at all if another process has noted one', () => {
  const { cache, add, uses } = setUp()
  const { record } = add()
  cache.noteUse(record)
  cache.noteUse(record)
  cache.noteUse(add({ lastUsedAtMs: Date.now() - 1000 }).record)
  expect(uses).toEqual([record.serviceAccount.apiKey.id])
})
