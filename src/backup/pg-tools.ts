import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ServerAccount } from '../core/tenants/database-target.js'

/** A program of PostgreSQL's. */
export interface PgTool {
  readonly path: string
  /** Major version. */
  readonly version: number
}

/** Finds `pg_dump` or `pg_restore` in a folder, or in the path; undefined: it is not there or does not run. */
export async function findPgTool(
  name: 'pg_dump' | 'pg_restore',
  folder: string | undefined,
): Promise<PgTool | undefined> {
  const path = folder === undefined ? name : join(folder, name)
  const output = await new Promise<string>((resolve) => {
    execFile(path, ['--version'], { timeout: 10_000, env: baseEnvironment() }, (error, stdout) =>
      resolve(error ? '' : stdout),
    )
  })
  const version = /\(PostgreSQL\) (\d+)/.exec(output)?.[1]
  return version === undefined ? undefined : { path, version: Number(version) }
}

// Nothing of ours: no TENANT_SECRET for a child, and no PG* that would change what it does.
function baseEnvironment(): NodeJS.ProcessEnv {
  const { PATH, SystemRoot, LD_LIBRARY_PATH, TMPDIR } = process.env
  return {
    LC_ALL: 'C',
    ...(PATH === undefined ? {} : { PATH }),
    ...(SystemRoot === undefined ? {} : { SystemRoot }),
    ...(LD_LIBRARY_PATH === undefined ? {} : { LD_LIBRARY_PATH }),
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
  }
}

/** The connection settings of an account for libpq, which reads them from the environment: a list of processes shows arguments. */
export interface LibpqEnvironment {
  readonly env: NodeJS.ProcessEnv
  /** Removes the certificate's file. */
  readonly remove: () => Promise<void>
}

/** Whether libpq can check the server's certificate as we do: it does not know the authorities that Node knows. */
export function isForLibpq({ ssl }: ServerAccount): boolean {
  if (ssl === undefined || ssl === false) return true
  if (ssl === true) return false
  return ssl['rejectUnauthorized'] === false || typeof ssl['ca'] === 'string'
}

/** Gives libpq an account; see {@link isForLibpq}. */
export async function libpqEnvironment(account: ServerAccount): Promise<LibpqEnvironment> {
  const { host, port, user, password, database, ssl, channelBinding } = account
  const tls = typeof ssl === 'object' ? ssl : undefined
  const ca = typeof tls?.['ca'] === 'string' ? tls['ca'] : undefined
  // A name check of its own means that only the authority counts, except for an address, where Node needs one in any case.
  const verified = tls?.['checkServerIdentity'] === undefined || isIP(host) !== 0 ? 'verify-full' : 'verify-ca'
  const folder = ca === undefined ? undefined : await mkdtemp(join(tmpdir(), 't2f-tls-'))
  if (folder !== undefined && ca !== undefined) await writeFile(join(folder, 'ca.pem'), ca, { mode: 0o600 })
  return {
    env: {
      ...baseEnvironment(),
      ...{ PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database },
      PGAPPNAME: 'tenants2fast backup',
      PGCONNECT_TIMEOUT: '10',
      PGPASSFILE: '/dev/null',
      PGSSLMODE: tls === undefined ? 'disable' : ca === undefined ? 'require' : verified,
      ...(folder === undefined ? {} : { PGSSLROOTCERT: join(folder, 'ca.pem') }),
      ...(channelBinding === 'require' ? { PGCHANNELBINDING: 'require' } : {}),
    },
    remove: async () => {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A child whose output is read while it runs. */
export interface RunningTool {
  readonly child: ChildProcess
  /** Resolves when it has ended well. @throws Error with the first line that it wrote to standard error */
  readonly ended: Promise<void>
}

/** Starts a program of PostgreSQL's. It ends with `kill`, or when its pipes break. */
export function runPgTool(tool: PgTool, args: readonly string[], env: NodeJS.ProcessEnv, reads: boolean): RunningTool {
  const child = spawn(tool.path, args, { env, stdio: [reads ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    if (said.length < 2000) said += chunk.toString()
  })
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(said.split('\n', 1)[0]?.slice(0, 500) || `it ended with ${signal ?? `code ${code}`}`))
    })
  })
  ended.catch(() => {})
  return { child, ended }
}

/**
 * The arguments of a dump: everything but large objects, in the custom format, of one moment, readable by our parser. Level 3 as
 * for our own parts: to compress takes pg_dump longer than all else.
 */
export const dumpArguments = (snapshot: string): string[] => [
  ...['--format=custom', `--snapshot=${snapshot}`, '--no-password', '--quote-all-identifiers', '--encoding=UTF8'],
  ...['--lock-wait-timeout=10000', '--compress=3', '--no-blobs'],
]

/** The arguments that turn a dump, which comes through a pipe, into text. It makes no connection. */
export const decodeArguments = ['--data-only', '--file=-']

export const libpqFree = baseEnvironment
