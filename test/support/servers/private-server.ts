import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { ServerAccount } from '../../../src/core/tenants/database-target.js'
import { startEmbeddedServer } from '../../../src/databases/embedded/index.js'
import { locateServerUser } from './server-user.js'

/** A server of a test's own, for what would be in the way of everybody else on a shared one. */
export interface PrivateServer {
  readonly account: ServerAccount
  readonly url: string
  /** A connection as its superuser. Ended by `stop`. */
  connect(account?: Partial<ServerAccount>): Promise<pg.Client>
  stop(): Promise<void>
}

const debianBin = '/usr/lib/postgresql/15/bin'

/** Versions of PostgreSQL that a test can start here: the embedded one, and Debian's 15 where it is installed. */
export const privateVersions: readonly string[] = [
  'the embedded one',
  ...(existsSync(join(debianBin, 'postgres')) ? ['15'] : []),
]

/** Starts a server with these settings. Call `stop()` when done. */
export async function startPrivateServer(
  version: string,
  settings: Readonly<Record<string, string>>,
): Promise<PrivateServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 't2f-private-'))
  const fast = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', ...settings }
  const { account, stop } = version === '15' ? await startDebian(dataDir, fast) : await startEmbedded(dataDir, fast)
  const clients = new Set<pg.Client>()
  const { user, password, host, port } = account
  return {
    account,
    url: `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/postgres`,
    async connect(other = {}) {
      const client = new pg.Client({ ...account, ssl: false, ...other })
      client.on('error', () => {})
      await client.connect()
      clients.add(client)
      return client
    },
    async stop() {
      for (const client of clients) await Promise.race([client.end().catch(() => {}), sleep(1000)])
      await stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

interface Started {
  readonly account: ServerAccount
  stop(): Promise<void>
}

async function startEmbedded(dataDir: string, settings: Readonly<Record<string, string>>): Promise<Started> {
  const server = await startEmbeddedServer({ dataDir, settings })
  return { account: server.account, stop: () => server.stop() }
}

async function startDebian(dataDir: string, settings: Readonly<Record<string, string>>): Promise<Started> {
  const user = locateServerUser()
  const options = { uid: user?.uid, gid: user?.gid, stdio: 'ignore' as const, cwd: '/' }
  const passwordFile = join(dataDir, 'password')
  await writeFile(passwordFile, 'private', { mode: 0o600 })
  if (user) for (const path of [dataDir, passwordFile]) await chown(path, user.uid, user.gid)
  const data = join(dataDir, 'data')
  const initdb = spawn(
    join(debianBin, 'initdb'),
    [
      '-D',
      data,
      '-U',
      'postgres',
      '--pwfile',
      passwordFile,
      '--auth=scram-sha-256',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '-N',
    ],
    options,
  )
  const [code] = (await once(initdb, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`initdb of PostgreSQL 15 ended with ${code}`)
  const port = await freePort()
  const own = { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: '', ...settings }
  const postgres = spawn(
    join(debianBin, 'postgres'),
    ['-D', data, ...Object.entries(own).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    options,
  )
  const ended = once(postgres, 'exit')
  const account = { host: '127.0.0.1', port, user: 'postgres', password: 'private', database: 'postgres' }
  for (let attempt = 1; ; attempt += 1) {
    const client = new pg.Client(account)
    try {
      await client.connect()
      await client.end()
      break
    } catch (error) {
      if (attempt === 200) throw error
      await sleep(50)
    }
  }
  return {
    account,
    async stop() {
      postgres.kill('SIGINT')
      await ended
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
