// A Redis for a benchmark: the one of TENANT_REDIS_URL, or one of its own that is ended afterwards.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { findFreePort } from '../dist/databases/embedded/postmaster.js'

/** @template Result @param {(url: string) => Promise<Result>} work @returns {Promise<Result>} */
export async function withRedis(work) {
  if (process.env.TENANT_REDIS_URL) return work(process.env.TENANT_REDIS_URL)
  const redis = await startRedis(await findFreePort())
  try {
    return await work(redis.url)
  } finally {
    await redis.stop()
  }
}

/** Starts an empty Redis that keeps nothing on disk. */
export async function startRedis(port) {
  const server = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: 'ignore' },
  )
  const exited = once(server, 'exit')
  const stop = async (signal) => {
    server.kill(signal)
    await exited
  }
  const url = `redis://127.0.0.1:${port}`
  try {
    await answers(url)
  } catch (error) {
    await stop('SIGKILL')
    throw error
  }
  return { url, stop }
}

async function answers(url) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const client = createClient({ url, socket: { reconnectStrategy: false } })
    client.on('error', () => {})
    try {
      await client.connect()
      client.destroy()
      return
    } catch {
      await sleep(50)
    }
  }
  throw new Error('redis-server does not answer: install it, or set TENANT_REDIS_URL')
}
