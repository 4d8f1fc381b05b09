import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createServerWatcher } from '../../src/databases/watch/server-watcher.js'
import type { SessionEndedEvent } from '../../src/databases/watch/watch-events.js'
import { createTenancy, loadConfig, type Logger, type Tenancy, type Tenant } from '../../src/index.js'
import { describeWith, testWith } from '../support/requirements.js'
import { debian15, type PrivateServer, startPrivateServer } from '../support/servers/private-server.js'
import { silentLogger } from '../support/silent-logger.js'

const channelName = 'tenants2fast:server:session-ended'
const plain = { user: 'plain', password: 'plain' }

// Few slots, so that they are used up in a moment. Other servers have the same tables, only larger.
const settings = { max_connections: '40', max_locks_per_transaction: '10' }
// A serializable transaction that remembers each row that it reads.
const predicateLocks = { max_pred_locks_per_relation: '2000', max_pred_locks_per_page: '2000' }

const versions = [
  { name: 'The embedded PostgreSQL', version: 'embedded', requirement: undefined },
  { name: 'PostgreSQL 15', version: '15', requirement: debian15 },
] as const

for (const { name, version, requirement } of versions)
  describeWith(requirement, name, () => {
    // On 15 the queue has 8 GB, too much to fill.
    const isSmallQueue = version !== '15'
    const smallQueue = {
      isMet: isSmallQueue,
      need: 'PostgreSQL 17 or newer: max_notify_queue_pages makes the queue small',
    }
    const largeQueue = {
      isMet: !isSmallQueue,
      need: 'PostgreSQL 15: it names no session while its queue of 8 GB has room',
    }
    let server: PrivateServer
    beforeAll(async () => {
      server = await startPrivateServer({
        version,
        settings: { ...settings, ...predicateLocks, ...(isSmallQueue ? { max_notify_queue_pages: '64' } : {}) },
      })
      const admin = await server.connect()
      await admin.query(`create role plain login createdb createrole password 'plain'`)
      await admin.query('grant connect on database postgres to plain')
    })
    afterAll(() => server.stop())

    describe.each(['a superuser', 'an account with CREATEDB and CREATEROLE'])('Watched by %s', (account) => {
      let tenancy: Tenancy
      let attacker: Tenant
      let victim: Tenant
      let events: SessionEndedEvent[]
      let errors: { fields: object; message: string }[]
      const onEvent = (event: unknown) => void events.push(event as SessionEndedEvent)
      const isPlain = account !== 'a superuser'

      beforeAll(async () => {
        const ignored = () => {}
        const logger: Logger = {
          debug: ignored,
          info: ignored,
          warn: ignored,
          error: (fields: object, message: string) => void errors.push({ fields, message }),
        }
        const url = new URL(server.url())
        if (isPlain) Object.assign(url, { username: plain.user, password: plain.password })
        errors = []
        tenancy = await createTenancy({
          logger,
          config: loadConfig({
            TENANT_DATABASE_URL: url.href,
            TENANT_CATALOG_DB: isPlain ? 'catalog_plain' : 'catalog_super',
            TENANT_DB_PREFIX: isPlain ? 'plain_' : 'super_',
            TENANT_SECRET: 'a'.repeat(64),
            TENANT_READY_DATABASES: '0',
            TENANT_PROCESSES: '1',
            TENANT_MAX_CONNECTIONS: '6',
            TENANT_MAX_TENANT_CONNECTIONS: '3',
            TENANT_WATCH_INTERVAL_MS: '200',
            TENANT_MAX_QUEUE_PERCENT: isSmallQueue ? '50' : '1',
          }),
        })
        const owner = await tenancy.createUser({ email: 'o@example.com', name: 'O', emailVerified: true })
        attacker = await tenancy.createTenant({ name: 'Attacker', slug: 'attacker', owner: owner.id })
        victim = await tenancy.createTenant({ name: 'Victim', slug: 'victim', owner: owner.id })
        const { rows } = await tenancy.getTenantPool(victim).query('select current_database() as database')
        const tables = await server.connect({ database: rows[0].database })
        await tables.query(`create table notes (id int); create table numbers (id int primary key);
        insert into numbers select generate_series(1, 1000);
        grant all on notes, numbers to public`)
      })
      beforeEach(() => {
        events = []
        errors = []
        subscribe(channelName, onEvent)
      })
      afterEach(() => void unsubscribe(channelName, onEvent))
      afterAll(() => tenancy?.close())

      /** Works as others: reads and writes that take locks, and changes of the catalog. */
      async function othersWork(): Promise<void> {
        await tenancy.getTenantPool(victim).query('create temporary table t (id int primary key); drop table t')
        await tenancy.suspendTenant({ tenant: 'victim' })
        await tenancy.reactivateTenant({ tenant: 'victim' })
      }
      const ended = () => expect.poll(() => events.length, { timeout: 20_000 }).toBeGreaterThan(0)
      const namesTheTenant = (resource: string) => {
        for (const event of events) {
          expect(event).toMatchObject({
            tenantId: attacker.id,
            slug: 'attacker',
            databaseId: attacker.databaseId,
            resource,
            pid: expect.any(Number),
          })
          expect(event.used).toBeGreaterThan(0)
        }
        expect(errors).toContainEqual({
          fields: expect.objectContaining({ tenantId: attacker.id, slug: 'attacker' }),
          message: expect.stringContaining('A session of a tenant was ended'),
        })
      }

      test('A session that takes advisory locks in a loop is ended, and other tenants work', async () => {
        const pool = tenancy.getTenantPool(attacker)
        const client = await pool.connect()
        const attack = client.query('select count(pg_advisory_lock(n)::text) from generate_series(1, 1000000) as n')
        await expect(attack).rejects.toThrow()
        await ended()
        client.release(true)
        namesTheTenant('locks')
        await expect.poll(() => othersWork().then(() => 'work', String), { timeout: 20_000 }).toBe('work')
      })

      test('A session that makes thousands of temporary tables is ended', async () => {
        const client = await tenancy.getTenantPool(attacker).connect()
        const attack = client.query(
          `do $$ begin for n in 1..100000 loop
           begin execute format('create temporary table t_%s (id int)', n);
           exception when out_of_memory then perform pg_sleep(0.01); end;
         end loop; end $$`,
        )
        await expect(attack).rejects.toThrow()
        await ended()
        client.release(true)
        namesTheTenant('locks')
        await expect.poll(() => othersWork().then(() => 'work', String), { timeout: 20_000 }).toBe('work')
      })

      test('A serializable transaction is not ended for reading more rows than a tenant may take locks', async () => {
        const client = await tenancy.getTenantPool(victim).connect()
        await client.query('set enable_seqscan = off; set enable_bitmapscan = off')
        await client.query('begin isolation level serializable')
        await client.query('select count(*) from numbers where id between 1 and 900')
        const locks = "select count(*)::int as count from pg_locks where pid = pg_backend_pid() and mode = 'SIReadLock'"
        expect((await client.query(locks)).rows[0].count).toBeGreaterThan(500)
        expect(await checkOnce()).toEqual([])
        await client.query('commit')
        client.release(true)
        expect(events).toEqual([])
      })

      /** One check by a watcher of its own, to which every role but the superuser is a tenant’s. */
      async function checkOnce() {
        const watcher = createServerWatcher({
          account: isPlain ? { ...server.account, ...plain, database: 'catalog_plain' } : server.account,
          databaseOf: (role) => (/^(?:plain|super)_/.test(role) ? role : undefined),
          tenantOf: async () => undefined,
          maxQueueUsage: 0.01,
          logger: silentLogger,
        })
        try {
          return await watcher.check()
        } finally {
          await watcher.close()
        }
      }

      /** Opens two sessions of another tenant that have written and not committed. */
      async function innocents() {
        const pool = tenancy.getTenantPool(victim)
        const clients = [await pool.connect(), await pool.connect()]
        for (const client of clients) await client.query('begin; insert into notes values (1)')
        return async () => {
          for (const client of clients) {
            await client.query('commit')
            client.release()
          }
        }
      }
      const queueUsage = async () => {
        const { rows } = await (await server.connect()).query('select pg_notification_queue_usage() as usage')
        return rows[0].usage as number
      }
      const emptied = () => expect.poll(queueUsage, { timeout: 20_000, interval: 500 }).toBeLessThan(0.1)

      testWith(
        smallQueue,
        'The session that PostgreSQL names as holding the NOTIFY queue is ended, and older transactions of others continue',
        async () => {
          const pool = tenancy.getTenantPool(attacker)
          const commit = await innocents()
          const [listener, notifier] = [await pool.connect(), await pool.connect()]
          await listener.query('listen flood')
          await listener.query('begin')
          await notifier.query(
            "select count(pg_notify('flood', repeat('x', 7900) || n)::text) from generate_series(1, 40) as n",
          )
          await ended()
          await commit()
          for (const client of [listener, notifier]) client.release(true)
          namesTheTenant('notify-queue')
          expect(events).toMatchObject([{ isGuess: false }])
          await emptied()
          await othersWork()
        },
      )

      testWith(
        smallQueue,
        'A session that holds the NOTIFY queue while it is busy, and whose tenant gets the name first, is ended, and idle ones of others are not',
        async () => {
          const pool = tenancy.getTenantPool(attacker)
          const [listener, notifier] = [await pool.connect(), await pool.connect()]
          const { rows } = await listener.query('select pg_backend_pid() as pid')
          await listener.query('listen flood')
          await listener.query('begin')
          const busy = listener.query('select pg_sleep(60)').catch(() => {})
          const commit = await innocents()
          let isOver = false
          const flood = (async () => {
            while (!isOver) {
              // oxlint-disable-next-line no-await-in-loop -- One after another, as fast as it goes, also when the queue is full.
              await notifier.query("select pg_notify('flood', repeat('x', 7900))").catch(() => {})
            }
          })()
          await ended()
          isOver = true
          await Promise.all([busy, flood])
          await commit()
          for (const client of [listener, notifier]) client.release(true)
          namesTheTenant('notify-queue')
          expect(events.map(({ pid }) => pid)).toEqual([rows[0].pid])
          await emptied()
          await othersWork()
        },
      )

      testWith(
        largeQueue,
        'While PostgreSQL names no session, none is ended for a NOTIFY queue that has room',
        async () => {
          const pool = tenancy.getTenantPool(attacker)
          const commit = await innocents()
          const [listener, notifier] = [await pool.connect(), await pool.connect()]
          await listener.query('listen flood')
          await listener.query('begin')
          // More than the hundredth part of 8 GB.
          await notifier.query(
            "select count(pg_notify('flood', repeat('x', 7900) || n)::text) from generate_series(1, 12000) as n",
          )
          expect(await queueUsage()).toBeGreaterThan(0.01)
          expect(await checkOnce()).toEqual([])
          await listener.query('commit')
          await commit()
          for (const client of [listener, notifier]) client.release(true)
          expect(events).toEqual([])
          await emptied()
        },
      )
    })
  })
