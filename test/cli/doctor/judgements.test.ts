import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Check, ok, problem, Unmet } from '../../../src/cli/doctor/check.js'
import { nearest } from '../../../src/cli/doctor/checks/machine/configuration.js'
import { judgeSpace } from '../../../src/cli/doctor/checks/machine/disk.js'
import { judgeNode } from '../../../src/cli/doctor/checks/machine/node.js'
import { packages } from '../../../src/cli/doctor/checks/machine/packages.js'
import { weaknessOf } from '../../../src/cli/doctor/checks/machine/secrets.js'
import { judgeSkew } from '../../../src/cli/doctor/checks/server/clock.js'
import { judgeMail } from '../../../src/cli/doctor/checks/services/mail.js'
import { judgeRedis } from '../../../src/cli/doctor/checks/services/redis.js'
import { createDoctorContext, type DoctorContext } from '../../../src/cli/doctor/context.js'
import { secretHider } from '../../../src/cli/doctor/hide-secrets.js'
import { runChecks } from '../../../src/cli/doctor/run-checks.js'
import { settings } from '../../../src/core/config/settings.js'

const context = createDoctorContext({
  folder: '/nowhere',
  env: {},
  application: {},
  isDeep: false,
  openTenancy: () => Promise.reject(new Error('not here')),
})
const same = (text: string) => text

describe('running checks', () => {
  const check = (name: string, run: Check['run'], timeoutMs?: number): Check =>
    timeoutMs === undefined ? { name, run } : { name, run, timeoutMs }

  test('one that throws, one that hangs and one that lacks something are results, and the rest goes on', async () => {
    const hangs = new Promise<never>(() => {})
    const { checks, status, counts } = await runChecks(
      [
        check('throws', () => {
          throw new Error('broken')
        }),
        check('hangs', () => hangs, 50),
        check('lacks', () => Promise.reject(new Unmet('a server'))),
        check('works', () => ok('fine')),
      ],
      context,
      { hide: same },
    )
    expect(checks.map((result) => [result.name, result.status])).toEqual([
      ['throws', 'problem'],
      ['hangs', 'problem'],
      ['lacks', 'skipped'],
      ['works', 'ok'],
    ])
    expect(checks[0]?.what).toContain('broken')
    expect(checks[1]?.what).toContain('no answer within')
    expect(checks[2]?.what).toBe('Needs a server')
    expect(status).toBe('problem')
    expect(counts).toEqual({ ok: 1, warning: 0, problem: 2, skipped: 1 })
  })

  test('a repair is made only when it is asked for, and checked again', async () => {
    let isBroken = true
    const broken = check('broken', () =>
      isBroken
        ? problem('it is broken', 'mend it', {
            what: 'mends it',
            async apply() {
              isBroken = false
              return 'Mended'
            },
          })
        : ok('whole'),
    )
    const looked = await runChecks([broken], context, { hide: same })
    expect(looked.checks[0]).toMatchObject({ status: 'problem', fix: 'mends it' })
    expect(isBroken).toBe(true)
    const fixed = await runChecks([broken], context, { hide: same, fix: true })
    expect(fixed.checks[0]).toMatchObject({ status: 'ok', what: 'whole', fixed: 'Mended' })
  })

  test('a repair that fails is a result', async () => {
    const { checks } = await runChecks(
      [check('x', () => problem('bad', 'do', { what: 'w', apply: () => Promise.reject(new Error('no way')) }))],
      context,
      { hide: same, fix: true },
    )
    expect(checks[0]).toMatchObject({ status: 'problem', what: 'bad; --fix failed: no way' })
    expect(checks[0]).not.toHaveProperty('fixed')
  })

  test('an aborted run begins no further check', async () => {
    const stop = new AbortController()
    const ran: string[] = []
    const note = (name: string) => check(name, () => (ran.push(name), stop.abort(new Error('stopped')), ok('')))
    await expect(runChecks([note('a'), note('b')], context, { hide: same, signal: stop.signal })).rejects.toThrow(
      'stopped',
    )
    expect(ran).toEqual(['a'])
  })
})

describe('secrets', () => {
  test('random secrets are strong', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        expect(weaknessOf(createHash('sha256').update(String(seed)).digest())).toBeUndefined()
      }),
    )
    expect(weaknessOf(randomBytes(32))).toBeUndefined()
  })

  test.each([
    ['zeros', Buffer.alloc(32)],
    ['a repeated word', Buffer.from('deadbeef'.repeat(8), 'hex')],
    ['counting', Buffer.from(Array.from({ length: 32 }, (_, index) => index))],
    ['text', Buffer.from('change-me-change-you-change-all!')],
    ['two equal halves', Buffer.concat(Array(2).fill(createHash('md5').update('x').digest()))],
  ])('%s is weak', (_name, secret) => {
    expect(secret.length).toBe(32)
    expect(weaknessOf(secret)).toBeTruthy()
  })

  test('every secret of the environment is hidden, also inside of addresses', () => {
    const env = {
      TENANT_SECRET: 'ab'.repeat(32),
      TENANT_DATABASE_URL: 'postgres://u:p%40ssword-that-is-long@h/db',
      TENANT_MAIL__PASSWORD: 'mail-password',
    }
    const hide = secretHider(env)
    const text = hide(
      `${env.TENANT_SECRET} p@ssword-that-is-long p%40ssword-that-is-long ${env.TENANT_DATABASE_URL} mail-password`,
    )
    expect(text).toBe('[hidden] [hidden] [hidden] [hidden] [hidden]')
    expect(hide('nothing to hide')).toBe('nothing to hide')
  })
})

