import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isTenancyError } from '../../src/core/errors/errors.js'
import { useScheduler } from './fixture.js'

const scheduler = useScheduler(3)
const names = ['open', 'close', 'eviction', 'reject', 'connect-failed', 'identity-mismatch']
let heard: { name: string; message: Record<string, unknown> }[] = []
const listeners = new Map(
  names.map((name) => [
    `tenants2fast:connection:${name}`,
    (message: unknown) => void heard.push({ name, message: message as Record<string, unknown> }),
  ]),
)

beforeEach(() => {
  heard = []
  for (const [name, listener] of listeners) subscribe(name, listener)
})
afterEach(() => {
  for (const [name, listener] of listeners) unsubscribe(name, listener)
})

const heardOf = (name: string) => heard.filter((event) => event.name === name).map((event) => event.message)

test('opening, evicting and closing a connection are announced with the tenant', async () => {
  const [first, second] = scheduler.start({ maxConnections: 1 })
  const [one, other] = scheduler.databases
  await first?.query('select 1')
  await second?.query('select 1')
  expect(heardOf('open')).toEqual([
    { tenant: one?.key, label: one?.key, durationMs: expect.any(Number) },
    { tenant: other?.key, label: other?.key, durationMs: expect.any(Number) },
  ])
  expect(heardOf('eviction')).toEqual([{ tenant: one?.key, label: one?.key, inFavourOf: other?.key }])
  await scheduler.current().close()
  expect(heardOf('close').map(({ tenant }) => tenant)).toEqual([one?.key, other?.key])
  expect(heardOf('reject')).toEqual([])
})

test('a refused caller is announced with the reason and the time waited', async () => {
  const [pool] = scheduler.start({ maxConnections: 1, maxWaitersPerTenant: 1, acquireTimeoutMs: 1000 })
  const client = await pool?.connect()
  const signal = AbortSignal.timeout(20)
  const waiting = pool?.query({ text: 'select 1', signal } as { text: string }).catch((error: Error) => error)
  const refused = await pool?.query('select 1').catch((error: Error) => error)
  expect(isTenancyError(refused, 'TENANCY_CONNECTION_QUEUE_FULL')).toBe(true)
  expect(isTenancyError(await waiting, 'TENANCY_CONNECTION_ABORTED')).toBe(true)
  client?.release()
  const key = scheduler.databases[0]?.key
  expect(heardOf('reject')).toEqual([
    { tenant: key, label: key, error: refused, waitedMs: expect.any(Number) },
    { tenant: key, label: key, error: await waiting, waitedMs: expect.any(Number) },
  ])
})

test('a connection that cannot be opened, or reaches a wrong database, is announced', async () => {
  scheduler.start()
  const [one, other] = scheduler.databases
  if (one === undefined || other === undefined) throw new Error('There are databases')
  const broken = { ...one.target, account: { ...one.target.account, port: 1 } }
  const wrong = { ...one.target, databaseId: other.target.databaseId }
  const open = (name: string, target: typeof broken) =>
    scheduler
      .current()
      .pool(one.key, () => Promise.resolve(target), name)
      .query('select 1')
      .catch((error: Error) => error)
  await open('broken', broken)
  await open('wrong', wrong)
  expect(heardOf('connect-failed')).toEqual([
    { tenant: one.key, label: 'broken', error: expect.objectContaining({ code: 'TENANCY_DATABASE_UNAVAILABLE' }) },
  ])
  expect(heardOf('identity-mismatch')).toEqual([
    { tenant: one.key, label: 'wrong', error: expect.objectContaining({ code: 'TENANCY_DATABASE_IDENTITY_MISMATCH' }) },
  ])
  expect(scheduler.stats()).toMatchObject({ connectFailures: 2, identityMismatches: 1 })
})
