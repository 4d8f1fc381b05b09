import { spawn, execFile } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile, rename } from 'node:fs/promises'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { TenancyError } from '../../core/errors/errors.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import type { Binaries } from './locate-binaries.js'
import { isRunning, processIdentity } from './process-identity.js'
import type { RunAs } from './run-as.js'

/** What {@link launchPostmaster} needs. */
export interface LaunchOptions {
  readonly binaries: Binaries
  readonly runAs: RunAs
  readonly pgData: string
  readonly socketDir: string
  readonly logFile: string
  readonly port: number
  readonly settings: Readonly<Record<string, string>>
}

/** A server process. */
export interface Postmaster {
  readonly pid: number
  /** Identifies this process also after its id was reused; see `processIdentity`. */
  readonly identity: string
}

/** Environment of the server's programs: without the application's variables, which may be secrets. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = ['PATH', 'LD_LIBRARY_PATH', 'SystemRoot', 'TEMP', 'TMP']
  const inherited = Object.fromEntries(kept.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])))
  return { ...inherited, LC_ALL: 'C', TZ: 'UTC' }
}

/**
 * Starts the server in a session of its own, which the terminal's Ctrl-C does not reach. Its log goes to `logFile`; the log
 * of the previous start is kept as `<logFile>.1`.
 */
export async function launchPostmaster(options: LaunchOptions): Promise<Postmaster> {
  const { binaries, runAs, pgData, socketDir, logFile, port } = options
  const settings: Record<string, string> = {
    max_connections: '200',
    // After a crash, one call per file system instead of one per file: a thousand databases have 300,000 files (PostgreSQL
    // manual, 19.14). Only Linux has it.
    ...(process.platform === 'linux' ? { recovery_init_sync_method: 'syncfs' } : {}),
    // Failed statements may hold secrets (role passwords): PostgreSQL logs them from this level up only.
    log_min_error_statement: 'panic',
    ...options.settings,
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: process.platform === 'win32' ? '' : socketDir,
    unix_socket_permissions: '0700',
    logging_collector: 'off',
  }
  const { file, args, identity } = runAs.command(binaries.postgres, [
    '-D',
    pgData,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ])
  await rename(logFile, `${logFile}.1`).catch(() => {})
  const log = openSync(logFile, 'a', 0o600)
  try {
    const child = spawn(file, args, {
      cwd: '/',
      env: serverEnvironment(),
      detached: true,
      stdio: ['ignore', log, log],
      ...identity,
    })
    await new Promise<void>((spawned, reject) => {
      child.once('spawn', spawned)
      child.once('error', reject)
    })
    child.unref()
    // A child that has ended by now has no identity: an empty one means "not running".
    return { pid: child.pid ?? 0, identity: processIdentity(child.pid ?? 0) ?? '' }
  } finally {
    closeSync(log)
  }
}

/**
 * Waits until the server on `account` answers a query and is the one of `pgData`. Resolves to false when the process ends
 * first, or after `timeoutMs`.
 *
 * @throws {@link TenancyError} TENANCY_EMBEDDED_START_FAILED when it answers and refuses the password
 */
export async function waitUntilReady(
  postmaster: Postmaster,
  account: ServerAccount,
  pgData: string,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (isRunning(postmaster.identity) && Date.now() < deadline) {
    try {
      if ((await dataDirectoryOf(account)) === pgData) return true
    } catch (error) {
      if (hasSqlState(error, sqlStates.invalidPassword)) {
        throw new TenancyError(
          'TENANCY_EMBEDDED_START_FAILED',
          `The server in ${pgData} does not accept the password in the file "secret" beside it: restore that file, ` +
            'or move the folder away to start with an empty one',
        )
      }
    }
    await sleep(20)
  }
  return false
}

async function dataDirectoryOf(account: ServerAccount): Promise<string | undefined> {
  const client = new pg.Client({ ...account, ssl: false, connectionTimeoutMillis: 5000 })
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query<{ folder: string }>("select current_setting('data_directory') as folder")
    return rows[0] && resolve(rows[0].folder)
  } finally {
    await client.end().catch(() => {})
  }
}

/** Stops a server and waits for its end: a fast shutdown, after `timeoutMs` an immediate one, then SIGKILL. */
export async function stopPostmaster(
  postmaster: Postmaster,
  pgData: string,
  binaries: Binaries,
  timeoutMs: number,
): Promise<void> {
  if (process.platform === 'win32') await pgCtlStop(binaries, pgData)
  for (const [signal, waitMs] of [
    ['SIGINT', timeoutMs],
    ['SIGQUIT', 5000],
    ['SIGKILL', 5000],
  ] as const) {
    if (!signalPostmaster(postmaster, signal)) return
    const deadline = Date.now() + waitMs
    while (Date.now() < deadline) {
      if (!isRunning(postmaster.identity)) return
      await sleep(10)
    }
  }
}

/** Sends a signal to the server unless it has ended; false when it has. */
export function signalPostmaster(postmaster: Postmaster, signal: NodeJS.Signals): boolean {
  if (!isRunning(postmaster.identity)) return false
  try {
    return process.kill(postmaster.pid, signal)
  } catch {
    return isRunning(postmaster.identity)
  }
}

/** Windows has no signals: `process.kill` would end the server without a checkpoint. */
function pgCtlStop(binaries: Binaries, pgData: string): Promise<void> {
  return new Promise((done) => {
    execFile(binaries.pgCtl, ['stop', '-D', pgData, '-m', 'fast'], { env: serverEnvironment() }, () => done())
  })
}

/** Finds a port of the loopback address that is free now. */
export async function findFreePort(): Promise<number> {
  return new Promise((found, reject) => {
    const listener = createServer()
    listener.once('error', reject)
    listener.listen({ host: '127.0.0.1', port: 0, exclusive: true }, () => {
      const address = listener.address()
      listener.close(() =>
        address !== null && typeof address === 'object' ? found(address.port) : reject(new Error('No port')),
      )
    })
  })
}

/** Reads the last lines of the log, without statements and without `secret`. */
export async function logTail(logFile: string, secret: string): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '')
  const lines = text
    .trimEnd()
    .split('\n')
    .filter((line) => !/\b(STATEMENT|QUERY): /.test(line))
  return lines.slice(-10).join('\n').replaceAll(secret, '***')
}
