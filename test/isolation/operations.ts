import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'

/** The schema that the operations work on: every row carries its tenant's mark. */
export const schema = `
  create table notes (id serial primary key, tenant text not null, nonce text not null default '');
  create table journal (id int generated always as identity, tenant text not null);
  create table guarded (tenant text not null);
  create function leave_traces() returns trigger language plpgsql as $$
    begin
      perform set_config('app.actor', new.tenant, false);
      perform pg_advisory_lock(4711);
      return new;
    end $$;
  create trigger leave_traces before insert on guarded for each row execute function leave_traces();
  create function with_setting() returns text language sql set search_path = pg_catalog
    as $$ select current_setting('search_path') $$;
  create view spoilt as select set_config('app.actor', tenant, false) as was from notes limit 1;
`

/** Inputs of one operation, and the functions by which it reports what it reads. */
export interface Operation {
  readonly pool: TenantPool
  /** Mark of the tenant it runs for. */
  readonly slug: string
  /** Is part of every answer to this operation. */
  readonly nonce: string
  /** Group role of the tenants. */
  readonly members: string
  random(): number
  /** Takes every row that was read: its mark and nonce must be the operation's own. */
  saw(rows: readonly object[]): void
  /** Checks the request context; called where code of the caller runs. */
  checkContext(where: string): void
}

type Client = pg.PoolClient
type Run = (operation: Operation) => Promise<void>

const mine = `select tenant, $1::text as nonce from notes where tenant is not null limit 3`

/** Runs statements that may fail, and releases the client as they left it. */
const leaving =
  (...statements: string[]): Run =>
  async (operation) => {
    const { pool, slug, members } = operation
    const client = await pool.connect()
    try {
      await look(client, operation)
      for (const statement of statements) {
        await client.query(statement.replaceAll('SLUG', slug).replaceAll('MEMBERS', `"${members}"`)).catch(expected)
      }
    } finally {
      client.release()
    }
  }

/** Answers that a statement of an operation may get; any other is a finding. */
function expected(error: { code?: string; message: string }): void {
  const own = [
    '22012',
    '25P02',
    '57014',
    '42710',
    '42P07',
    '42P03',
    '25001',
    '26000',
    '0A000',
    '55000',
    '25006',
    '42501',
  ]
  if (!own.includes(error.code ?? '') && error.message !== 'Query read timeout') throw error
}

/** Reads in a way that is clean by its text, so that it does not bring about a reset of what comes after it. */
async function look(client: Client, { slug, nonce, saw }: Operation): Promise<void> {
  const { rows } = await client.query(
    `select tenant, $1::text as nonce, current_setting('search_path') as path, current_setting('statement_timeout') as timeout,
       coalesce(current_setting('app.actor', true), '') as app_user, current_user = session_user as own_role
     from notes limit 2`,
    [nonce],
  )
  saw(rows)
  for (const { path, timeout, app_user: user, own_role: ownRole } of rows) {
    if (path !== '"$user", public' || timeout !== '0' || user !== '' || ownRole !== true) {
      throw new Error(`${slug} found a session with ${JSON.stringify([path, timeout, user, ownRole])}`)
    }
  }
}

async function withClient(operation: Operation, work: (client: Client) => Promise<void>): Promise<void> {
  const client = await operation.pool.connect()
  try {
    await look(client, operation)
    await work(client)
  } finally {
    client.release()
  }
}

