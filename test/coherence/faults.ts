import { setTimeout as sleep } from 'node:timers/promises'
import type { ProxyMode, TcpProxy } from '../support/proxies/tcp-proxy.js'
import type { AppProcess, Cluster } from './cluster.js'

/** A fault that lasts until the promise of `run` resolves. */
export interface Fault {
  readonly name: string
  readonly needsRedis?: boolean
  run(cluster: Cluster, holdMs: number, random: () => number): Promise<void>
}

const anyApp = (cluster: Cluster, random: () => number) =>
  cluster.apps[Math.floor(random() * cluster.apps.length)] as AppProcess
const redisOf = (cluster: Cluster) => cluster.apps.flatMap(({ redis }) => (redis === undefined ? [] : [redis]))

/** Sets proxies to a mode for a while. */
async function setFor(proxies: readonly TcpProxy[], mode: ProxyMode, holdMs: number): Promise<void> {
  await Promise.all(proxies.map((proxy) => proxy.set(mode)))
  await sleep(holdMs)
  await Promise.all(proxies.map((proxy) => proxy.set('pass')))
}

/** Every fault, with the names of the table in docs/access.md. */
export const faults: readonly Fault[] = [
  {
    name: 'LISTEN connections killed',
    async run(cluster, holdMs) {
      // Repeated, so that the time between two connections is tested.
      for (let round = 0; round < 8; round += 1) {
        await cluster.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where application_name = 'tenants2fast catalog' and query ~ '(^listen|pg_notify)'`,
        )
        await sleep(holdMs / 8)
      }
    },
  },
  {
    name: 'catalog silent, then back',
    run: (cluster, holdMs, random) => setFor([anyApp(cluster, random).postgres], 'silence', holdMs),
  },
  {
    name: 'catalog silent, then connections lost',
    async run(cluster, holdMs, random) {
      const { postgres } = anyApp(cluster, random)
      await postgres.set('silence')
      await sleep(holdMs)
      await postgres.set('reset')
      await sleep(50)
      await postgres.set('pass')
    },
  },
  {
    name: 'catalog refuses connections',
    run: (cluster, holdMs, random) => setFor([anyApp(cluster, random).postgres], 'refuse', holdMs),
  },
  {
    name: 'process stopped (SIGSTOP)',
    async run(cluster, holdMs, random) {
      const { child } = anyApp(cluster, random)
      child.kill('SIGSTOP')
      await sleep(holdMs)
      child.kill('SIGCONT')
    },
  },
  {
    name: 'PostgreSQL stopped fast, restarted',
    run: (cluster, holdMs) => cluster.restartPostgres('SIGINT', holdMs / 4),
  },
  {
    name: 'PostgreSQL killed, restarted',
    run: (cluster, holdMs) => cluster.restartPostgres('SIGKILL', holdMs / 4),
  },
  {
    name: 'notifications duplicated and reordered',
    async run(cluster, holdMs, random) {
      // Messages that a member has nothing are not in the log.
      const listener = await cluster.catalog.connect()
      const emptied: string[] = []
      listener.on('notification', ({ payload = '' }) => {
        if (payload.endsWith(':empty')) emptied.push(payload)
      })
      await listener.query('listen tenants2fast_epochs')
      const untilMs = performance.now() + holdMs
      while (performance.now() < untilMs) {
        const { rows } = await cluster.query<{ change: string }>(
          'select change from access_changes order by id desc limit 50',
        )
        const shuffled = [...rows.map(({ change }) => change), ...emptied.slice(-50)]
          .map((change) => ({ change, at: random() }))
          .toSorted((a, b) => a.at - b.at)
        for (const { change } of shuffled) {
          await cluster.query("select pg_notify('tenants2fast_epochs', $1)", [change])
        }
        await sleep(20)
      }
      listener.release(true)
    },
  },
  {
    name: 'Redis down',
    needsRedis: true,
    run: (cluster, holdMs) => setFor(redisOf(cluster), 'refuse', holdMs),
  },
  {
    name: 'Redis silent',
    needsRedis: true,
    run: (cluster, holdMs) => setFor(redisOf(cluster), 'silence', holdMs),
  },
  {
    name: 'Redis slow (5 s)',
    needsRedis: true,
    async run(cluster, holdMs) {
      for (const redis of redisOf(cluster)) redis.delayMs = 5000
      await sleep(holdMs)
      for (const redis of redisOf(cluster)) redis.delayMs = 0
    },
  },
  {
    name: 'Redis flushed',
    needsRedis: true,
    async run(cluster, holdMs) {
      const untilMs = performance.now() + holdMs
      while (performance.now() < untilMs) {
        await cluster.flushRedis()
        await sleep(50)
      }
    },
  },
]
