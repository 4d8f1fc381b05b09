import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { ownCopy } from '../../../../src/connections/session/client/pg-copy.js'
import { SchemaEffectsCache } from '../../../../src/connections/session/schema/schema-effects-cache.js'
import { type SchemaEffects, schemaEffectsQuery } from '../../../../src/connections/session/schema/schema-effects.js'
import { schemaFingerprintQueries } from '../../../../src/connections/session/schema/schema-fingerprint.js'
import { sessionClientClass } from '../../../../src/connections/session/client/session-client-class.js'
import type { SessionClient } from '../../../../src/connections/session/client/session-client.js'
import type { Logger } from '../../../../src/core/logger.js'
import { KnownFingerprints } from '../../../../src/connections/session/schema/known-fingerprints.js'
import { quoteIdentifier } from '../../../../src/postgres/text/quote.js'
import { testServer, uniqueName, withAdmin } from '../../../support/server.js'

const warn = vi.fn<Logger['warn']>()
const logger = { debug: () => {}, info: () => {}, warn, error: () => {} }
const origin = uniqueName()
const clones = [uniqueName(), uniqueName(), uniqueName()] as const
const [one, other, third] = clones
const clients: SessionClient[] = []

beforeAll(async () => {
  await withAdmin((admin) => admin.query(`create database ${quoteIdentifier(origin)} template template0`))
  await withAdmin(async (admin) => {
    await admin.query('create table items (id serial primary key, name text)')
    await admin.query("create function leak() returns trigger language plpgsql as 'begin return new; end'")
  }, origin)
  await withAdmin(async (admin) => {
    for (const name of clones)
      await admin.query(`create database ${quoteIdentifier(name)} template ${quoteIdentifier(origin)}`)
  })
})

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => {})))
  warn.mockClear()
})

afterAll(async () => {
  await withAdmin(async (admin) => {
    for (const name of [...clones, origin])
      await admin.query(`drop database if exists ${quoteIdentifier(name)} with (force)`)
  })
})

/** A connection, and the questions that it was asked since the last look. */
async function session(database: string): Promise<{ readonly client: SessionClient; readonly asked: () => string[] }> {
  const { host, port, user, password } = await testServer()
  const client = new (sessionClientClass(ownCopy))({ host, port, user, password, database }, true)
  client.onLost = () => {}
  await client.connect()
  clients.push(client)
  const read = vi.spyOn(client, 'read')
  const last = schemaFingerprintQueries.at(-1)
  const names = new Map([
    ...schemaFingerprintQueries.map((query) => [query, query === last ? 'fingerprint' : 'part'] as const),
    [schemaEffectsQuery, 'whole'],
  ])
  const asked = (): string[] =>
    read.mock.calls
      .splice(0)
      .map(([text]) => names.get(text) ?? text)
      .filter((name) => name !== 'part')
  return { client, asked }
}

/** Uses a database so often, and lets the cache learn after each use. */
async function use(cache: SchemaEffectsCache, key: string, client: SessionClient, times: number): Promise<void> {
  for (let done = 0; done < times; done += 1) {
    if (!cache.isCurrent(key, client, performance.now())) cache.countUse(key)
    expect(await cache.learn(key, client, true)).toBe(true)
  }
}

test('what one database runs is asked once for all clones of a template, and of each only its fingerprint', async () => {
  const cache = new SchemaEffectsCache(logger)
  const first = await session(one)
  await use(cache, one, first.client, 15)
  expect(first.asked()).toEqual([])
  await use(cache, one, first.client, 10)
  expect(first.asked()).toEqual(['whole'])
  expect(first.client.schemaEffects).toMatchObject({ everywhere: false, onInsert: new Set(['items']) })

  const second = await session(other)
  await use(cache, other, second.client, 2)
  expect(second.asked()).toEqual([])
  await use(cache, other, second.client, 10)
  expect(second.asked()).toEqual(['fingerprint'])
  expect(second.client.schemaEffects).toBe(first.client.schemaEffects)
})

test('after the answer was forgotten or is ten minutes old, the fingerprint alone is asked', async () => {
  const cache = new SchemaEffectsCache(logger)
  const { client, asked } = await session(one)
  await use(cache, one, client, 16)
  expect(asked()).toEqual(['whole'])
  cache.forget(one)
  expect(cache.isCurrent(one, client, performance.now())).toBe(false)
  await use(cache, one, client, 1)
  expect(asked()).toEqual(['fingerprint'])
  const laterMs = performance.now() + 600_001
  expect(cache.isCurrent(one, client, laterMs)).toBe(false)
  cache.forgetOld(laterMs)
  await use(cache, one, client, 3)
  expect(asked()).toEqual(['fingerprint'])
  expect(cache.isCurrent(one, client, performance.now())).toBe(true)
})

test('a database that somebody changed is not taken for a clone of its template', async () => {
  const cache = new SchemaEffectsCache(logger)
  const first = await session(one)
  await use(cache, one, first.client, 16)
  const changed = await session(third)
  await withAdmin(
    (admin) => admin.query('create trigger late before update on items for each row execute function leak()'),
    third,
  )
  await use(cache, third, changed.client, 15)
  // It is a stranger: its whole question waits until it is worth it.
  expect(changed.asked()).toEqual(['fingerprint'])
  expect(changed.client.schemaEffects).toBeUndefined()
  await use(cache, third, changed.client, 1)
  expect(changed.asked()).toEqual(['whole'])
  expect(changed.client.schemaEffects).toMatchObject({ onWrite: new Set(['items', 'pg_settings']) })
  expect(first.client.schemaEffects).toMatchObject({ onWrite: new Set(['pg_settings']) })
})

