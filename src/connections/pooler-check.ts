import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { TenantDatabaseTarget } from '../core/tenants/database-target.js'
import { TenancyError } from '../core/errors/errors.js'
import { closeSession, openSession } from './session/open-session.js'
import type { SessionClient } from './session/client/session-client.js'

/** For how long a pooler gives a client the same connection to the server. */
export type PoolMode = 'session' | 'transaction'

/** What {@link checkPooler} needs. */
export interface PoolerCheckOptions {
  /** A tenant's database, by the pooler's address. */
  readonly target: TenantDatabaseTarget
  /** Whether the server, asked without the pooler, still has this backend. */
  readonly isRunning: (pid: number) => Promise<boolean>
  /** Default: 10,000. */
  readonly timeoutMs?: number
}

interface Sight {
  readonly pid: number
  readonly mark: string | null
}

const rounds = 20
// The pooler resets a session after its transaction, and gives it to the next client after that.
const pauseMs = 20

/**
 * Tries out how a pooler behaves, with a tenant's own role: that the role can log in through it and reaches its database,
 * that a transaction stays on one connection, and that nothing of a session is left for the next client. What cannot be
 * shown counts as unsafe.
 *
 * @throws {@link TenancyError} TENANCY_POOLER_UNFIT with the reason, TENANCY_DATABASE_UNAVAILABLE without an answer
 */
export async function checkPooler(options: PoolerCheckOptions): Promise<PoolMode> {
  const clients: SessionClient[] = []
  const open = async (): Promise<SessionClient> => {
    const client = await logIn(options)
    clients.push(client)
    return client
  }
  try {
    const first = await open()
    const second = await open()
    await requireTransactions(first, second)
    const mode = await findMode(first, second)
    const mark = randomBytes(8).toString('hex')
    const { pid } = await look(first, `set_config('tenants2fast.probe', '${mark}', false)`)
    const next =
      mode === 'transaction'
        ? await meetInTransactions(first, second, pid)
        : await meetInSessions(first, open, pid, options)
    if (next?.mark === mark) {
      const remedy = mode === 'transaction' ? 'server_reset_query_always = 1' : 'server_reset_query = DISCARD ALL'
      throw unfit(`in ${mode} mode it hands a session on as the last client left it: set ${remedy}`)
    }
    return mode
  } catch (error) {
    if (error instanceof pg.DatabaseError) throw unfit(`it answered: ${error.message}`, error)
    throw error
  } finally {
    await Promise.all(clients.map(closeSession))
  }
}

async function logIn({ target, timeoutMs = 10_000 }: PoolerCheckOptions): Promise<SessionClient> {
  try {
    return await openSession(target, {}, { timeoutMs, prepareStatements: false, throughPooler: true })
  } catch (error) {
    if (error instanceof TenancyError) throw unfit(error.message, error)
    const { host, port } = target.account
    if (error instanceof pg.DatabaseError) {
      throw unfit(
        `a tenant’s role can’t log in through it (${error.message}): it needs the roles’ SCRAM secrets (auth_query or ` +
          'auth_file), and every database (*) with the user left to the client',
        error,
      )
    }
    throw new TenancyError(
      'TENANCY_DATABASE_UNAVAILABLE',
      `The pooler on ${host}:${port} does not answer: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}

/** Refuses statement pooling, which refuses transactions, or spreads them over several connections. */
async function requireTransactions(first: SessionClient, second: SessionClient): Promise<void> {
  const refused = await first.read('begin').then(
    () => undefined,
    (error: Error) => error,
  )
  if (refused) throw unfit(`it takes no transactions (${refused.message}): pool_mode has to be transaction`, refused)
  const { pid } = await look(first)
  await look(second)
  const again = await look(first)
  if (again.pid !== pid || first.getTransactionStatus() !== 'T') {
    throw unfit('a transaction does not stay on one connection: pool_mode has to be transaction')
  }
  await first.read('rollback')
}

/** A client that never gets another connection has one of its own: its session lasts as long as the client. */
async function findMode(first: SessionClient, second: SessionClient): Promise<PoolMode> {
  const known = new Map<SessionClient, number>()
  for (let round = 0; round < rounds; round += 1) {
    for (const [client, { pid }] of await lookTogether(first, second)) {
      if ((known.get(client) ?? pid) !== pid) return 'transaction'
      known.set(client, pid)
    }
  }
  return 'session'
}

/**
 * Looks at both clients while each has a connection of its own. Chance decides which comes first: poolers have patterns.
 */
async function lookTogether(first: SessionClient, second: SessionClient): Promise<[SessionClient, Sight][]> {
  const [holder, other] = Math.random() < 0.5 ? [first, second] : [second, first]
  if (Math.random() < 0.5) await look(other)
  await holder.read('begin')
  const held = await look(holder)
  const seen = await look(other)
  await holder.read('rollback')
  return [
    [holder, held],
    [other, seen],
  ]
}

/** Looks at what the next transaction on that connection finds. */
async function meetInTransactions(first: SessionClient, second: SessionClient, pid: number): Promise<Sight> {
  for (let round = 0; round < rounds; round += 1) {
    await sleep(pauseMs)
    const seen = await lookTogether(first, second)
    for (const [, sight] of seen) if (sight.pid === pid) return sight
  }
  throw unfit(unknown)
}

/** Looks at what the next client on that connection finds. Undefined: the connection ended with its client. */
async function meetInSessions(
  first: SessionClient,
  open: () => Promise<SessionClient>,
  pid: number,
  { isRunning }: PoolerCheckOptions,
): Promise<Sight | undefined> {
  await closeSession(first)
  for (let round = 0; round < rounds; round += 1) {
    await sleep(pauseMs)
    if (!(await isRunning(pid))) return undefined
    const next = await open()
    const sight = await look(next)
    if (sight.pid === pid) return sight
    // The first client stays and keeps its connection, so that other connections come up.
    if (round > 0) await closeSession(next)
  }
  throw unfit(unknown)
}

const unknown = 'whether it resets sessions could not be found out, its connections are in use: try again'

async function look(client: SessionClient, mark = "current_setting('tenants2fast.probe', true)"): Promise<Sight> {
  const [row] = await client.read(`select pg_backend_pid() as pid, ${mark} as mark`)
  return row as unknown as Sight
}

function unfit(reason: string, cause?: unknown): TenancyError {
  return new TenancyError('TENANCY_POOLER_UNFIT', `The pooler is not fit for tenant traffic: ${reason}`, { cause })
}
