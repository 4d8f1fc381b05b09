// Runs variants of a server in processes of their own and drives each with the same requests, taking turns.
import { fork } from 'node:child_process'
import autocannon from 'autocannon'

/**
 * What a variant did in one round: requests per second, and requests per second of processor time of its process. On a machine
 * that the load generator shares, the latter swings less.
 *
 * @typedef {{ readonly rate: number, readonly cpuRate: number }} Round
 */

/**
 * @param {string} server file to fork; called with a variant's name, it sends `{ url, headers }` when it listens, and answers
 *   each message with its `process.cpuUsage()`
 * @param {string[]} variants
 * @param {{ starts?: number, rounds?: number, seconds?: number, connections?: number, env?: Record<string, string> }} [options]
 *   `starts`: how often all variants are started anew, because processes of one program differ in what is compiled how;
 *   `rounds`: of each start
 * @returns {Promise<Record<string, Round[]>>}
 */
export async function race(server, variants, options = {}) {
  const { starts = 1, rounds = 5, seconds = 3, connections = 16, env = {} } = options
  const results = Object.fromEntries(variants.map((variant) => [variant, []]))
  for (let count = 0; count < starts; count += 1) {
    const running = []
    try {
      for (const variant of variants) running.push(await start(server, variant, env))
      for (const target of running) await drive(target, 2, connections)
      for (let round = 0; round < rounds; round += 1) {
        // Every round starts with another variant, so that none always runs first.
        for (let index = 0; index < running.length; index += 1) {
          const target = running[(index + round) % running.length]
          results[target.variant].push(await drive(target, seconds, connections))
        }
      }
    } finally {
      await Promise.all(running.map(({ child }) => stop(child)))
    }
  }
  return results
}

function start(server, variant, env) {
  const child = fork(server, [variant], { env: { ...process.env, ...env, NODE_ENV: 'development' } })
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${variant} ended with ${code}`)))
    child.once('message', ({ url, headers }) => resolve({ variant, child, url, headers }))
  })
}

function stop(child) {
  return new Promise((resolve) => {
    if (child.exitCode !== null) return resolve()
    child.once('exit', resolve)
    child.kill('SIGTERM')
  })
}

async function drive({ variant, child, url, headers }, duration, connections) {
  const before = await cpuOf(child)
  const { non2xx, errors, requests, duration: tookSeconds } = await autocannon({ url, headers, duration, connections })
  const after = await cpuOf(child)
  if (non2xx > 0 || errors > 0) {
    throw new Error(`${variant}: ${non2xx} answers other than 2xx, ${errors} errors: not a measurement`)
  }
  const usedUs = after.user + after.system - before.user - before.system
  return { rate: requests.total / tookSeconds, cpuRate: (requests.total / usedUs) * 1e6 }
}

/** @returns {Promise<NodeJS.CpuUsage>} */
function cpuOf(child) {
  return new Promise((resolve) => {
    child.once('message', resolve)
    child.send('cpu')
  })
}
