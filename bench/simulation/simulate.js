// Runs an open stream of requests of many tenants against one policy, in virtual time.
import { Clock, createRandom } from './clock.js'
import { createMeter } from './meter.js'
import { Server } from './server.js'

const deadlineMs = 5000
const warmUpMs = 5000

/**
 * @param {{
 *   Policy: new (options: any) => any, Allocator?: unknown, settings?: object,
 *   zipf: number, tenants?: number, requestsPerSecond?: number, clients?: number, noisyPerSecond?: number, noisyHoldMs?: number, seconds?: number, seed?: number,
 *   costs?: Partial<typeof import('./server.js').costs>,
 * }} options `requestsPerSecond`: an open loop; `clients`: a closed one; `noisyPerSecond`: what one more tenant asks for, beside
 *   those that share `requestsPerSecond`; `noisyHoldMs`: how much longer it keeps each connection (default 0)
 */
export function simulate(options) {
  const {
    Policy,
    zipf,
    tenants = 1000,
    requestsPerSecond = 0,
    clients = 0,
    noisyPerSecond = 0,
    noisyHoldMs = 0,
    seconds = 15,
    seed = 1,
    costs,
  } = options
  const clock = new Clock()
  const server = new Server(clock, createRandom(seed), costs)
  const policy = new Policy({ ...options, clock, server })
  const others = createMeter()
  const noisy = createMeter()

  const pick = createZipf(tenants, zipf, createRandom(seed + 1))
  if (clients > 0) for (let client = 0; client < clients; client += 1) askAgain()
  else stream(requestsPerSecond, createRandom(seed + 2), () => ask(pick(), others))
  if (noisyPerSecond > 0)
    stream(noisyPerSecond, createRandom(seed + 3), () => ask('noisy', noisy, undefined, noisyHoldMs))
  repeat(10, () => policy.refuseSince(clock.nowMs - deadlineMs))

  clock.runUntil(warmUpMs)
  const openedBefore = policy.opened
  clock.runUntil(warmUpMs + seconds * 1000)
  return {
    ...others.figures(seconds),
    noisy: noisy.figures(seconds),
    opensPerThousand: (1000 * (policy.opened - openedBefore)) / (others.served + noisy.served),
  }

  function stream(perSecond, random, onRequest) {
    const next = () => {
      onRequest()
      clock.after((-Math.log(1 - random()) * 1000) / perSecond, next)
    }
    clock.after(0, next)
  }

  /** A client that asks again as soon as it is answered. */
  function askAgain() {
    ask(pick(), others, () => clock.after(0, askAgain))
  }

  function repeat(everyMs, callback) {
    clock.after(everyMs, () => {
      callback()
      repeat(everyMs, callback)
    })
  }

  function ask(key, meter, onAnswer = () => {}, holdMs = 0) {
    const sinceMs = clock.nowMs
    const isCounted = () => clock.nowMs >= warmUpMs
    policy.acquire(key, {
      granted(connection) {
        const waitMs = clock.nowMs - sinceMs
        const done = () => {
          if (isCounted()) meter.onServed(key, waitMs)
          policy.release(connection)
          onAnswer()
        }
        server.checkout(holdMs === 0 ? done : () => clock.after(holdMs, done))
      },
      refused() {
        if (isCounted()) meter.onRefused(key, deadlineMs)
        onAnswer()
      },
    })
  }
}

/** Draws tenants by rank: the one of rank r with a weight of 1 / r^s. @param {number} tenants @param {number} s @param {() => number} random */
function createZipf(tenants, s, random) {
  const sums = []
  let sum = 0
  for (let rank = 1; rank <= tenants; rank += 1) sums.push((sum += rank ** -s))
  return () => {
    const drawn = random() * sum
    let low = 0
    let high = tenants - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle] < drawn) low = middle + 1
      else high = middle
    }
    return `t${low}`
  }
}
