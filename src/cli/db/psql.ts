import { spawn } from 'node:child_process'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { CliError } from '../cli-error.js'

/** How psql is started. */
export interface PsqlOptions {
  readonly account: ServerAccount
  /** A role that the session takes on: of ours, without characters that need quoting. Default: none. */
  readonly role?: string | undefined
  /** Text of `TENANT_DATABASE_URL`, for the TLS settings that psql needs as text. */
  readonly databaseUrl: string | undefined
  /** Passed on as they are. */
  readonly args: readonly string[]
  /** Ends psql. */
  readonly signal: AbortSignal
  /** Where its output goes: to standard error where standard output is for JSON. */
  readonly isJson: boolean
}

/**
 * Runs psql with this program's terminal, and gives its exit code. Everything about the connection goes through its environment,
 * which only its owner can read: an argument would be in every list of processes.
 *
 * @throws {@link CliError} CLI_FAILED: psql is not installed
 */
export function runPsql({ account, role, databaseUrl, args, signal, isJson }: PsqlOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('psql', args, {
      env: {
        ...inherited(process.env),
        ...connectionVariables(account, databaseUrl),
        ...(role === undefined ? {} : { PGOPTIONS: `-c role=${role}` }),
      },
      stdio: ['inherit', isJson ? 2 : 'inherit', 'inherit'],
    })
    const end = () => child.kill('SIGTERM')
    signal.addEventListener('abort', end)
    child.on('error', (error: NodeJS.ErrnoException) => {
      signal.removeEventListener('abort', end)
      reject(error.code === 'ENOENT' ? new CliError('CLI_FAILED', notInstalled) : error)
    })
    child.on('exit', (code) => {
      signal.removeEventListener('abort', end)
      resolve(code ?? 1)
    })
  })
}

const notInstalled =
  'psql is not installed, or not in the PATH: apt install postgresql-client on Debian and Ubuntu, brew install libpq on macOS'

/** The environment without what would change the connection, and without our own secrets: psql can show it (`\! env`). */
function inherited(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = ['PGTZ', 'PGCLIENTENCODING']
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name]) => !name.startsWith('TENANT_') && (!/^PG[A-Z]/.test(name) || kept.includes(name)),
    ),
  )
}

/** libpq's variables (PostgreSQL manual, 34.15) for an account. */
export function connectionVariables(account: ServerAccount, databaseUrl: string | undefined): Record<string, string> {
  const parameters = databaseUrl === undefined ? new URLSearchParams() : new URL(databaseUrl).searchParams
  const passedOn = [
    ['PGSSLMODE', parameters.get('sslmode') ?? (account.ssl === undefined ? 'prefer' : 'require')],
    ['PGSSLROOTCERT', parameters.get('sslrootcert')],
    ['PGCHANNELBINDING', parameters.get('channel_binding')],
    ['PGCONNECT_TIMEOUT', parameters.get('connect_timeout')],
  ] as const
  return {
    PGHOST: account.host,
    PGPORT: String(account.port),
    PGUSER: account.user,
    PGPASSWORD: account.password,
    PGDATABASE: account.database,
    PGAPPNAME: 'tenants2fast db shell',
    ...Object.fromEntries(passedOn.filter((pair): pair is [(typeof pair)[0], string] => pair[1] !== null)),
  }
}
