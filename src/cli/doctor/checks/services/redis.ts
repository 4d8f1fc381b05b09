import { type Check, combine, type Finding, problem, skipped, warning } from '../../check.js'
import { isLoopback } from '../machine/secrets.js'
import { messageOf } from '../../run-checks.js'

/** Redis answers, is new enough, and removes what it has no room for. */
export const redis: Check = {
  name: 'redis',
  async run(context) {
    const { redis: configured, processes } = context.config()
    if (configured === undefined) {
      return skipped(`TENANT_REDIS_URL is not set${processes > 2 ? ': processes share no cache' : ''}`)
    }
    const url = new URL(configured.url)
    let info: ReadonlyMap<string, string>
    try {
      info = await (await context.connectRedis()).info()
    } catch (error) {
      return problem(
        `Redis on ${url.hostname}:${url.port || '6379'} cannot be asked: ${messageOf(error)}`,
        'Start it, or correct TENANT_REDIS_URL. Meanwhile members are read from the catalog: slower, never wrong',
      )
    }
    const version = info.get('redis_version') ?? '?'
    return combine(
      [...judgeRedis(info), ...judgeAddress(url)],
      `Redis ${version}, ${Number(info.get('maxmemory')) > 0 ? `maxmemory-policy ${info.get('maxmemory_policy')}` : 'without a memory limit'}`,
    )
  },
}

/** @param info the fields of `INFO` */
export function judgeRedis(info: ReadonlyMap<string, string>): Finding[] {
  const findings: Finding[] = []
  const version = info.get('redis_version') ?? '0'
  if (Number.parseInt(version, 10) < 6) {
    findings.push(problem(`Redis ${version} does not speak RESP 3`, 'Use Redis 6 or newer'))
  }
  if (info.get('role') === 'slave') {
    findings.push(problem('Redis is a replica, which takes no writes', 'Name the primary in TENANT_REDIS_URL'))
  }
  if (Number(info.get('maxmemory') ?? 0) > 0 && info.get('maxmemory_policy') === 'noeviction') {
    findings.push(
      warning(
        'Redis refuses writes when it is full (maxmemory-policy noeviction)',
        'Set maxmemory-policy to allkeys-lru',
      ),
    )
  }
  return findings
}

function judgeAddress({ protocol, hostname, password }: URL): Finding[] {
  if (isLoopback(hostname)) return []
  return [
    ...(protocol === 'rediss:'
      ? []
      : [warning(`The connection to Redis on ${hostname} is not encrypted`, 'Use rediss://')]),
    ...(password === '' ? [warning('Redis asks for no password', 'Set one: requirepass, or an ACL user')] : []),
  ]
}
