import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { ServerAccount } from '../../../src/core/tenants/database-target.js'
import { startEmbeddedServer } from '../../../src/databases/embedded/index.js'
import { chooseRunAs } from '../../../src/databases/embedded/run-as.js'
import type { Requirement } from '../requirements.js'
import { silentLogger } from '../silent-logger.js'
import { locateServerUser } from './server-user.js'

/** A PostgreSQL server that belongs to one test file: for tests that would disturb others on a shared server. */
export interface PrivateServer {
  /** How to connect as its superuser. */
  readonly account: ServerAccount
  /** Address of its superuser, with these parameters (`?sslmode=require`) at the end. */
  url(parameters?: string): string
  /** Opens a connection, as its superuser unless said otherwise. `stop` ends it. */
  connect(account?: Partial<ServerAccount>): Promise<pg.Client>
  /** Stops the server and removes its files. */
  stop(): Promise<void>
}

/** Options of {@link startPrivateServer}. */
export interface PrivateServerOptions {
  /** The embedded PostgreSQL, or Debian's 15. Default: the embedded one. */
  readonly version?: 'embedded' | '15'
  /** Settings of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
  /** The lines of its pg_hba.conf; only for the embedded one. Default: SCRAM for everybody. */
  readonly hba?: readonly string[]
  /** Paths of key and certificate for TLS; only for the embedded one. */
  readonly tls?: { readonly key: string; readonly certificate: string }
}

const debianBin = '/usr/lib/postgresql/15/bin'

export const debian15: Requirement = {
  isMet: existsSync(join(debianBin, 'postgres')),
  need: `Debian's PostgreSQL 15 in ${debianBin}: install postgresql-15`,
}

/** Starts a server in a folder of its own. Call `stop()` when done. */
export async function startPrivateServer(options: PrivateServerOptions = {}): Promise<PrivateServer> {
  const folder = await mkdtemp(join(tmpdir(), 't2f-private-'))
  await chmod(folder, 0o755)
  const remove = () => rm(folder, { recursive: true, force: true })
  const start = options.version === '15' ? startDebian : startEmbedded
  const { account, stop } = await start(folder, options).catch(async (error: unknown) => {
    await remove()
    throw error
  })
  const clients = new Set<pg.Client>()
  const { user, password, host, port } = account
  return {
    account,
    url: (parameters = '') =>
      `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/postgres${parameters}`,
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
      await remove()
    },
  }
}

interface StartedServer {
  readonly account: ServerAccount
  stop(): Promise<void>
}

const withoutDurability = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

async function startEmbedded(folder: string, { settings, hba, tls }: PrivateServerOptions): Promise<StartedServer> {
  const dataDir = join(folder, 'data')
  await mkdir(dataDir)
  const hbaFile = join(folder, 'pg_hba.conf')
  if (hba !== undefined) await writeFile(hbaFile, `${hba.join('\n')}\n`)
  const keyFile = join(folder, 'server.key')
  if (tls !== undefined) {
    // PostgreSQL takes only a key that its user owns and no other user can read.
    await copyFile(tls.key, keyFile)
    await chmod(keyFile, 0o600)
    const { owner } = chooseRunAs(dataDir)
    if (owner !== undefined) await chown(keyFile, owner.uid, owner.gid)
  }
  const server = await startEmbeddedServer({
    dataDir,
    logger: silentLogger,
    settings: {
      ...withoutDurability,
      ...(hba === undefined ? {} : { hba_file: hbaFile }),
      ...(tls === undefined ? {} : { ssl: 'on', ssl_key_file: keyFile, ssl_cert_file: tls.certificate }),
      ...settings,
    },
  })
  return { account: server.account, stop: () => server.stop() }
}

async function startDebian(folder: string, { settings }: PrivateServerOptions): Promise<StartedServer> {
  const user = locateServerUser()
  const options = { uid: user?.uid, gid: user?.gid, stdio: 'ignore' as const, cwd: '/' }
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, 'private', { mode: 0o600 })
  if (user) for (const path of [folder, passwordFile]) await chown(path, user.uid, user.gid)
  const data = join(folder, 'data')
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
  const all = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    ...withoutDurability,
    ...settings,
  }
  const postgres = spawn(
    join(debianBin, 'postgres'),
    ['-D', data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
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
