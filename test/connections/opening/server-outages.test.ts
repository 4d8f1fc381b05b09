import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ServerOutages } from '../../../src/connections/opening/server-outages.js'
import { TenancyError } from '../../../src/core/errors/errors.js'
import type { TenantPool } from '../../../src/core/tenants/tenant-pool.js'
import { useScheduler } from '../fixture.js'
import { startTcpProxy, type TcpProxy } from '../../support/proxies/tcp-proxy.js'

describe('bookkeeping', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const databaseError = (code: string) =>
    Object.assign(new pg.DatabaseError('no', 2, 'error'), { severity: 'FATAL', code })
  const isHeld = (outages: ServerOutages, nowMs: number): boolean => {
    try {
      outages.admit('a:1', nowMs)
      return false
    } catch (error) {
      expect(error).toMatchObject({ code: 'TENANCY_DATABASE_UNAVAILABLE', statusCode: 503, retryAfterSeconds: 1 })
      return true
    }
  }

  test('three failures in a row hold callers off for at most half a second, one or two do not', () => {
    const outages = new ServerOutages()
    for (let failure = 0; failure < 2; failure += 1) {
      outages.failed('a:1', refused, 0)
      expect(isHeld(outages, 0)).toBe(false)
    }
    for (let nowMs = 0; nowMs < 60_000; nowMs += 600) {
      outages.failed('a:1', refused, nowMs)
      expect(isHeld(outages, nowMs)).toBe(true)
      expect(isHeld(outages, nowMs + 500)).toBe(false)
    }
  })

  test('one caller tries a server that is down for all, and another one after a second if that try hangs', () => {
    const outages = new ServerOutages()
    for (let failure = 0; failure < 3; failure += 1) outages.failed('a:1', refused, 0)
    expect([isHeld(outages, 500), isHeld(outages, 501), isHeld(outages, 1499)]).toEqual([false, true, true])
    expect([isHeld(outages, 1500), isHeld(outages, 1501)]).toEqual([false, true])
    outages.answered('a:1')
    expect([isHeld(outages, 1502), isHeld(outages, 1503)]).toEqual([false, false])
  })

  test.each([
    ['a crash', databaseError('57P02'), true],
    ['a session that somebody ended', databaseError('57P01'), false],
    ['a server that starts', databaseError('57P03'), true],
    ['a broken connection', new Error('Connection terminated unexpectedly'), true],
    ['a wrong password', databaseError('28P01'), false],
    ['a missing database', databaseError('3D000'), false],
    ['too many connections', databaseError('53300'), false],
    ['the wrong database', new TenancyError('TENANCY_DATABASE_IDENTITY_MISMATCH'), false],
  ])('%s counts as an outage, or as an answer of the server', (_name, error, isOutage) => {
    const outages = new ServerOutages()
    for (let failure = 0; failure < 5; failure += 1) outages.failed('a:1', error, 0)
    expect(isHeld(outages, 0)).toBe(isOutage)
  })

  test('an answer of one server does not end the outage of another', () => {
    const outages = new ServerOutages()
    for (let failure = 0; failure < 3; failure += 1) outages.failed('a:1', refused, 0)
    outages.answered('b:1')
    expect(isHeld(outages, 0)).toBe(true)
    expect(() => outages.admit('b:1', 0)).not.toThrow()
  })
})

describe('a server that goes and comes back under load', () => {
  const { start, stats, current, databases } = useScheduler(3)
  let proxy: TcpProxy

  beforeEach(async () => {
    const account = databases[0]?.target.account
    if (account === undefined) throw new Error('not set up')
    proxy = await startTcpProxy(account)
  })
  afterEach(() => proxy.close())

  function throughProxy(): TenantPool[] {
    return databases.map(({ key, target }) =>
      current().pool(key, async () => ({
        ...target,
        account: { ...target.account, host: '127.0.0.1', port: proxy.port },
      })),
    )
  }

  test.each(['reset', 'silence'] as const)(
    'a server that goes and comes back under load (%s) causes only 503s and few tries, and serves soon after its return',
    { timeout: 60_000 },
    async (mode) => {
      start({ maxConnections: 6, acquireTimeoutMs: 1500 })
      const pools = throughProxy()
      const codes = new Set<string>()
      let answered = 0
      let isOver = false
      const clients = Array.from({ length: 24 }, async (_, index) => {
        while (!isOver) {
          try {
            await pools[index % 3]!.query('select $1::int', [index])
            answered += 1
          } catch (error) {
            codes.add((error as { code?: string }).code ?? (error as Error).message)
          }
          await sleep(5)
        }
      })
      await expect.poll(() => answered).toBeGreaterThan(48)

      await proxy.set(mode)
      proxy.breakAll()
      await sleep(300)
      const [triesBefore, startedMs] = [proxy.accepted, performance.now()]
      await sleep(2000)
      const triesPerSecond = ((proxy.accepted - triesBefore) * 1000) / (performance.now() - startedMs)
      expect(triesPerSecond).toBeLessThan(20)

      answered = 0
      proxy.breakAll()
      await proxy.set('pass')
      await expect.poll(() => answered, { timeout: 20_000 }).toBeGreaterThan(24)
      isOver = true
      await Promise.all(clients)
      // Queries that were under way fail with their own error, all others with a code of this library.
      for (const code of codes) {
        expect(code).toMatch(
          /^(?:TENANCY_DATABASE_UNAVAILABLE|TENANCY_CONNECTION_TIMEOUT|ECONNRESET|Connection terminated.*)$/,
        )
      }
      expect(codes).toContain('TENANCY_DATABASE_UNAVAILABLE')
      await expect.poll(() => stats()).toMatchObject({ waiting: 0, inUse: 0 })
    },
  )
})
