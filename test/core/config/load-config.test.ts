import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { settings } from '../../../src/core/config/settings.js'
import { loadConfig } from '../../../src/core/config/load-config.js'
import { isTenancyError } from '../../../src/core/errors/errors.js'

function problemsOf(env: Record<string, string>): string {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof Error && isTenancyError(error, 'TENANCY_CONFIG_INVALID')) return error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

describe('defaults', () => {
  test('without any setting, the embedded server and the documented defaults are used', () => {
    expect(loadConfig({})).toMatchObject({
      server: undefined,
      catalogDatabase: 'tenants2fast',
      databasePrefix: 'tenant_',
      maxTenantConnections: 5,
      maxConnections: 20,
      processes: 2,
      urlPrefix: 'tenants',
      redis: undefined,
      authPrefix: '/auth',
      isProduction: false,
    })
  })

  test('an empty variable counts as not set', () => {
    expect(loadConfig({ TENANT_DATABASE_URL: '', TENANT_MAX_CONNECTIONS: '' })).toMatchObject({
      server: undefined,
      maxConnections: 20,
    })
  })

  test('one TENANT_SUPERUSER_DB__ variable is enough to use that server: the others have their defaults', () => {
    const { server } = loadConfig({ TENANT_SUPERUSER_DB__PORT: '6000' })
    expect(server).toEqual({ host: 'localhost', port: 6000, user: 'postgres', database: 'postgres' })
    expect(server?.password).toBe('postgres')
  })

  test('TENANT_EXTENSIONS is a list of names, each of which counts once', () => {
    expect(loadConfig({ TENANT_EXTENSIONS: 'citext, pg_trgm,uuid-ossp,citext' }).extensions).toEqual([
      'citext',
      'pg_trgm',
      'uuid-ossp',
    ])
    for (const names of ['citext,', 'a;b', 'citext"; drop', ' ', 'é', 'x'.repeat(64)]) {
      expect(() => loadConfig({ TENANT_EXTENSIONS: names })).toThrow(/TENANT_EXTENSIONS .*letters, digits/)
    }
  })

  test('TENANT_REDIS_TTL takes effect with TENANT_REDIS_URL', () => {
    const { redis } = loadConfig({ TENANT_REDIS_URL: 'redis://localhost' })
    expect([redis?.url, redis?.ttlSeconds]).toEqual(['redis://localhost', 300])
  })
})

describe('TENANT_DATABASE_URL', () => {
  test('TENANT_DATABASE_URL is the short form of the five TENANT_SUPERUSER_DB__ variables', () => {
    const url = 'postgres://me%40x:p%3Aw@127.0.0.1:5433/main'
    const { server } = loadConfig({ TENANT_DATABASE_URL: url })
    expect(server).toEqual({ host: '127.0.0.1', port: 5433, user: 'me@x', database: 'main' })
    expect(server?.password).toBe('p:w')
  })

  test('TENANT_DATABASE_URL and the TENANT_SUPERUSER_DB__ variables exclude each other', () => {
    expect(problemsOf({ TENANT_DATABASE_URL: 'postgres://localhost', TENANT_SUPERUSER_DB__NAME: 'x' })).toContain(
      'TENANT_DATABASE_URL and TENANT_SUPERUSER_DB__NAME exclude each other',
    )
  })

  test.each([
    'nonsense',
    'http://localhost',
    'postgres://localhost/db?options=-c',
    'postgres://localhost?sslmode=prefer',
  ])('TENANT_DATABASE_URL=%s is refused', (url) => {
    expect(problemsOf({ TENANT_DATABASE_URL: url })).toContain('TENANT_DATABASE_URL')
  })
})

describe('TENANT_TRUSTED_PROXIES', () => {
  test('TENANT_TRUSTED_PROXIES is a list of addresses and CIDR ranges, IPv4 and IPv6', () => {
    const text = '127.0.0.1, 10.0.0.0/8,2001:db8::/32 , ::1,::ffff:192.0.2.0/120,'
    expect(loadConfig({ TENANT_TRUSTED_PROXIES: text }).trustedProxies).toEqual([
      '127.0.0.1',
      '10.0.0.0/8',
      '2001:db8::/32',
      '::1',
      '::ffff:192.0.2.0/120',
    ])
  })

  test.each([
    'localhost',
    'loopback',
    'true',
    '10.0.0.0/33',
    '10.0.0/8',
    '10.0.0.1/',
    '10.0.0.1/-1',
    '10.0.0.0/8/8',
    '010.0.0.1',
    '2001:db8::/129',
    '[::1]',
    'fe80::1%eth0',
    '127.0.0.1:80',
  ])('TENANT_TRUSTED_PROXIES refuses the entry %s and names it', (entry) => {
    expect(problemsOf({ TENANT_TRUSTED_PROXIES: `127.0.0.1, ${entry}` })).toContain(
      `TENANT_TRUSTED_PROXIES has ${JSON.stringify(entry)}`,
    )
  })

  test.each(['0.0.0.0/0', '::/0', '::ffff:0:0/96', '::ffff:0.0.0.0/90'])(
    'refuses %s: whoever trusts everybody believes forged headers',
    (entry) => {
      expect(problemsOf({ TENANT_TRUSTED_PROXIES: entry })).toContain('TENANT_TRUSTED_PROXIES')
    },
  )
})

