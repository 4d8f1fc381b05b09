// Runs variants of a server in processes of their own and drives each with the same requests, taking turns.
import { fork } from 'node:child_process'
import autocannon from 'autocannon'

/**
 * @param {string} server file to fork; called with a variant's name, it sends `{ url, headers }` when it listens
 * @param {string[]} variants
 * @param {{ rounds?: number, seconds?: number, connections?: number, env?: Record<string, string> }} [options]
 * @returns {Promise<Record<string, number[]>>} requests per second, a value a round
 */
export async function race(server, variants, { rounds = 5, seconds = 3, connections = 16, env = {} } = {}) {
  const running = []
  try {
    for (const variant of variants) running.push(await start(server, variant, env))
    const rates = Object.fromEntries(variants.map((variant) => [variant, []]))
    for (const target of running) await drive(target, 2, connections)
    for (let round = 0; round < rounds; round += 1) {
      // Every round starts with another variant, so that none always runs first.
      for (let index = 0; index < running.length; index += 1) {
        const target = running[(index + round) % running.length]
        rates[target.variant].push(await drive(target, seconds, connections))
      }
    }
    return rates
  } finally {
    await Promise.all(running.map(({ child }) => stop(child)))
  }
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

async function drive({ variant, url, headers }, duration, connections) {
  const result = await autocannon({ url, headers, duration, connections })
  if (result.non2xx > 0 || result.errors > 0) {
    throw new Error(`${variant}: ${result.non2xx} answers other than 2xx, ${result.errors} errors: not a measurement`)
  }
  return result.requests.total / result.duration
}
