import { isIP } from 'node:net'
import type { Config } from '../../../../core/config/config.js'
import { type Check, combine, type Finding, problem, warning } from '../../check.js'

/** The master secret is random, and the passwords are not those of examples. */
export const secrets: Check = {
  name: 'secrets',
  run(context) {
    const config = context.config()
    return combine(
      [...masterSecret(config), ...serverPassword(config), ...mailPassword(config)],
      config.secret === undefined
        ? 'Development: a secret is derived from the superuser’s password'
        : 'Strong, as far as it shows',
    )
  },
}

const newSecret =
  'Make one by openssl rand -hex 32. The passwords of tenants’ roles follow from it, so this is for a new installation: an ' +
  'existing catalog refuses another secret'

function masterSecret({ secret, server }: Config): Finding[] {
  if (secret === undefined) {
    if (server === undefined) return []
    return [
      warning('TENANT_SECRET is not set: it is derived from the superuser’s password', 'Set it before production'),
    ]
  }
  const weakness = weaknessOf(secret)
  return weakness === undefined ? [] : [problem(`TENANT_SECRET is ${weakness}`, newSecret)]
}

/** Says why 32 bytes do not look random; undefined: they do. A random secret fails once in more than 10^12. */
export function weaknessOf(secret: Buffer): string | undefined {
  const bytes = [...secret]
  const distinct = new Set(bytes).size
  if (distinct < 16) return `not random: ${distinct} different bytes of ${bytes.length}`
  const steps = new Set(bytes.slice(1).map((byte, index) => (byte - (bytes[index] ?? 0) + 256) % 256))
  if (steps.size < 8) return 'not random: it counts'
  if (bytes.every((byte) => byte >= 0x20 && byte < 0x7f)) return 'text, not random'
  const half = bytes.length / 2
  if (secret.subarray(0, half).equals(secret.subarray(half))) return 'not random: it repeats itself'
  return undefined
}

const wellKnown = new Set(
  [
    'postgres',
    'password',
    'passw0rd',
    'secret',
    'admin',
    'root',
    'changeme',
    'change-me',
    'example',
    'test',
    'dev',
  ].concat([
    'development',
    'mysecretpassword',
    'supersecret',
    'postgresql',
    'letmein',
    'qwerty',
    'docker',
    '123456',
    '12345678',
  ]),
)

function weakPassword(password: string, user: string): string | undefined {
  if (password === '') return 'empty'
  if (password.toLowerCase() === user.toLowerCase()) return 'the name of the account'
  if (wellKnown.has(password.toLowerCase())) return 'one that everybody tries first'
  if (password.length < 12) return `short: ${password.length} characters`
  return undefined
}

function serverPassword({ server, isProduction }: Config): Finding[] {
  if (server === undefined || server.host.startsWith('/')) return []
  const weakness = weakPassword(server.password, server.user)
  if (weakness === undefined) return []
  const isSerious = isProduction || !isLoopback(server.host)
  return [
    (isSerious ? problem : warning)(
      `The password of the provisioning account is ${weakness}`,
      `Set another one: \\password ${server.user} in psql, and write it into TENANT_DATABASE_URL`,
    ),
  ]
}

function mailPassword({ mail }: Config): Finding[] {
  if (mail?.password === undefined) return []
  const weakness = weakPassword(mail.password, mail.username ?? '')
  return weakness === undefined ? [] : [warning(`The password of the mail account is ${weakness}`, 'Set another one')]
}

/** Whether a host is this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('/') || (isIP(host) === 4 && host.startsWith('127.'))
}
