import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TenancyError } from '../../core/errors/errors.js'
import { onProcessExit } from './exit-guard.js'
import type { Binaries } from './locate-binaries.js'
import { serverEnvironment } from './postmaster.js'
import type { RunAs } from './run-as.js'

/** Name of the superuser of an embedded server. */
export const superuser = 'postgres'

/** What {@link initializeData} needs. */
export interface InitializeOptions {
  /** Folder that the server's user can reach; the data ends up in `<home>/postgres`. */
  readonly home: string
  readonly binaries: Binaries
  readonly runAs: RunAs
  readonly password: string
  /** Whether to skip waiting for the disk. */
  readonly noSync: boolean
}

/**
 * Makes the server's data folder. It is made in a draft folder and renamed when complete: an interrupted try leaves only a
 * draft, which {@link removeDrafts} removes.
 *
 * @throws {@link TenancyError} TENANCY_EMBEDDED_START_FAILED
 */
export async function initializeData(options: InitializeOptions): Promise<void> {
  const { home, binaries, runAs, password, noSync } = options
  const draft = join(home, `draft-${randomBytes(6).toString('hex')}`)
  const passwordFile = join(draft, 'password')
  await mkdir(draft, { mode: 0o700 })
  try {
    await writeFile(passwordFile, password, { mode: 0o600 })
    if (runAs.owner !== undefined) {
      await chown(passwordFile, runAs.owner.uid, runAs.owner.gid)
      await chown(draft, runAs.owner.uid, runAs.owner.gid)
    }
    const { file, args, identity } = runAs.command(binaries.initdb, [
      '--pgdata',
      join(draft, 'data'),
      '--username',
      superuser,
      '--pwfile',
      passwordFile,
      '--auth',
      'scram-sha-256',
      '--encoding',
      'UTF8',
      // The builtin provider sorts alike on every machine and needs no locale of the system.
      '--locale-provider',
      'builtin',
      '--builtin-locale',
      'C.UTF-8',
      '--locale',
      'C',
      ...(noSync ? ['--no-sync'] : []),
    ])
    const { code, output } = await run(file, args, identity)
    if (code !== 0) {
      throw new TenancyError(
        'TENANCY_EMBEDDED_START_FAILED',
        `initdb failed as ${runAs.description} in ${home} (exit code ${code}):\n${output.replaceAll(password, '***').trim()}`,
      )
    }
    await closeToPublic(join(draft, 'data'), options)
    await rename(join(draft, 'data'), join(home, 'postgres'))
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

/** Revokes CONNECT from PUBLIC in the databases that initdb made: tenants' roles must not connect to them. */
async function closeToPublic(pgData: string, { binaries, runAs, home, noSync }: InitializeOptions): Promise<void> {
  // Single-user mode: the server has no port yet, and the folder gets its name only when this is done.
  const single = ['--single', ...(noSync ? ['-F'] : []), '-D', pgData, 'template1']
  const { file, args, identity } = runAs.command(binaries.postgres, single)
  const { code, output } = await run(file, args, identity, 'revoke all on database postgres, template1 from public\n')
  if (code !== 0 || /^(?:ERROR|FATAL|PANIC):/m.test(output)) {
    throw new TenancyError(
      'TENANCY_EMBEDDED_START_FAILED',
      `The databases of a new server could not be closed to PUBLIC as ${runAs.description} in ${home} (exit code ${code}):\n${output.trim()}`,
    )
  }
}

/**
 * Whether `<home>/postgres` holds a data folder of this version of PostgreSQL.
 *
 * @throws {@link TenancyError} TENANCY_EMBEDDED_START_FAILED when it holds something else: no data is overwritten
 */
export async function hasData(home: string, majorVersion: string): Promise<boolean> {
  const pgData = join(home, 'postgres')
  const files = await readdir(pgData).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (files === undefined) return false
  if (files.length === 0) {
    await rmdir(pgData)
    return false
  }
  const version = files.includes('PG_VERSION') ? (await readFile(join(pgData, 'PG_VERSION'), 'utf8')).trim() : undefined
  const complete = files.includes('global') && files.includes('postgresql.conf') && files.includes('pg_hba.conf')
  if (version === majorVersion && complete) return true
  throw new TenancyError(
    'TENANCY_EMBEDDED_START_FAILED',
    version !== undefined && version !== majorVersion
      ? `${pgData} was made by PostgreSQL ${version}, and the embedded server is ${majorVersion}: ` +
          'move the folder away to start with an empty one, or set TENANT_DATABASE_URL to a server of its version'
      : `${pgData} is not a complete PostgreSQL data folder: restore it from a backup, or move it away to start with an empty one`,
  )
}

/** Removes the drafts of interrupted starts from `home`. The caller holds the folder's lock. */
export async function removeDrafts(home: string): Promise<void> {
  const drafts = (await readdir(home)).filter((name) => name.startsWith('draft-'))
  await Promise.all(drafts.map((name) => rm(join(home, name), { recursive: true, force: true, maxRetries: 5 })))
}

/** Runs a program in a session of its own, which Ctrl-C in the terminal does not reach: the application decides when to stop. */
function run(
  file: string,
  args: string[],
  identity: { readonly uid?: number; readonly gid?: number },
  input = '',
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: '/',
      env: serverEnvironment(),
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe'],
      ...identity,
    })
    const cancelGuard = onProcessExit(() => child.kill())
    child.once('close', cancelGuard)
    // Ignored: a program that ends without reading its input reports the reason on standard error.
    child.stdin.on('error', () => {}).end(input)
    let output = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-4000)))
    child.once('error', (error) => reject(cannotRun(file, error)))
    child.once('close', (code) => resolve({ code, output }))
  })
}

function cannotRun(file: string, error: Error): TenancyError {
  return new TenancyError(
    'TENANCY_EMBEDDED_UNSUPPORTED',
    `${file} can't be run here (${error.message}): the binaries need glibc (not musl) and an executable folder; ` +
      'otherwise set TENANT_DATABASE_URL',
    { cause: error },
  )
}
