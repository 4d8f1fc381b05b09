import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createInstallation, type Installation } from '../../support/installation.js'
import { startNode } from '../../support/processes/node-process.js'
import { describeWithRedis } from '../../support/redis/redis.js'

let installation: Installation
beforeEach(() => {
  installation = createInstallation()
})
afterEach(() => installation.drop())

/** Opens a tenancy, uses it and closes it. Then reports what would keep the process alive, and lets it end by itself. */
async function run(env: Readonly<Record<string, string>>, work = ''): Promise<string[]> {
  const child = startNode([], {
    env: { ...installation.env, ...env },
    program: `
      import { createTenancy } from 'tenants2fast'
      const logger = { debug() {}, info() {}, warn() {}, error() {} }
      const tenancy = await createTenancy({ logger })
      ${work}
      await tenancy.close()
      // Destroyed sockets disappear within the next turns of the event loop; on a busy machine, the server's goodbye to an
      // ended one takes longer. Nothing else is waited for.
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
      const active = process.getActiveResourcesInfo()
      const isSocket = (name) => name === 'TCPSocketWrap'
      const sockets = () => process.getActiveResourcesInfo().filter(isSocket)
      for (let waits = 0; waits < 500 && sockets().length > 0; waits += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      console.log(JSON.stringify([...active.filter((name) => !isSocket(name)), ...sockets()]))
    `,
  })
  const ending = await child.ended
  expect([ending, child.stderr]).toEqual([0, ''])
  return (JSON.parse(child.stdout) as string[]).filter((name) => !/^(?:Pipe|TTY|FSReq|CloseReq|Immediate)/.test(name))
}

const warmUp = `
  const user = await tenancy.createUser({ email: 'a@example.com', emailVerified: true })
  const { token } = await tenancy.issueAccessToken({ user: user.id })
  await Promise.resolve(tenancy.pipeline.handle({ authorization: 'Bearer ' + token, needs: 'user' }))
`

describe(
  'a process whose tenancy is closed ends by itself, with and without a Redis that answers',
  { timeout: 60_000 },
  () => {
    test('a process that closes its tenancy right after the start ends by itself', async () => {
      expect(await run({})).toEqual([])
    })

    test('a process that closes its tenancy after a request ends by itself', async () => {
      expect(await run({}, warmUp)).toEqual([])
    })

    test('a process that closes its tenancy ends by itself with a Redis address where nothing listens', async () => {
      expect(await run({ TENANT_REDIS_URL: 'redis://127.0.0.1:1' })).toEqual([])
      expect(
        await run({ TENANT_REDIS_URL: 'redis://127.0.0.1:1' }, 'await new Promise((r) => setTimeout(r, 300))'),
      ).toEqual([])
    })

    test('a process that closes its tenancy ends by itself with a Redis that accepts connections and never answers', async () => {
      const sockets = new Set<Socket>()
      const silent: Server = createServer((socket) => void sockets.add(socket.on('error', () => {})))
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
      const env = { TENANT_REDIS_URL: `redis://127.0.0.1:${(silent.address() as AddressInfo).port}` }
      expect(await run(env)).toEqual([])
      expect(await run(env, warmUp)).toEqual([])
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => silent.close(resolve))
    })
  },
)

describeWithRedis('a process whose tenancy is closed ends by itself with Redis', (url) => {
  test('a process that closes its tenancy with Redis in use ends by itself', { timeout: 60_000 }, async () => {
    expect(await run({ TENANT_REDIS_URL: url })).toEqual([])
    expect(await run({ TENANT_REDIS_URL: url }, warmUp)).toEqual([])
    expect(await run({ TENANT_REDIS_URL: url }, 'await new Promise((r) => setTimeout(r, 300))')).toEqual([])
  })
})
