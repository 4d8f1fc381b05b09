import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeWith } from '../support/requirements.js'
import { testServer } from '../support/server.js'

/** `describe` for tests that need PgBouncer. A run that promises it (CI with T2F_EXPECT_PGBOUNCER=1) fails without. */
export function describeWithPgBouncer(title: string, define: () => void): void {
  const isMet = isInstalled()
  if (!isMet && process.env['CI'] && process.env['T2F_EXPECT_PGBOUNCER'] === '1') {
    throw new Error('This run is meant to have PgBouncer (T2F_EXPECT_PGBOUNCER=1): install pgbouncer')
  }
  describeWith({ isMet, need: 'PgBouncer: install pgbouncer' }, title, define)
}

/** A running PgBouncer in front of the test server. */
export interface PgBouncer {
  readonly port: number
  readonly url: string
  log(): string
  stop(): Promise<void>
}

/**
 * Starts PgBouncer with `*` for databases and `auth_query` for the roles' secrets, and `settings` over that.
 *
 * @param databases further lines of its section `[databases]`
 * @param secrets secrets of roles, by name, for its file of users
 */
export async function startPgBouncer(
  settings: Readonly<Record<string, string>> = {},
  databases = '',
  secrets: Readonly<Record<string, string>> = {},
): Promise<PgBouncer> {
  const server = await testServer()
  const folder = mkdtempSync(join(tmpdir(), 't2f-pgbouncer-'))
  const port = Number(settings['listen_port'] ?? (await freePort()))
  const users = join(folder, 'users.txt')
  const config = join(folder, 'pgbouncer.ini')
  const known = Object.entries({ [server.user]: server.password, ...secrets })
  writeFileSync(users, known.map(([user, secret]) => `"${user}" "${secret}"\n`).join(''))
  const all = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: users,
    auth_user: server.user,
    auth_query: 'select rolname, rolpassword from pg_authid where rolname = $1',
    pool_mode: 'transaction',
    server_reset_query: 'discard all',
    server_reset_query_always: '1',
    server_idle_timeout: '5',
    query_wait_timeout: '10',
    max_client_conn: '1000',
    ...settings,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`)
  writeFileSync(
    config,
    `[databases]\n${databases}\n* = host=${server.host} port=${server.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  )
  for (const path of [folder, users, config]) chmodSync(path, path === folder ? 0o755 : 0o644)
  // PgBouncer refuses to run as root. The id of `nobody` needs no account.
  const identity = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const child = spawn('pgbouncer', [config], { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/', ...identity })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  const stop = async (): Promise<void> => {
    await end(child)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await listening(child, port, () => output)
  } catch (error) {
    await stop()
    throw error
  }
  return { port, url: `postgres://127.0.0.1:${port}`, log: () => output, stop }
}

function isInstalled(): boolean {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  // It stops at once, without waiting for clients.
  child.kill('SIGTERM')
  const killTimer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await exited
  clearTimeout(killTimer)
}

async function listening(child: ChildProcess, port: number, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if (child.exitCode !== null) break
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (isUp) return
    await sleep(20)
  }
  throw new Error(`pgbouncer does not listen on ${port}:\n${log()}`)
}

async function freePort(): Promise<number> {
  const listener = createServer()
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  listener.close()
  await once(listener, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