test('databases that are asked at once ask the whole one after the other, and those of one template once', async () => {
  const cache = new SchemaEffectsCache(logger)
  const sessions = [await session(one), await session(other)] as const
  for (let done = 0; done < 16; done += 1) for (const key of [one, other]) cache.countUse(key)
  await Promise.all([cache.learn(one, sessions[0].client, true), cache.learn(other, sessions[1].client, true)])
  expect([sessions[0].asked(), sessions[1].asked()]).toEqual([['whole'], []])
  expect(sessions[1].client.schemaEffects).toBeUndefined()
  expect(cache.isCurrent(other, sessions[1].client, performance.now())).toBe(false)
  await use(cache, other, sessions[1].client, 1)
  expect(sessions[1].asked()).toEqual(['fingerprint'])
})

test('a change that is made while the fingerprint is asked is seen by the next question', async () => {
  const cache = new SchemaEffectsCache(logger)
  const { client, asked } = await session(other)
  await use(cache, other, client, 16)
  expect(asked()).toEqual(['whole'])
  cache.forget(other)
  const learning = cache.learn(other, client, true)
  cache.forget(other)
  await learning
  expect(cache.isCurrent(other, client, performance.now())).toBe(false)
})

test('a connection that is lost while it is asked leaves the next one the right to ask', async () => {
  const cache = new SchemaEffectsCache(logger)
  const { client } = await session(one)
  for (let done = 0; done < 16; done += 1) cache.countUse(one)
  const learning = cache.learn(one, client, true)
  client.destroy()
  expect(await learning).toBe(false)
  cache.forget(one)
  const next = await session(one)
  await use(cache, one, next.client, 1)
  expect(next.asked()).toEqual(['whole'])
  expect(next.client.schemaEffects).toMatchObject({ everywhere: false })
})

test('when the fingerprint cannot be read, every statement is followed by a reset', async () => {
  const cache = new SchemaEffectsCache(logger)
  const { client } = await session(one)
  await use(cache, one, client, 16)
  cache.forget(one)
  vi.mocked(client.read).mockRejectedValueOnce(new Error('permission denied'))
  await use(cache, one, client, 1)
  expect(client.schemaEffects?.everywhere).toBe(true)
  expect(warn).toHaveBeenCalledTimes(1)
})

test('while a connection is in use, its database is asked after 128 uses only', async () => {
  const cache = new SchemaEffectsCache(logger)
  const { client, asked } = await session(one)
  for (let uses = 0; uses < 127; uses += 1) {
    cache.countUse(one)
    expect(await cache.learn(one, client, false)).toBe(true)
  }
  expect(asked()).toEqual([])
  expect(cache.isDue(one, client, performance.now())).toBe(true)
  cache.countUse(one)
  await cache.learn(one, client, false)
  expect(asked()).toEqual(['whole'])
  expect(cache.isDue(one, client, performance.now())).toBe(false)
})

test('while a connection is in use, one part of the fingerprint is asked after each use', async () => {
  const cache = new SchemaEffectsCache(logger)
  await use(cache, one, (await session(one)).client, 16)
  const { client, asked } = await session(other)
  const read = vi.mocked(client.read)
  for (let uses = 1; uses <= schemaFingerprintQueries.length + 2; uses += 1) {
    expect(cache.isCurrent(other, client, performance.now())).toBe(false)
    cache.countUse(other)
    await cache.learn(other, client, false)
    expect(read).toHaveBeenCalledTimes(Math.max(0, uses - 2))
  }
  expect(asked()).toEqual(['fingerprint'])
  expect(cache.isCurrent(other, client, performance.now())).toBe(true)
})

test('a fingerprint that was asked for before the schema was forgotten counts for nothing afterwards', async () => {
  const cache = new SchemaEffectsCache(logger)
  await use(cache, one, (await session(one)).client, 16)
  const { client } = await session(other)
  const read = vi.mocked(client.read)
  for (let uses = 0; uses < 3; uses += 1) cache.countUse(other)
  const learning = cache.learn(other, client, true)
  await vi.waitFor(() => expect(read).toHaveBeenCalledTimes(schemaFingerprintQueries.length))
  cache.forget(other)
  expect(await learning).toBe(true)
  expect(cache.isCurrent(other, client, performance.now())).toBe(false)
  read.mockClear()
  await cache.learn(other, client, true)
  expect(read).toHaveBeenCalledTimes(schemaFingerprintQueries.length)
})

test('remembered fingerprints have 100,000 names at most, and those that were not used go first', () => {
  const known = new KnownFingerprints()
  const none = new Set<string>()
  const effects = (names: number): SchemaEffects => ({
    everywhere: false,
    onRead: new Set(Array.from({ length: names }, (_, at) => `t${at}`)),
    onInsert: none,
    onWrite: none,
  })
  const [small, large] = [effects(99), effects(99_900)]
  for (let at = 0; at < 1000; at += 1) known.add(`f${at}`, small)
  expect(known.size).toBe(1000)
  expect(known.get('f0')).toBe(small)
  known.add('f1000', small)
  expect([known.get('f0'), known.get('f1')]).toEqual([small, undefined])
  for (let at = 0; at < 3000; at += 1) known.add('again', small)
  expect(known.size).toBe(1000)
  known.add('large', large)
  expect(known.size).toBe(1)
  known.add('larger', effects(100_000))
  expect(known.size).toBe(0)
})
