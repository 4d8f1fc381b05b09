import fc from 'fast-check'
import { expect, test } from 'vitest'
import { settings } from '../../../src/core/config/settings.js'
import { loadConfig } from '../../../src/core/config/load-config.js'
import { isServiceLink } from '../../../src/core/config/service-links.js'

/** What the kubelet sets in every pod for a service (envvars.FromServices), Docker's links included. */
function linksOf(service: string, ip: string, ports: readonly (readonly [string, number, string])[]) {
  const prefix = service.toUpperCase().replaceAll('-', '_')
  const host = ip.includes(':') ? `[${ip}]` : ip
  const [[, first, firstProtocol]] = ports as readonly [readonly [string, number, string]]
  const env: Record<string, string> = {
    [`${prefix}_SERVICE_HOST`]: ip,
    [`${prefix}_SERVICE_PORT`]: String(first),
    [`${prefix}_PORT`]: `${firstProtocol}://${host}:${first}`,
  }
  for (const [name, port, protocol] of ports) {
    if (name !== '') env[`${prefix}_SERVICE_PORT_${name.toUpperCase().replaceAll('-', '_')}`] = String(port)
    const link = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`
    env[link] = `${protocol}://${host}:${port}`
    env[`${link}_PROTO`] = protocol
    env[`${link}_PORT`] = String(port)
    env[`${link}_ADDR`] = ip
  }
  return env
}

const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/)
const port = fc.tuple(
  fc.oneof(fc.constant(''), label),
  fc.integer({ min: 1, max: 65_535 }),
  fc.constantFrom('tcp', 'udp', 'sctp'),
)

test('the variables that Kubernetes sets for the services of a namespace are ignored, whatever their names', () => {
  const services = fc.tuple(label, fc.oneof(fc.ipV4(), fc.ipV6()), fc.array(port, { minLength: 1, maxLength: 4 }))
  fc.assert(
    fc.property(services, ([name, ip, ports]) => {
      expect(loadConfig(linksOf(`tenant-${name}`, ip, ports))).toEqual(loadConfig({}))
    }),
    { numRuns: 500 },
  )
})

test('a configuration loads beside the variables of a service tenant-api', () => {
  const env = linksOf('tenant-api', '10.0.0.1', [['http', 80, 'tcp']])
  expect(Object.keys(env)).toHaveLength(8)
  expect(loadConfig({ ...env, TENANT_TOKEN_TTL: '60' }).token.ttlSeconds).toBe(60)
})

test.each([
  ['TENANT_SUPERUSER_DB_PORT', '5433'],
  ['TENANT_DB__PORT', '5433'],
  ['TENANT_API_PORT', 'http://10.0.0.1:80'],
  ['TENANT_API_PORT', 'tcp://10.0.0.1'],
  ['TENANT_API_SERVICE_HOST', 'db.internal'],
  ['TENANT_API_SERVICE_PORT', 'http'],
  ['TENANT_API_PORT_80_TCP_PROTO', 'yes'],
  ['TENANT_MAX_CONECTIONS', '5'],
])('%s=%s is not a variable of a service, and is refused', (name, value) => {
  expect(() => loadConfig({ [name]: value })).toThrow(`${name} is not a setting`)
})

test('no setting looks like a variable of a service by its name and value', () => {
  const values = ['80', '10.0.0.1', '::1', 'tcp', 'tcp://10.0.0.1:80']
  const mistaken = Object.entries(settings).flatMap(([name, { schema }]) =>
    values
      .filter((value) => schema.safeParse(value).success && isServiceLink(name, value))
      .map((value) => [name, value]),
  )
  expect(mistaken).toEqual([])
})
