import { findTenancyError } from '../../../../core/errors/errors.js'
import { type Check, ok, problem, skipped, Unmet, warning } from '../../check.js'
import { messageOf } from '../../run-checks.js'

const newestTested = 18

/** The server answers, is a primary, and is PostgreSQL 15 or newer. */
export const server: Check = {
  name: 'server',
  // The embedded server may have to recover first.
  timeoutMs: 60_000,
  async run(context) {
    const { server: configured } = context.config()
    try {
      const { client, description } = await context.connectServer()
      const { rows } = await client.query<{ number: number; version: string; isStandby: boolean }>(
        `select current_setting('server_version_num')::int as number, current_setting('server_version') as version,
           pg_is_in_recovery() as "isStandby"`,
      )
      const { number = 0, version = '', isStandby = false } = rows[0] ?? {}
      const what = `${description}, version ${version}`
      if (isStandby) {
        return problem(
          `${what}, is a standby`,
          'Name the primary: an address that a failover moves, such as a cluster endpoint',
        )
      }
      if (number < 150_000) return problem(`${what}, is too old`, 'Use PostgreSQL 15 or newer')
      if (number >= (newestTested + 1) * 10_000) {
        return warning(`${what}, is newer than what is tested`, `PostgreSQL 15 to ${newestTested} are tested`)
      }
      return ok(what)
    } catch (error) {
      if (error instanceof Unmet) return skipped('The embedded PostgreSQL has no data yet: the first start makes it')
      if (findTenancyError(error) && configured === undefined) {
        return problem(messageOf(error), 'See postgres.log in the data folder')
      }
      const address =
        configured === undefined ? 'The embedded server' : `The server on ${configured.host}:${configured.port}`
      if (configured?.password === '' && /client password must be/.test(reasonOf(error))) {
        return problem(`${address} asks for a password, and TENANT_DATABASE_URL has none`, passwordAdvice)
      }
      return problem(`${address} cannot be reached: ${reasonOf(error)}`, adviceFor(error))
    }
  },
}

const passwordAdvice = 'Write it there, as postgres://user:password@host:5432/postgres'

/** Our own error repeats the address: its cause says why. */
function reasonOf(error: unknown): string {
  return messageOf(findTenancyError(error)?.cause ?? error)
}

function adviceFor(error: unknown): string {
  const cause = findTenancyError(error)?.cause ?? error
  const code = (cause as { readonly code?: unknown } | undefined)?.code
  switch (code) {
    case 'ECONNREFUSED':
      return 'Start it, or correct host and port in TENANT_DATABASE_URL'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'Correct the host in TENANT_DATABASE_URL'
    case '28P01':
    case '28000':
      return 'Correct user and password in TENANT_DATABASE_URL, or the server’s pg_hba.conf'
    case '3D000':
      return 'Correct the database in TENANT_DATABASE_URL: one that exists, such as postgres'
    case '53300':
      return 'Every connection is in use: raise max_connections, or end idle sessions'
    default:
      return 'Check TENANT_DATABASE_URL, and that a firewall lets this machine through'
  }
}
