import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { createBuildQueue } from '../../../src/databases/building/build-queue.js'
import { createStock } from '../../../src/databases/building/stock.js'

const logged: { fields: object; message: string }[] = []
const logger = {
  debug() {},
  info() {},
  warn() {},
  error: (fields: object, message: string) => void logged.push({ fields, message }),
}
const reconcile = async () => {}

test('A refill of the stock continues after an error, logs it, and ends with a full stock', async () => {
  let built = 0
  let calls = 0
  const stock = createStock({
    reconcile,
    workers: 1,
    logger,
    retryDelayMs: 1,
    buildOne: async () => {
      calls += 1
      if (calls < 4) throw new Error('no room')
      if (built === 2) return false
      built += 1
      return true
    },
  })
  stock.refill()
  await vi.waitFor(() => expect(built).toBe(2))
  await stock.close()
  expect(logged.map(({ message }) => message)).toEqual(
    Array.from({ length: 3 }, () => 'No tenant database could be built for the stock'),
  )
  expect(logged.map(({ fields }) => (fields as { retryInMs: number }).retryInMs)).toEqual([1, 2, 4])
})

test('Any number of refills requested during a refill cause one more refill', async () => {
  let looks = 0
  let finish: ((isFull: boolean) => void) | undefined
  const stock = createStock({
    reconcile,
    workers: 1,
    logger,
    buildOne: () =>
      new Promise((resolve) => {
        looks += 1
        finish = resolve
      }),
  })
  stock.refill()
  await vi.waitFor(() => expect(looks).toBe(1))
  for (let asked = 0; asked < 5; asked += 1) stock.refill()
  finish?.(false)
  await vi.waitFor(() => expect(looks).toBe(2))
  finish?.(false)
  await stock.close()
  expect(looks).toBe(2)
})

test('Closing the stock ends its pause after an error, and starts no further build', async () => {
  let calls = 0
  const stock = createStock({
    reconcile,
    workers: 1,
    logger,
    retryDelayMs: 3_600_000,
    buildOne: () => {
      calls += 1
      return Promise.reject(new Error('no room'))
    },
  })
  stock.refill()
  await vi.waitFor(() => expect(calls).toBe(1))
  await stock.close()
  stock.refill()
  await stock.close()
  expect(calls).toBe(1)
})

test('Filling the stock in the foreground rejects with the error of a build', async () => {
  const stock = createStock({ reconcile, workers: 2, logger, buildOne: () => Promise.reject(new Error('no room')) })
  await expect(stock.fill()).rejects.toThrow('no room')
})

test('A build queue runs a limited number of tasks at a time, urgent ones first, and continues after an error', async () => {
  const queue = createBuildQueue(2)
  const order: string[] = []
  let active = 0
  let most = 0
  const task = (name: string) => async () => {
    active += 1
    most = Math.max(most, active)
    order.push(name)
    await sleep(2)
    active -= 1
    if (name === 'b') throw new Error('b failed')
  }
  const runs = ['a', 'b', 'c', 'd', 'urgent'].map((name) => queue.run(task(name), name === 'urgent'))
  const settled = Promise.allSettled(runs)
  await queue.drained()
  expect(order).toEqual(['a', 'b', 'urgent', 'c', 'd'])
  expect(most).toBe(2)
  expect((await settled).map((result) => result.status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ])
})
