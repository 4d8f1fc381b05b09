import { AsyncLocalStorage } from 'node:async_hooks'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { useScheduler } from './fixture.js'

const { start } = useScheduler(2)
const caller = new AsyncLocalStorage<string>()

test('a callback runs in the asynchronous context of its caller, not of the code that opened or released the connection', async () => {
  const [a, b] = start({ maxConnections: 1 }) as [TenantPool, TenantPool]
  const ask = (pool: TenantPool, name: string) =>
    caller.run(name, () => new Promise((resolve) => pool.query('select 1', () => resolve(caller.getStore()))))
  const viaClient = (pool: TenantPool, name: string) =>
    caller.run(
      name,
      () =>
        new Promise((resolve, reject) => {
          pool.connect((error, client, release) => {
            if (client === undefined) return reject(error)
            const connected = caller.getStore()
            client.query('select 1', () => {
              const queried = caller.getStore()
              release()
              resolve([connected, queried])
            })
          })
        }),
    )
  for (let round = 0; round < 3; round += 1) {
    const answers = await Promise.all([
      ask(a, 'a1'),
      ask(a, 'a2'),
      ask(b, 'b1'),
      viaClient(a, 'a3'),
      viaClient(b, 'b2'),
      ask(b, 'b3'),
    ])
    expect(answers).toEqual(['a1', 'a2', 'b1', ['a3', 'a3'], ['b2', 'b2'], 'b3'])
  }
})

test('a listener that is bound to no asynchronous context runs in none, not in another caller’s', async () => {
  const [a, b] = start({ maxConnections: 1 }) as [TenantPool, TenantPool]
  await caller.run('a', () => a.query('select 1'))
  await caller.run('b', () => b.query('select 1'))
  const client = await caller.run('b', () => b.connect())
  const heard = new Promise((resolve) => client.once('notification', () => resolve(caller.getStore())))
  await client.query("listen news; notify news, 'x'")
  expect(await heard).toBeUndefined()
  client.release()
  const seen = new Set<unknown>()
  await caller.run('a', async () => {
    const stream = a.query(new QueryStream('select generate_series(1, 500) as n'))
    stream.on('data', () => seen.add(caller.getStore()))
    await new Promise((resolve) => stream.once('end', resolve))
  })
  expect([...seen].filter((name) => name !== undefined && name !== 'a')).toEqual([])
})
