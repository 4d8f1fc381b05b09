import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { TenancyError } from '../../core/errors/errors.js'
import { type Logger, stderrLogger } from '../../core/logger.js'
import { changeOwner, makeSocketDir, openDataDir, readSecret, serverHome } from './data-home.js'
import { onProcessExit } from './exit-guard.js'
import { lockFolder, tryLockFolder } from './folder-lock.js'
import { hasData, initializeData, removeDrafts, superuser } from './initialize.js'
import { type Binaries, prepareBinaries } from './locate-binaries.js'
import { locatePackage, majorVersion } from './locate-package.js'
import {
  findFreePort,
  launchPostmaster,
  logTail,
  type Postmaster,
  signalPostmaster,
  stopPostmaster,
  waitUntilReady,
} from './postmaster.js'
import { findRunningServer } from './postmaster-pid.js'
import { processIdentity } from './process-identity.js'
import { chooseRunAs, type RunAs } from './run-as.js'
import { joinServer, type ServerUser } from './server-users.js'

/** Options of {@link startEmbeddedServer}. */
export interface EmbeddedServerOptions {
  /** Folder for data, secret, log and lock. Made when missing; relative to the working directory. */
  readonly dataDir: string
  /** Default: warnings and errors to standard error. */
  readonly logger?: Logger
  /** Server settings (postgresql.conf names) for a server that this call starts; an adopted one keeps its own. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A running embedded server. */
export interface EmbeddedServer {
  /** Account of its superuser, with the password. */
  readonly account: ServerAccount
  /** Whether the server ran already before this call. */
  readonly adopted: boolean
  /** Process id of the server. */
  readonly pid: number
  /** Stops using the server. The last user of a data folder, in any process, stops the server and waits for its end. */
  stop(): Promise<void>
}

const lockTimeoutMs = 90_000
const startTimeoutMs = 60_000
const answerTimeoutMs = 5_000
const stopTimeoutMs = 30_000
const maxAttempts = 5

/**
 * Starts the PostgreSQL of the platform package on a free loopback port, or joins the one that already runs in this data
 * folder (started by another process, or left by one that was killed).
 *
 * @throws {@link TenancyError} TENANCY_EMBEDDED_UNSUPPORTED, TENANCY_EMBEDDED_START_FAILED, TENANCY_EMBEDDED_IN_USE
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
  const native = locatePackage()
  const dataDir = await openDataDir(options.dataDir)
  const release = await lockFolder(dataDir, lockTimeoutMs)
  try {
    const runAs = chooseRunAs(dataDir)
    const home = await serverHome(dataDir, runAs)
    await removeDrafts(home)
    const context: StartContext = {
      dataDir,
      home,
      runAs,
      pgData: join(home, 'postgres'),
      logFile: join(dataDir, 'postgres.log'),
      binaries: await prepareBinaries(native, home, runAs),
      logger: options.logger ?? stderrLogger,
      settings: options.settings ?? {},
    }
    return await joinOrStart(context)
  } finally {
    release()
  }
}

interface StartContext {
  readonly dataDir: string
  readonly home: string
  readonly runAs: RunAs
  readonly pgData: string
  readonly logFile: string
  readonly binaries: Binaries
  readonly logger: Logger
  readonly settings: Readonly<Record<string, string>>
}

async function joinOrStart(context: StartContext): Promise<EmbeddedServer> {
  const { dataDir, home, runAs, pgData, binaries, logger, settings } = context
  const initialized = await hasData(home, majorVersion)
  const password = await readSecret(dataDir, !initialized)
  const running = initialized ? await adopt(context, password) : undefined
  if (running !== undefined) return serve(context, running, joinServer(dataDir), true)
  if (!initialized) {
    await initializeData({ home, binaries, runAs, password, noSync: settings['fsync'] === 'off' })
    logger.info({ dataDir: home, runAs: runAs.description }, 'Embedded PostgreSQL: made a data folder')
  }
  await changeOwner(runAs, pgData)
  return start(context, password)
}

interface RunningServer {
  readonly postmaster: Postmaster
  readonly account: ServerAccount
  /** Temporary folder to remove with the server. */
  readonly temporaryDir?: string
}

