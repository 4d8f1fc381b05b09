import { expect, test } from 'vitest'
import { DrrPolicy, FifoPolicy, limits, RoundRobinPolicy } from '../../../bench/simulation/policies.js'
import { capacityPerSecond } from '../../../bench/simulation/server.js'
import { simulate } from '../../../bench/simulation/simulate.js'
import { Allocator } from '../../../src/connections/allocation/allocator.js'

// Time is virtual: figures are the same on every machine, however slow.
const run = (options: Omit<Parameters<typeof simulate>[0], 'Allocator' | 'seconds'>) =>
  simulate({ ...options, Allocator, seconds: 4 })

const requestsPerSecond = 0.04 * capacityPerSecond

test('a simulation gives the same figures every time', () => {
  const options = { Policy: DrrPolicy, zipf: 1, clients: 64 }
  expect(run(options)).toEqual(run(options))
})

test.each([0.8, 1, 1.2])('a tenant at three times the load of all others hardly delays them (zipf %d)', (zipf) => {
  const quiet = run({ Policy: DrrPolicy, zipf, requestsPerSecond })
  const noisy = run({ Policy: DrrPolicy, zipf, requestsPerSecond, noisyPerSecond: 3 * requestsPerSecond })
  expect(noisy.p99).toBeLessThanOrEqual(1.5 * quiet.p99)
  expect(noisy.refused).toBe(0)
  expect(noisy.jain).toBeGreaterThan(0.99)
})

test.each([0.8, 1, 1.2])(
  'the scheduler serves more than other policies when connections change tenants all the time (zipf %d)',
  (zipf) => {
    for (const load of [{ clients: 64 }, { requestsPerSecond: 0.1 * capacityPerSecond }]) {
      const scheduler = run({ Policy: DrrPolicy, zipf, ...load })
      for (const Policy of [FifoPolicy, RoundRobinPolicy]) {
        const other = run({ Policy, zipf, ...load })
        expect(scheduler.throughput).toBeGreaterThan(1.15 * other.throughput)
        expect(scheduler.opensPerThousand).toBeLessThan(other.opensPerThousand)
      }
      expect(scheduler.refused).toBe(0)
    }
  },
)

test('under overload the scheduler serves several times as much as first in, first out', () => {
  const load = { zipf: 1, requestsPerSecond: 0.5 * capacityPerSecond }
  const scheduler = run({ Policy: DrrPolicy, ...load })
  expect(scheduler.throughput).toBeGreaterThan(4 * run({ Policy: FifoPolicy, ...load }).throughput)
})

test.each([32, 128])('no request of %d at a time waits half a second because its tenant is in debt', (clients) => {
  const costs = { cores: 2, connectCpuMs: 6, checkoutCpuMs: 0.6 }
  for (const seed of [1, 2, 3]) {
    const load = { zipf: 1, tenants: 300, clients, seconds: 10, costs, seed }
    expect(simulate({ Policy: DrrPolicy, Allocator, ...load }).longest).toBeLessThan(500)
  }
})

test('no waiter on a slow server reaches its deadline because its tenant is in debt', () => {
  const costs = { cores: 1, connectCpuMs: 10, checkoutCpuMs: 1 }
  for (const seed of [1, 2, 3]) {
    const { refused, longest } = simulate({
      Policy: DrrPolicy,
      Allocator,
      zipf: 1,
      clients: 64,
      seconds: 40,
      costs,
      seed,
    })
    expect(refused).toBe(0)
    expect(longest).toBeLessThan(2000)
  }
})

test('the limits in the simulation are those of the scheduler', async () => {
  const { createConnectionScheduler } = await import('../../../src/connections/scheduler.js')
  const scheduler = createConnectionScheduler()
  expect(scheduler.stats().maxConnections).toBe(limits.maxConnections)
  await scheduler.close()
})
