import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import * as tls from 'node:tls'
import type { ServerAccount } from '../tenants/database-target.js'
import { TenancyError } from '../errors/errors.js'

const sslModes = ['disable', 'require', 'verify-ca', 'verify-full']
/** Parameters of libpq and other drivers. Messages repeat only such names: a `?` in a password starts a parameter, too. */
const wellKnown =
  /^(?:host|hostaddr|port|user|password|dbname|passfile|options|client_encoding|fallback_application_name|keepalives\w*|tcp_user_timeout|gssencmode|gsslib|gssdelegation|krbsrvname|ssl|sslnegotiation|sslcert|sslkey|sslpassword|sslcertmode|sslcrl|sslcrldir|sslsni|sslcompression|ssl_min_protocol_version|ssl_max_protocol_version|requirepeer|require_auth|replication|service|target_session_attrs|load_balance_hosts|uselibpqcompat|schema|currentSchema|connection_limit|pool_timeout|pgbouncer|statement_timeout|search_path)$/
const supported = ['sslmode', 'sslrootcert', 'channel_binding', 'connect_timeout', 'application_name']

/**
 * Reads `postgres://user:password@host:port/database?…`. Parameters are libpq's and mean what they mean there (PostgreSQL
 * manual, 32.1.2): `sslmode`, `sslrootcert`, `channel_binding`, `connect_timeout`, `application_name`.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID; the message follows the name of the setting, and holds no password
 */
export function parseDatabaseUrl(text: string, defaultPort = 5432): ServerAccount {
  const url = readUrl(text)
  const parameters = readParameters(url)
  const host = decode(url.hostname.replace(/^\[|\]$/g, '')) || 'localhost'
  const ssl = readTls(host, parameters)
  const channelBinding = readChannelBinding(parameters, ssl !== undefined)
  const connectTimeoutMs = readConnectTimeout(parameters)
  const applicationName = parameters.get('application_name')
  return {
    host,
    port: url.port === '' ? defaultPort : Number(url.port),
    user: decode(url.username) || 'postgres',
    password: decode(url.password),
    database: decode(url.pathname.slice(1)) || 'postgres',
    ...(ssl === undefined ? {} : { ssl }),
    ...(channelBinding === undefined ? {} : { channelBinding }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(applicationName === undefined ? {} : { applicationName }),
  }
}

/** Tells whether libpq would read several hosts in a URL: `postgres://one,two/db` or `?host=one,two`. */
export function namesSeveralHosts(text: string): boolean {
  const [, authority = '', query = ''] = /^[a-z]+:\/\/([^/?#]*)[^?#]*\??([^#]*)/i.exec(text) ?? []
  return (
    authority.slice(authority.lastIndexOf('@') + 1).includes(',') ||
    ['host', 'hostaddr'].some((name) => new URLSearchParams(query).get(name)?.includes(',') === true)
  )
}

const severalHosts =
  'names several hosts, and one is supported: give the address that always leads to the primary (a cluster endpoint or ' +
  'DNS name of your provider, or HAProxy or PgBouncer in front), which a failover moves; connections that find a ' +
  'standby are refused and opened again'

function readUrl(text: string): URL {
  if (namesSeveralHosts(text)) throw invalid(severalHosts)
  try {
    return new URL(text)
  } catch {
    throw invalid('cannot be read as a URL: percent-encode what is special in user and password')
  }
}

function readParameters({ searchParams }: URL): ReadonlyMap<string, string> {
  const names = [...searchParams.keys()]
  const unknown = names.filter((name) => !supported.includes(name))
  if (unknown.length > 0) {
    const known = unknown.filter((name) => wellKnown.test(name))
    const which = known.length > 0 ? `: ${known.join(', ')}` : ' (or a password with a ? that is not written %3F)'
    throw invalid(`has parameters that are not supported${which}; there are ${supported.join(', ')}`)
  }
  const twice = names.filter((name, index) => names.indexOf(name) !== index)
  if (twice.length > 0) throw invalid(`has ${twice.join(', ')} more than once`)
  return new Map([...searchParams].filter(([, value]) => value !== ''))
}

/** Reads the options for `tls.connect`; undefined: no TLS. */
function readTls(host: string, parameters: ReadonlyMap<string, string>): Record<string, unknown> | undefined {
  const rootCert = parameters.get('sslrootcert')
  const given = parameters.get('sslmode') ?? (rootCert === 'system' ? 'verify-full' : 'disable')
  if (!sslModes.includes(given)) throw invalid(`has an sslmode other than ${sslModes.join(', ')}`)
  if (given === 'disable') {
    if (rootCert !== undefined) throw invalid('has an sslrootcert, which needs an sslmode of verify-ca or verify-full')
    return undefined
  }
  if (rootCert === 'system' && given !== 'verify-full') {
    throw invalid(
      'has sslrootcert=system, which needs sslmode=verify-full: anybody gets a certificate of a public authority',
    )
  }
  // With a root certificate, libpq takes `require` for `verify-ca`.
  const mode = given === 'require' && rootCert !== undefined ? 'verify-ca' : given
  if (mode === 'require') return { rejectUnauthorized: false }
  const ca = rootCert === undefined ? undefined : readRootCertificates(rootCert)
  return { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }), ...nameCheck(host, mode) }
}

/** Node compares the certificate with a host name by itself, but with "localhost" when the host is an IP address. */
function nameCheck(host: string, mode: string): { checkServerIdentity?: typeof tls.checkServerIdentity } {
  if (mode === 'verify-ca') return { checkServerIdentity: () => undefined }
  return isIP(host) === 0
    ? {}
    : { checkServerIdentity: (_name, certificate) => tls.checkServerIdentity(host, certificate) }
}

function readRootCertificates(path: string): string | string[] | undefined {
  // Before Node 22.15 the system's list cannot be read; undefined is Node's own list and NODE_EXTRA_CA_CERTS.
  if (path === 'system') return (tls as { getCACertificates?(kind: string): string[] }).getCACertificates?.('system')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw invalid(
      `has sslrootcert=${path}, a file that cannot be read (${(cause as NodeJS.ErrnoException).code ?? ''})`,
      cause,
    )
  }
  try {
    // Reads the first one; Node ignores a file that has none and trusts nobody.
    void new X509Certificate(text)
  } catch (cause) {
    throw invalid(`has sslrootcert=${path}, a file without a certificate in PEM format`, cause)
  }
  return text
}

function readChannelBinding(
  parameters: ReadonlyMap<string, string>,
  encrypted: boolean,
): ServerAccount['channelBinding'] {
  const given = parameters.get('channel_binding')
  if (given === undefined || given === 'disable') return undefined
  if (given !== 'prefer' && given !== 'require') {
    throw invalid('has a channel_binding other than disable, prefer or require')
  }
  if (given === 'require' && !encrypted) throw invalid('has channel_binding=require, which needs an sslmode with TLS')
  return encrypted ? given : undefined
}

function readConnectTimeout(parameters: ReadonlyMap<string, string>): number | undefined {
  const given = parameters.get('connect_timeout')
  if (given === undefined) return undefined
  if (!/^\d{1,4}$/.test(given)) throw invalid('has a connect_timeout that is no whole number of seconds')
  // Zero means "for ever" to libpq, which a service cannot afford: here it means our defaults.
  return given === '0' ? undefined : Number(given) * 1000
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('has a percent sign that encodes nothing: write %25')
  }
}

function invalid(message: string, cause?: unknown): TenancyError {
  return new TenancyError('TENANCY_CONFIG_INVALID', message, cause === undefined ? {} : { cause })
}
