import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CatalogPool, createCatalogPool, maxCatalogConnections } from '../../src/catalog/catalog-pool.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'
import { testServer } from '../support/server.js'
import { startTcpProxy, type TcpProxy } from '../support/proxies/tcp-proxy.js'

const outage = { code: 'TENANCY_CATALOG_UNAVAILABLE' }

let catalog: TestDatabase
let proxy: TcpProxy
let pool: CatalogPool
let open: () => CatalogPool
beforeAll(async () => {
  catalog = await createTestCatalog()
  const { host, port, user, password } = await testServer()
  proxy = await startTcpProxy({ host, port })
  const account = { host: '127.0.0.1', port: proxy.port, user, password, database: catalog.databaseName }
  open = () => createCatalogPool(account)
  pool = open()
})
afterAll(async () => {
  await pool.end()
  await proxy.close()
  await catalog.drop()
})

it('a connection that breaks while it is in use gives its caller an outage error and does not end the process', async () => {
  const client = await pool.connect()
  await client.query('begin')
  await proxy.set('refuse')
  await expect(client.query('select 1')).rejects.toMatchObject(outage)
  await expect(client.query('rollback')).rejects.toMatchObject(outage)
  client.release(true)
  await expect(pool.connect()).rejects.toMatchObject(outage)
  await expect(pool.query('select 1')).rejects.toMatchObject(outage)
  await proxy.set('pass')
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
})

it('a connection that is used repeatedly accumulates no listeners', async () => {
  const listeners = async () => {
    const client = await pool.native.connect()
    client.release()
    return client.listenerCount('error')
  }
  const before = await listeners()
  for (let use = 0; use < 20; use += 1) {
    const client = await pool.connect()
    await client.query('select 1')
    client.release()
  }
  expect(await listeners()).toBe(before)
})

it('PostgreSQL’s errors about a statement pass unchanged', async () => {
  await expect(pool.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
  const client = await pool.connect()
  await expect(client.query('select nothing')).rejects.toMatchObject({ code: '42703' })
  client.release()
})

it('a caller that waits for a connection when the pool ends is refused at once, like a caller that comes later', async () => {
  const ending = open()
  const held = await Promise.all(Array.from({ length: maxCatalogConnections }, () => ending.connect()))
  const waiting = [ending.connect(), ending.query('select 1')].map((each) => each.catch((error: unknown) => error))
  const ended = ending.end()
  const closed = { code: 'TENANCY_CLOSED' }
  for (const error of await Promise.all(waiting)) {
    expect(error).toMatchObject({ ...closed, cause: { message: 'The pool was ended' } })
  }
  for (const late of [ending.connect(), ending.query('select 1')]) await expect(late).rejects.toMatchObject(closed)
  for (const client of held) client.release()
  await ended
})
