// A thousand tenants on fifty connections in virtual time: the scheduler's own allocator beside first-in-first-out and
// plain round robin, with the same budget, the same cap for one tenant and the same requests. Prints a table of every
// run to standard error; the same on every machine.
import { Allocator } from '../../dist/connections/allocation/allocator.js'
import { figure } from '../figures.js'
import { DrrPolicy, FifoPolicy, RoundRobinPolicy } from './policies.js'
import { capacityPerSecond } from './server.js'
import { simulate } from './simulate.js'

const policies = { scheduler: DrrPolicy, 'FIFO + LRU': FifoPolicy, 'round robin': RoundRobinPolicy }
const zipfs = [0.8, 1, 1.2]
/** Loads, as parts of what the server could do if it never had to open a connection. */
const loads = [0.05, 0.1, 0.5, 0.8, 1.1, 1.5]
const noisyLoad = 0.04

export async function run() {
  console.error('load: part of what the server does without opening connections; waits in ms; refused after 5 s')
  console.error('zipf load           policy        served/s  refused  p50 wait  p99 wait  opens/1000   Jain')
  const figures = []
  for (const zipf of zipfs) {
    for (const load of loads) {
      const runs = compare(`${zipf.toFixed(1)}  ${percent(load)}`, {
        zipf,
        requestsPerSecond: load * capacityPerSecond,
      })
      if (load >= 0.5) figures.push(throughput(`zipf ${zipf.toFixed(1)}, load ${percent(load)}`, runs))
    }
    figures.push(
      throughput(
        `zipf ${zipf.toFixed(1)}, 64 clients`,
        compare(`${zipf.toFixed(1)}  64 clients`, { zipf, clients: 64 }),
      ),
    )
  }
  for (const zipf of zipfs) figures.push(noise(zipf))
  return figures
}

function compare(label, options) {
  const runs = {}
  for (const [name, Policy] of Object.entries(policies)) {
    const result = simulate({ ...options, Policy, Allocator, seconds: 5 })
    runs[name] = result
    const { throughput: served, refused, p50, p99, opensPerThousand, jain } = result
    const columns = [served.toFixed(0), refused, p50.toFixed(1), p99.toFixed(1), opensPerThousand.toFixed(0)]
    console.error(
      label.padEnd(16),
      name.padEnd(13),
      columns.map((text) => String(text).padStart(9)).join(' '),
      jain.toFixed(3).padStart(9),
    )
  }
  return runs
}

function throughput(label, runs) {
  const served = (name) => [runs[name].throughput]
  return figure(
    `simulated throughput, ${label}`,
    'requests/s',
    'FIFO + LRU',
    served('scheduler'),
    served('FIFO + LRU'),
    '> 1',
  )
}

/** Adds a tenant that asks for three times as much as all others together. */
function noise(zipf) {
  const requestsPerSecond = noisyLoad * capacityPerSecond
  const label = `${zipf.toFixed(1)}  ${percent(noisyLoad)}`
  const quiet = compare(label, { zipf, requestsPerSecond })
  const noisy = compare(`${label} + 3x`, { zipf, requestsPerSecond, noisyPerSecond: 3 * requestsPerSecond })
  const p99 = (runs) => [runs.scheduler.p99]
  return figure(
    `simulated p99 of the others, zipf ${zipf.toFixed(1)}, a tenant at 3x`,
    'ms',
    'without it',
    p99(noisy),
    p99(quiet),
    '<= 1.5',
  )
}

function percent(part) {
  return `${Math.round(part * 100)} %`
}
