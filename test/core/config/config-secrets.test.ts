import { format, inspect } from 'node:util'
import Fastify from 'fastify'
import { expect, test } from 'vitest'
import { wholeConfig } from '../../../src/core/config/config-secrets.js'
import type { Config } from '../../../src/core/config/config.js'
import { loadConfig } from '../../../src/core/config/load-config.js'

const secrets = [
  'hunter-database',
  'hunter-redis',
  'hunter-mail',
  'cd'.repeat(32),
  Buffer.alloc(32, 0xcd).toString('base64'),
]

const load = () =>
  loadConfig({
    TENANT_DATABASE_URL: 'postgres://u:hunter-database@localhost/postgres?sslmode=require',
    TENANT_SECRET: 'cd'.repeat(32),
    TENANT_REDIS_URL: 'redis://:hunter-redis@localhost',
    TENANT_MAIL__HOST: 'h',
    TENANT_MAIL__FROM: 'f',
    TENANT_MAIL__USERNAME: 'u',
    TENANT_MAIL__PASSWORD: 'hunter-mail',
  })

const copies: Readonly<Record<string, (config: Config) => unknown>> = {
  'the configuration': (config) => config,
  'a spread': (config) => ({ ...config }),
  'a spread of its parts': ({ server, redis, mail }) => [{ ...server }, { ...redis }, { ...mail }],
  'Object.assign': (config) => Object.assign({}, config),
  'Object.entries': (config) => Object.entries(config).map(([name, value]) => [name, value && Object.entries(value)]),
  'its values': (config) => Object.values(config),
  structuredClone: (config) => structuredClone(config),
  'a clone by JSON': (config) => JSON.parse(JSON.stringify(config)) as unknown,
  'for in': (config) => {
    const copy: Record<string, unknown> = {}
    for (const name in config) copy[name] = config[name as keyof Config]
    return copy
  },
}

/** As pino writes it, which is Fastify's logger. */
function logged(value: unknown): string {
  let text = ''
  const { log } = Fastify({ logger: { level: 'info', stream: { write: (line: string) => void (text += line) } } })
  log.info({ value }, 'started')
  log.info(value as object, 'started')
  return text
}

test.each(Object.entries(copies))('%s shows no secret, however it is written', (_name, copyOf) => {
  const copy = copyOf(load())
  for (const text of [
    JSON.stringify(copy),
    inspect(copy, { depth: 9 }),
    inspect(copy, { depth: 9, showHidden: true }),
    inspect(copy, { depth: 9, showHidden: true, getters: true }),
    format('%o %O %j', copy, copy, copy),
    logged(copy),
    inspect(structuredClone(copy), { depth: 9, showHidden: true }),
  ]) {
    for (const secret of secrets) expect(text).not.toContain(secret)
    // A Buffer, as JSON and as inspect write it.
    expect(text).not.toMatch(/205,\s*205|cd cd cd/)
    expect(text.length).toBeGreaterThan(10)
  }
})

test('the secrets of a configuration are read by their names', () => {
  const { server, redis, mail, secret } = load()
  expect([server?.password, redis?.url, mail?.password]).toEqual([
    'hunter-database',
    'redis://:hunter-redis@localhost',
    'hunter-mail',
  ])
  expect(secret).toEqual(Buffer.alloc(32, 0xcd))
})

test('a printed configuration shows that there is a secret, and not the secret', () => {
  expect(JSON.parse(JSON.stringify(load()))).toMatchObject({
    secret: '[hidden]',
    server: { user: 'u', password: '[hidden]' },
    redis: { url: '[hidden]' },
    mail: { password: '[hidden]' },
  })
  expect(JSON.stringify(loadConfig({}))).not.toContain('[hidden]')
})

test('a copy with another setting is a complete configuration, and hides its secrets, too', () => {
  const copy = wholeConfig({ ...load(), maxConnections: 7 })
  expect(copy.maxConnections).toBe(7)
  expect(copy.secret).toEqual(Buffer.alloc(32, 0xcd))
  expect(copy.server?.password).toBe('hunter-database')
  expect(Object.keys(copy)).not.toContain('secret')
  expect(
    wholeConfig({ ...copy, server: { ...load().server, password: 'other', port: 1 } as Config['server'] }).server,
  ).toMatchObject({ port: 1, host: 'localhost' })
  const replaced = wholeConfig({ ...load(), secret: Buffer.alloc(32, 1) })
  expect(replaced.secret).toEqual(Buffer.alloc(32, 1))
  expect(inspect(replaced, { showHidden: true, depth: 9 })).not.toContain('01 01')
})

test.each([
  ['structuredClone', (config: Config) => structuredClone(config), 'config'],
  ['JSON', (config: Config) => JSON.parse(JSON.stringify(config)) as Config, 'config'],
  [
    'a part that was spread',
    (config: Config) => ({ ...config, server: { ...config.server } as never }),
    'config.server',
  ],
  ['the cache’s part', (config: Config) => ({ ...config, redis: { ...config.redis } as never }), 'config.redis'],
  ['the mail’s part', (config: Config) => ({ ...config, mail: { ...config.mail } as never }), 'config.mail'],
])(
  '%s loses secrets, which is refused by name and not taken for a configuration without them',
  (_name, copyOf, part) => {
    expect(() => wholeConfig(copyOf(load()))).toThrow(
      expect.objectContaining({
        code: 'TENANCY_CONFIG_INVALID',
        message: expect.stringContaining(`${part} is a copy without its secrets`),
      }),
    )
  },
)