/** By name; the workload picks one at random. */
export const operations: Readonly<Record<string, Run>> = {
  async read({ pool, nonce, saw }) {
    saw((await pool.query(mine, [nonce])).rows)
  },
  async several({ pool, nonce, saw }) {
    const answers = await Promise.all([1, 2, 3].map((n) => pool.query(`${mine} -- ${n}`, [nonce])))
    for (const { rows } of answers) saw(rows)
  },
  callback: (operation) =>
    new Promise((resolve, reject) => {
      operation.pool.query(mine, [operation.nonce], (error: Error | undefined, result: pg.QueryResult) => {
        if (error) return reject(error)
        operation.checkContext('in a callback of query')
        operation.saw(result.rows)
        resolve()
      })
    }),
  connectCallback: (operation) =>
    new Promise((resolve, reject) => {
      operation.pool.connect((error, client, release) => {
        if (client === undefined) return reject(error)
        operation.checkContext('in a callback of connect')
        client.query(mine, [operation.nonce], (failure: Error, result: pg.QueryResult) => {
          operation.checkContext('in a callback of a client’s query')
          release()
          if (failure) return reject(failure)
          operation.saw(result.rows)
          resolve()
        })
      })
    }),
  async insert({ pool, slug, nonce, saw }) {
    const text = 'insert into notes (tenant, nonce) values ($1, $2) returning tenant, nonce'
    saw((await pool.query(text, [slug, nonce])).rows)
  },
  async remove({ pool, slug }) {
    await pool.query('delete from notes where tenant = $1 and nonce <> $2 and id % 7 = 3', [slug, ''])
  },
  async identity({ pool, slug }) {
    await pool.query('insert into journal (tenant) values ($1)', [slug])
  },
  async trigger({ pool, slug }) {
    await pool.query('insert into guarded (tenant) values ($1)', [slug])
  },
  async view({ pool }) {
    await pool.query('select was from spoilt')
  },
  async functionWithSet({ pool }) {
    await pool.query('select with_setting()')
  },
  transaction: (operation) =>
    withClient(operation, async (client) => {
      const { slug, nonce, saw, random } = operation
      await client.query('begin')
      await client.query('insert into notes (tenant, nonce) values ($1, $2)', [slug, nonce])
      await sleep(random() * 3)
      operation.checkContext('after a timer')
      saw((await client.query('select tenant, nonce from notes where nonce = $1', [nonce])).rows)
      await client.query(random() < 0.5 ? 'commit' : 'rollback')
    }),
  transactionLeftOpen: leaving('begin', "insert into notes (tenant, nonce) values ('LEFT OPEN', 'LEFT OPEN')"),
  transactionLeftFailed: leaving('begin', 'select 1/0'),
  transactionChained: leaving('begin', "insert into notes (tenant, nonce) values ('SLUG', 'c')", 'commit and chain'),
  async error({ pool }) {
    await pool.query('select 1/0').catch(expected)
  },
  setRole: leaving('set role MEMBERS'),
  setSearchPath: leaving('set search_path = pg_catalog'),
  setTimeout: leaving("set statement_timeout = '1ms'", 'select pg_sleep(0.01)'),
  setConfig: leaving("select set_config('app.actor', 'SLUG', false)"),
  setLocalName: leaving("set local.actor = 'SLUG'", "set app.actor = 'SLUG'"),
  setByView: leaving("update pg_settings set setting = 'pg_catalog' where name = 'search_path'"),
  setCharacteristics: leaving('set session characteristics as transaction read only'),
  setSeed: leaving('select setseed(0.5)'),
  setInBlock: leaving("do $$ begin perform set_config('app.actor', 'SLUG', false); end $$"),
  setInTransaction: leaving('begin', "set app.actor = 'SLUG'", 'commit'),
  severalStatements: leaving("select 1; set app.actor = 'SLUG'; begin; listen news"),
  // Hides the application's table while it exists.
  tempTable: leaving("create temp table notes as select 'SHADOW' as tenant, 'SHADOW' as nonce"),
  selectInto: leaving('select * into temp scratch from notes'),
  tempView: leaving("create temp view notes as select 'SHADOW' as tenant, 'SHADOW' as nonce"),
  tempFunction: leaving("create function pg_temp.lower(text) returns text language sql as 'select $1'"),
  tempType: leaving('create type pg_temp.pair as (a int, b int)'),
  prepare: leaving('prepare p as select 1'),
  prepareInBlock: leaving("do $$ begin execute 'prepare p as select 1'; end $$"),
  deallocateAll: leaving('deallocate all'),
  discardAll: leaving('discard all'),
  discardPlans: leaving('discard plans'),
  async named({ pool, nonce, saw }) {
    saw((await pool.query({ name: 'mine', text: mine, values: [nonce] })).rows)
  },
  namedAndDeallocated: (operation) =>
    withClient(operation, async (client) => {
      await client.query({ name: 'mine', text: mine, values: [operation.nonce] })
      await client.query('deallocate all')
    }),
  advisoryLock: leaving('select pg_advisory_lock(1), pg_advisory_lock_shared(2)'),
  async advisoryLockAlone({ pool }) {
    await pool.query('select pg_try_advisory_lock(3)')
  },
  listen: leaving('listen news', "notify news, 'SLUG'"),
  listenWithListener: (operation) =>
    withClient(operation, async (client) => {
      const { slug } = operation
      client.on('notification', ({ payload }) => {
        operation.checkContext('in a listener')
        operation.saw([{ tenant: payload, nonce: operation.nonce }])
      })
      await client.query(`listen "${slug}"; notify "${slug}", '${slug}'`)
    }),
  cursorWithHold: leaving('declare c cursor with hold for select * from notes'),
  sqlCursorLeftOpen: leaving('begin', 'declare c cursor for select * from notes', 'fetch 1 from c'),
  sequence: leaving("select nextval('notes_id_seq')", "select currval('notes_id_seq')"),
  copyOut: leaving('copy notes to stdout'),
  copyIn: leaving('copy notes (tenant) from stdin'),
  largeObject: leaving('begin', 'select lo_open(lo_creat(-1), 131072)', 'rollback'),
  async releaseWithError({ pool }) {
    const client = await pool.connect()
    client.release(new Error('no good'))
  },
  async releaseTwice(operation) {
    const client = await operation.pool.connect()
    client.release()
    let refused = false
    try {
      client.release()
    } catch {
      refused = true
    }
    if (!refused) throw new Error('a second release was accepted')
  },
  async useAfterRelease({ pool, nonce, random }) {
    const client = await pool.connect()
    await client.query(mine, [nonce])
    client.release()
    await sleep(random() * 4)
    for (const text of ['rollback', "set app.actor = 'stale'", 'select pg_advisory_lock(9)']) {
      const failure = await client.query(text).then(
        () => 'answered',
        (error: { code?: string }) => error.code,
      )
      if (failure !== 'TENANCY_CONNECTION_RELEASED') throw new Error(`a released client: ${failure}`)
    }
  },
  async releaseInMidQuery({ pool, random }) {
    const client = await pool.connect()
    const abandoned = client.query('select pg_sleep(0.2)').catch(() => {})
    if (random() < 0.5) void client.query("set app.actor = 'queued'").catch(() => {})
    if (random() < 0.5) await sleep(random() * 5)
    client.release(random() < 0.2)
    await abandoned
  },
  unreadCursor: (operation) =>
    withClient(operation, async (client) => {
      const cursor = client.query(new Cursor(mine, [operation.nonce]))
      operation.saw(await cursor.read(1))
    }),
  async cursor({ pool, nonce, saw }) {
    const cursor = pool.query(new Cursor(mine, [nonce]))
    saw(await cursor.read(2))
    await cursor.close()
  },
  async cursorThatFails({ pool }) {
    const cursor = pool.query(
      Object.assign(new Cursor('select pg_sleep(0.004), 1 / (3 - n) from generate_series(1, 5) n'), {
        query_timeout: 6,
      }),
    )
    await cursor.read(9).catch(expected)
  },
  async stream(operation) {
    const stream = operation.pool.query(new QueryStream(mine, [operation.nonce], { batchSize: 2 }))
    stream.on('data', (row: object) => {
      operation.checkContext('in an event of a stream')
      operation.saw([row])
    })
    await new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject))
  },
  async streamLeft({ pool, saw, nonce }) {
    const stream = pool.query(
      new QueryStream('select tenant, $1::text as nonce from notes, generate_series(1, 1000) limit 1000', [nonce]),
    )
    for await (const row of stream) {
      saw([row as object])
      break
    }
  },
  pipelined: (operation) =>
    withClient(operation, async (client) => {
      const answers = await Promise.all(
        Array.from({ length: 5 }, (_, n) =>
          client.query(`select tenant, $1::text as nonce, ${n} as n from notes limit 1`, [operation.nonce]),
        ),
      )
      for (const [n, { rows }] of answers.entries()) {
        operation.saw(rows)
        if (rows.some((row) => row.n !== n)) throw new Error('the answer of another query')
      }
    }),
  async paged({ pool, nonce, saw }) {
    saw((await pool.query({ text: mine, values: [nonce], rows: 1 } as pg.QueryConfig)).rows)
    await pool
      .query({ text: 'select 1 / (2 - n) from generate_series(1, 3) n', rows: 1 } as pg.QueryConfig)
      .catch(expected)
  },
  async queryTimeout({ pool }) {
    await pool.query({ text: 'select pg_sleep(0.05)', query_timeout: 3 } as pg.QueryConfig).catch(expected)
  },
  cancelled: (operation) =>
    withClient(operation, async (client) => {
      await Promise.all([
        client.query('select pg_sleep(0.05)').catch(expected),
        client.query('select pg_cancel_backend(pg_backend_pid())').catch(expected),
      ])
    }),
  async terminated({ pool }) {
    await pool.query('select pg_terminate_backend(pg_backend_pid())').catch(() => {})
  },
  ended: (operation) =>
    withClient(operation, async (client) => {
      void (client as unknown as pg.Client).end()
    }),
  tampered: (operation) =>
    withClient(operation, async (client) => {
      client.setTypeParser(pg.types.builtins.TEXT, () => 'SPOILED')
      client.on('notice', () => operation.checkContext('in a listener that was left'))
      Object.assign(client, { pipeline: true, readyForQuery: true })
      client.removeAllListeners('end')
      await client.query("do $$ begin raise notice 'left'; end $$")
    }),
  async givenUp({ pool, random }) {
    const signal = AbortSignal.timeout(Math.ceil(random() * 4))
    const connect = pool.connect as unknown as (options: { signal: AbortSignal }) => Promise<Client>
    const client = await connect.call(pool, { signal }).catch((error: { code?: string }) => {
      if (error.code !== 'TENANCY_CONNECTION_ABORTED') throw error
    })
    client?.release()
  },
}
