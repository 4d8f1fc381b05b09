import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Member } from './cluster.js'

/** Something that goes wrong, for a while, and is over when the promise resolves. */
export interface Fault {
  readonly name: string
  readonly needsRedis?: boolean
  run(cluster: Cluster, holdMs: number, random: () => number): Promise<void>
}

const one = (cluster: Cluster, random: () => number) =>
  cluster.members[Math.floor(random() * cluster.members.length)] as Member
const redisOf = (cluster: Cluster) => cluster.members.flatMap(({ redis }) => (redis === undefined ? [] : [redis]))

/** Every fault, in the words of the table in docs/access.md. */
export const faults: readonly Fault[] = [
  {
    name: 'LISTEN connections killed',
    async run(cluster, holdMs) {
      // Again and again, so that the time between two connections counts.
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
    async run(cluster, holdMs, random) {
      const { postgres } = one(cluster, random)
      await postgres.set('silence')
      await sleep(holdMs)
      await postgres.set('pass')
    },
  },
  {
    name: 'catalog silent, then connections lost',
    async run(cluster, holdMs, random) {
      const { postgres } = one(cluster, random)
      await postgres.set('silence')
      await sleep(holdMs)
      await postgres.set('reset')
      await sleep(50)
      await postgres.set('pass')
    },
  },
  {
    name: 'catalog refuses connections',
    async run(cluster, holdMs, random) {
      const { postgres } = one(cluster, random)
      await postgres.set('refuse')
      await sleep(holdMs)
      await postgres.set('pass')
    },
  },
  {
    name: 'process stopped (SIGSTOP)',
    async run(cluster, holdMs, random) {
      const { child } = one(cluster, random)
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
      const untilMs = performance.now() + holdMs
      while (performance.now() < untilMs) {
        const { rows } = await cluster.query<{ change: string }>(
          'select change from access_changes order by id desc limit 50',
        )
        const shuffled = rows.map(({ change }) => ({ change, at: random() })).toSorted((a, b) => a.at - b.at)
        for (const { change } of shuffled) {
          await cluster.query("select pg_notify('tenants2fast_epochs', $1)", [change])
        }
        await sleep(20)
      }
    },
  },
  {
    name: 'Redis down',
    needsRedis: true,
    async run(cluster, holdMs) {
      await Promise.all(redisOf(cluster).map((redis) => redis.set('refuse')))
      await sleep(holdMs)
      await Promise.all(redisOf(cluster).map((redis) => redis.set('pass')))
    },
  },
  {
    name: 'Redis silent',
    needsRedis: true,
    async run(cluster, holdMs) {
      await Promise.all(redisOf(cluster).map((redis) => redis.set('silence')))
      await sleep(holdMs)
      await Promise.all(redisOf(cluster).map((redis) => redis.set('pass')))
    },
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