/** Returns the server that already runs in the data folder. If it can't be connected to, it is stopped. */
async function adopt(context: StartContext, password: string): Promise<RunningServer | undefined> {
  const { pgData, binaries, logger } = context
  const found = await findRunningServer(pgData)
  const identity = found && processIdentity(found.pid)
  if (found === undefined || identity === undefined) return undefined
  const postmaster = { pid: found.pid, identity }
  const account = accountOn(found.port, password)
  const timeoutMs = found.ready ? answerTimeoutMs : startTimeoutMs
  if (await waitUntilReady(postmaster, account, pgData, timeoutMs)) return { postmaster, account }
  logger.warn({ pid: found.pid, pgData }, 'Embedded PostgreSQL: stopping a server that does not answer')
  await stopPostmaster(postmaster, pgData, binaries, stopTimeoutMs)
  return undefined
}

async function start(context: StartContext, password: string): Promise<EmbeddedServer> {
  const { dataDir, home, runAs, pgData, logFile, binaries, logger, settings } = context
  const socketDir = await makeSocketDir(home, runAs)
  const user = joinServer(dataDir)
  try {
    for (let attempt = 1; ; attempt += 1) {
      const port = await findFreePort()
      const launch = { binaries, runAs, pgData, socketDir: socketDir.path, logFile, port, settings }
      const postmaster = await launchPostmaster(launch)
      const cancelGuard = onProcessExit(() => signalPostmaster(postmaster, 'SIGINT'))
      try {
        const account = accountOn(port, password)
        if (await waitUntilReady(postmaster, account, pgData, startTimeoutMs)) {
          logger.info({ pid: postmaster.pid, port, runAs: runAs.description }, 'Embedded PostgreSQL: started')
          const running = { postmaster, account, ...(socketDir.temporary ? { temporaryDir: socketDir.path } : {}) }
          return serve(context, running, user, false)
        }
        const tail = await logTail(logFile, password)
        if (attempt < maxAttempts && isTransient(tail)) continue
        throw new TenancyError(
          'TENANCY_EMBEDDED_START_FAILED',
          `The server in ${pgData} did not start as ${runAs.description}; the end of ${logFile}:\n${tail}`,
        )
      } catch (error) {
        await stopPostmaster(postmaster, pgData, binaries, stopTimeoutMs)
        throw error
      } finally {
        cancelGuard()
      }
    }
  } catch (error) {
    user.leave()
    if (socketDir.temporary) await rm(socketDir.path, { recursive: true, force: true })
    throw error
  }
}

/** Whether a failure may be gone at the next try: a port taken meanwhile, backends of a killed server that still end. */
function isTransient(log: string): boolean {
  return /could not bind|could not create any TCP\/IP sockets|is still in use/.test(log)
}

function serve(context: StartContext, running: RunningServer, user: ServerUser, adopted: boolean): EmbeddedServer {
  const { dataDir, pgData, binaries } = context
  const { postmaster, account, temporaryDir } = running
  const cancelGuard = onProcessExit(() => {
    if (!existsSync(dataDir)) return void signalPostmaster(postmaster, 'SIGINT')
    // If another process holds the lock, it is joining or stopping the server, and decides.
    const release = tryLockFolder(dataDir)
    if (user.leave() && release !== undefined) signalPostmaster(postmaster, 'SIGINT')
    release?.()
  })
  const stop = async () => {
    // If the folder was removed under the running server, no other process can use the server either.
    const release = existsSync(dataDir) ? await lockFolder(dataDir, lockTimeoutMs) : undefined
    try {
      if (release === undefined || user.leave()) await stopPostmaster(postmaster, pgData, binaries, stopTimeoutMs)
      cancelGuard()
      if (temporaryDir !== undefined) await rm(temporaryDir, { recursive: true, force: true })
    } finally {
      release?.()
    }
  }
  let stopped: Promise<void> | undefined
  return { account, adopted, pid: postmaster.pid, stop: () => (stopped ??= stop()) }
}

function accountOn(port: number, password: string): ServerAccount {
  return { host: '127.0.0.1', port, user: superuser, password, database: 'postgres' }
}