describe('TENANT_POOLER_URL', () => {
  const server = { TENANT_DATABASE_URL: 'postgres://app:pw@127.0.0.1:5432/postgres' }

  test('TENANT_POOLER_URL is the address of tenant traffic, and leaves the address of the server as it is', () => {
    const config = loadConfig({ ...server, TENANT_POOLER_URL: 'postgres://127.0.0.2:6433' })
    expect(config.pooler).toEqual({ host: '127.0.0.2', port: 6433 })
    expect(config.server).toMatchObject({ host: '127.0.0.1', port: 5432, user: 'app' })
  })

  test('TENANT_POOLER_URL has PgBouncer’s port unless it names one, and TLS if it asks for it', () => {
    const config = loadConfig({ ...server, TENANT_POOLER_URL: 'postgres://pooler.internal/?sslmode=verify-full' })
    expect(config.pooler).toEqual({ host: 'pooler.internal', port: 6432, ssl: { rejectUnauthorized: true } })
  })

  test.each(['postgres://app@127.0.0.1:6432', 'postgres://:pw@127.0.0.1:6432', 'postgres://127.0.0.1:6432/acme'])(
    'TENANT_POOLER_URL=%s is refused, because it names an account or a database',
    (url) => {
      expect(() => loadConfig({ ...server, TENANT_POOLER_URL: url })).toThrow('TENANT_POOLER_URL names host and port')
    },
  )

  test('TENANT_POOLER_URL without a server behind it is refused', () => {
    expect(() => loadConfig({ TENANT_POOLER_URL: 'postgres://127.0.0.1:6432' })).toThrow('set TENANT_DATABASE_URL')
  })
})

describe('problems', () => {
  test('every problem is named in one error', () => {
    const message = problemsOf({
      TENANT_MAX_CONNECTIONS: 'many',
      TENANT_DB_PREFIX: 'Bad Prefix',
      TENANT_REDIS_URL: 'http://localhost',
      TENANT_OIDC_ISSUERS: '{',
      TENANT_MAIL__HOST: 'mail',
      TENANT_MAIL__USERNAME: 'me',
    })
    for (const name of ['MAX_CONNECTIONS', 'DB_PREFIX', 'REDIS_URL', 'OIDC_ISSUERS', 'MAIL__FROM', 'MAIL__PASSWORD']) {
      expect(message).toContain(`TENANT_${name}`)
    }
  })

  test.each([
    ['{}', 'must be a JSON array'],
    ['[1]', '[0] must be a JSON object'],
    ['[{}]', '[0].issuer is missing; [0].audience must be a text, or an array of at least one'],
    [
      [
        { issuer: 'https://a', audience: 'a' },
        { issuer: 'x', audience: [], foo: 1 },
      ],
      '[1].issuer must be a URL that starts with https:// or http://; [1].audience must have at least 1 entry; ' +
        '[1] has fields that are unknown: "foo"',
    ],
    [
      [{ issuer: 'https://a', audience: 'a', createUsers: 'yes', maxTokenBytes: 5, clockToleranceSeconds: 'x' }],
      '[0].maxTokenBytes must be at least 1024; [0].clockToleranceSeconds must be a number; ' +
        '[0].createUsers must be true or false',
    ],
    [
      [{ issuer: 'https://a', audience: 'a', tenantClaimType: 'x', tenantClaim: 1, requiredClaims: { scp: {} } }],
      '[0].requiredClaims.scp must be a text, a number, true or false, or an array of at least one; ' +
        '[0].tenantClaim must be the name of a claim, or a path of 1 to 10 names; ' +
        '[0].tenantClaimType must be "string" or "array" or "object"',
    ],
  ])('the problems of issuers are told by place and in plain words: %j', (issuers, problem) => {
    const TENANT_OIDC_ISSUERS = typeof issuers === 'string' ? issuers : JSON.stringify(issuers)
    expect(problemsOf({ TENANT_OIDC_ISSUERS })).toContain(`\n- TENANT_OIDC_ISSUERS ${problem}`)
  })

  test('a misspelled TENANT_ variable is refused', () => {
    expect(problemsOf({ TENANT_MAX_CONECTIONS: '5' })).toContain('TENANT_MAX_CONECTIONS is not a setting')
  })

  test('a tenant may not have more connections than all tenants together', () => {
    expect(problemsOf({ TENANT_MAX_CONNECTIONS: '3' })).toContain('TENANT_MAX_TENANT_CONNECTIONS')
  })

  test.each([
    ['production', { NODE_ENV: 'production' }],
    ['a remote server', { TENANT_DATABASE_URL: 'postgres://db.example.com/postgres' }],
    ['a host name that only looks like loopback', { TENANT_DATABASE_URL: 'postgres://127.example.com/postgres' }],
  ])('TENANT_SECRET is required in %s', (_where, env: Record<string, string>) => {
    expect(problemsOf(env)).toContain('TENANT_SECRET is required')
    expect(loadConfig({ ...env, TENANT_SECRET: 'ab'.repeat(32) }).secret).toHaveLength(32)
  })

  test('no message has the value of a secret in it, whatever the values are', () => {
    const secretNames = Object.entries(settings)
      .filter(([, setting]) => 'isSecret' in setting)
      .map(([name]) => name)
    fc.assert(
      fc.property(
        fc.constantFrom(...secretNames),
        fc.stringMatching(/^[a-z0-9 :/@?=&%]{8,40}$/).map((text) => `s3cr3t${text}s3cr3t`),
        (name, value) => {
          try {
            loadConfig({ [name]: value, TENANT_MAX_CONNECTIONS: '0' })
            expect.unreachable()
          } catch (error) {
            expect((error as Error).message).not.toContain('s3cr3t')
          }
        },
      ),
    )
  })
})