test('a setting with one letter too few, too many or changed is recognised', () => {
  const names = Object.keys(settings)
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.nat(), fc.constantFrom('drop', 'double'), (name, at, how) => {
      const index = at % name.length
      const changed =
        how === 'drop'
          ? name.slice(0, index) + name.slice(index + 1)
          : name.slice(0, index) + name.slice(index, index + 1) + name.slice(index)
      const found = nearest(changed)
      expect(found).toBeDefined()
    }),
  )
  expect(nearest('PATH')).toBeUndefined()
  expect(nearest('TENANT_SCHEMADIR')).toBe('TENANT_SCHEMA_DIR')
})

test.each([
  ['18.20.0', 'problem'],
  ['20.18.9', 'problem'],
  ['20.19.0', 'ok'],
  ['23.1.0', 'warning'],
  ['26.0.0', 'ok'],
])('Node %s: %s', (version, status) => expect(judgeNode(version).status).toBe(status))

test('a clock counts as wrong only by more than the answer’s own time', () => {
  expect(judgeSkew('X', { skewMs: 900, uncertaintyMs: 0 }).status).toBe('ok')
  expect(judgeSkew('X', { skewMs: -1500, uncertaintyMs: 10 })).toMatchObject({
    status: 'warning',
    what: 'X’s clock is 1.5 s behind this machine’s',
  })
  expect(judgeSkew('X', { skewMs: 6000, uncertaintyMs: 0 }).status).toBe('problem')
  expect(judgeSkew('X', { skewMs: 6000, uncertaintyMs: 5500 }).status).toBe('ok')
})

test('space: by amount and by share', () => {
  const gigabyte = 1024 ** 3
  expect(judgeSpace({ freeBytes: 50 * gigabyte, totalBytes: 100 * gigabyte }).status).toBe('ok')
  expect(judgeSpace({ freeBytes: 8 * gigabyte, totalBytes: 100 * gigabyte }).status).toBe('warning')
  expect(judgeSpace({ freeBytes: gigabyte / 2, totalBytes: gigabyte }).status).toBe('problem')
})

test('Redis: too old, a replica, and full without eviction', () => {
  const of = (fields: Record<string, string>) => judgeRedis(new Map(Object.entries(fields))).map(({ status }) => status)
  expect(of({ redis_version: '7.2.0', role: 'master', maxmemory: '0', maxmemory_policy: 'noeviction' })).toEqual([])
  expect(of({ redis_version: '5.0.7' })).toEqual(['problem'])
  expect(of({ redis_version: '7.2.0', role: 'slave' })).toEqual(['problem'])
  expect(of({ redis_version: '7.2.0', maxmemory: '1000', maxmemory_policy: 'noeviction' })).toEqual(['warning'])
})

test('mail: port and TLS have to go together', () => {
  const mail = {
    host: 'smtp.example.com',
    port: 587,
    secure: false,
    requireTls: true,
    username: 'u',
    password: 'p',
    from: 'a@example.com',
  }
  expect(judgeMail(mail)).toEqual([])
  expect(judgeMail({ ...mail, port: 465 })[0]?.status).toBe('problem')
  expect(judgeMail({ ...mail, secure: true })[0]?.status).toBe('problem')
  expect(judgeMail({ ...mail, requireTls: false })[0]?.status).toBe('warning')
})

test('a folder of migrations without the parser of the linter is a warning that says what needs it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 't2f-packages-'))
  try {
    const found = async (schemaDir: string | undefined) =>
      packages.run({ folder, config: () => ({ schemaDir, isProduction: false }) } as unknown as DoctorContext)
    const { what, advice } = await found('schema')
    expect(what).toContain('migrate up --backup, need the package libpg-query')
    expect(advice).toContain('npm install libpg-query@18')
    expect((await found(undefined)).what).not.toContain('libpg-query')
    const installed = join(folder, 'node_modules/libpg-query')
    await mkdir(installed, { recursive: true })
    await writeFile(join(installed, 'package.json'), '{"name":"libpg-query","main":"index.js"}')
    await writeFile(join(installed, 'index.js'), '')
    expect((await found('schema')).what).not.toContain('libpg-query')
  } finally {
    await rm(folder, { recursive: true })
  }
})
