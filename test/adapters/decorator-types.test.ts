import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

// Separate programs, because the declarations of one on Fastify's request would apply to all tests.

const root = fileURLToPath(new URL('../..', import.meta.url))
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
let folder: string

// Each runs a compiler, on a machine that may be busy.
vi.setConfig({ testTimeout: 180_000 })

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 't2f-types-'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The compiler's messages about a program, including the types of this package and of Fastify's plugins. */
function complaints(source: string, isStrict = false): string[] {
  const config = {
    compilerOptions: {
      module: 'nodenext',
      target: 'es2022',
      lib: ['es2023'],
      types: ['node'],
      strict: true,
      noEmit: true,
      skipLibCheck: !isStrict,
      paths: {
        tenants2fast: [join(root, 'dist/index.d.ts')],
        'tenants2fast/fastify': [join(root, 'dist/adapters/fastify/index.d.ts')],
      },
    },
    files: ['app.ts'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  writeFileSync(join(folder, 'app.ts'), `${preamble}\n${source}`)
  const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', '.', '--pretty', 'false'], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect([0, 1, 2]).toContain(status)
  // TS2307: a package that another one does not declare as a dependency.
  return stdout
    .split('\n')
    .filter((line) => /^(app\.ts|.*adapters\/fastify\/|.*@fastify\/).*error TS(?!2307)/.test(line))
}

const preamble = `
import Fastify from 'fastify'
import type { FastifyRequest } from 'fastify'
import type { Tenancy, Tenant, User } from 'tenants2fast'
import { tenancyPlugin } from 'tenants2fast/fastify'
declare const tenancy: Tenancy
const app = Fastify()
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <_ extends true>(): void => {}
`

test('Without other plugins, a request is typed with user and tenant, and guards fit every hook', () => {
  expect(
    complaints(`
      await app.register(tenancyPlugin, { tenancy })
      is<Same<FastifyRequest['user'], User>>()
      is<Same<FastifyRequest['tenant'], Tenant>>()
      import { requirePermission, requireRole } from 'tenants2fast/fastify'
      const guard = requirePermission('reports:read')
      app.addHook('onRequest', guard)
      app.addHook('preParsing', guard)
      app.addHook('preValidation', requireRole('Owner'))
      app.get('/x', { onRequest: guard, preParsing: guard, preValidation: [guard], preHandler: guard }, async () => 'ok')
    `),
  ).toEqual([])
})

test('Beside @fastify/jwt, request.user is typed as its payload, and our user has the registered name', () => {
  expect(
    complaints(
      `
      import jwt from '@fastify/jwt'
      declare module '@fastify/jwt' { interface FastifyJWT { user: { scope: string } } }
      declare module 'tenants2fast' { interface Register { decorators: { user: 'tenancyUser' } } }
      await app.register(jwt, { secret: 'x' })
      await app.register(tenancyPlugin, { tenancy, decorators: { user: 'tenancyUser' } })
      is<Same<FastifyRequest['user'], { scope: string }>>()
      is<Same<FastifyRequest['tenancyUser'], User>>()
      is<Same<FastifyRequest['tenant'], Tenant>>()
      // @ts-expect-error another name than the registered one
      await app.register(tenancyPlugin, { tenancy, decorators: { user: 'account' } })
    `,
      true,
    ),
  ).toEqual([])
})

test('Beside @fastify/passport, our user decorator can be left out', () => {
  expect(
    complaints(`
      import passport from '@fastify/passport'
      declare module 'fastify' { interface PassportUser { login: string } }
      declare module 'tenants2fast' { interface Register { decorators: { user: false; tenant: 'shop' } } }
      await app.register(passport.initialize())
      await app.register(tenancyPlugin, { tenancy, decorators: { user: false, tenant: 'shop' } })
      is<Same<FastifyRequest['user'], import('fastify').PassportUser | undefined>>()
      is<Same<FastifyRequest['shop'], Tenant>>()
      // @ts-expect-error left out
      type None = FastifyRequest['tenant']
    `),
  ).toEqual([])
})
