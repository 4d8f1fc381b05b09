import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { installed } from '../installed-program.js'

/** What {@link startRedisProcess} needs. */
export const redisServer = installed('redis-server')

/** A Redis of a test's own, which keeps its data when it is killed. */
export interface RedisProcess {
  readonly url: string
  /** Ends it with SIGKILL. */
  kill(): Promise<void>
  /** Starts it again, with the data that it had. */
  start(): Promise<void>
  /** Ends it, and removes its data. */
  close(): Promise<void>
}

/** Starts Redis on a free port of 127.0.0.1; it answers when this resolves. */
export async function startRedisProcess(): Promise<RedisProcess> {
  const folder = await mkdtemp(join(tmpdir(), 't2f-redis-'))
  const port = await freePort()
  const args = [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder],
    ...['--save', '', '--appendonly', 'yes', '--appendfsync', 'always'],
  ]
  let child: ChildProcess | undefined
  const start = async () => {
    child = spawn('redis-server', args, { stdio: 'ignore' })
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('redis-server ended')))
    ended.catch(() => {})
    await Promise.race([answers(port), ended])
  }
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    ...{ start, kill },
    async close() {
      await kill()
      await rm(folder, { recursive: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Waits until it has loaded its data. */
async function answers(port: number): Promise<void> {
  for (;;) {
    const socket = connect({ port, host: '127.0.0.1' })
    const answer = await new Promise<string>((resolve) => {
      socket.once('error', () => resolve('')).once('data', (data) => resolve(data.toString()))
      socket.once('connect', () => socket.write('PING\r\n'))
    })
    socket.destroy()
    if (answer.startsWith('+PONG')) return
    await sleep(20)
  }
}
