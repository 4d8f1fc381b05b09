import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import * as root from '../../src/index.js'
import { PackageProject } from '../support/processes/package-project.js'

const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')

const projects: PackageProject[] = []
afterEach(() => {
  for (const project of projects.splice(0)) project.remove()
})

/** What the compiler says of a program: nothing, if all is well. */
function compile(project: PackageProject, program: string, options: Readonly<Record<string, unknown>> = {}): string {
  projects.push(project)
  project.write('main.ts', program)
  const compilerOptions = {
    target: 'es2022',
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    types: [],
    ...options,
  }
  project.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['main.ts'] }))
  const { stdout, stderr } = spawnSync(process.execPath, [tsc, '-p', project.folder], { encoding: 'utf8' })
  return stdout + stderr
}

const application = `
  import * as accounts from 'tenants2fast/accounts'
  import { createTenancy, getTenantPool, type Config, type Tenancy, type TenantPool } from 'tenants2fast'
  import * as fastify from 'tenants2fast/fastify'
  import * as hono from 'tenants2fast/hono'
  export const tenancy: Tenancy = await createTenancy()
  export const config: Config = tenancy.config
  const pool: TenantPool = getTenantPool()
  const { rows } = await pool.query<{ id: number }>('select 1 as id')
  export const ids: number[] = rows.map((row) => row.id)
  export const entries = [accounts, fastify, hono]
  // @ts-expect-error: a pool is no number, which it could be as any
  export const wrong: number = pool
  // @ts-expect-error
  export const worse: number = pool.query('select 1')
`

test('a strict project that checks declarations compiles against the package with its dependencies and peers alone', () => {
  expect(compile(new PackageProject(['pg', 'fastify', '@types/node']), application)).toBe('')
}, 300_000)

test('a project without the types of pg fails to compile', () => {
  const messages = compile(new PackageProject(['pg', 'fastify', '@types/node'], ['@types/pg']), application)
  expect(messages).toMatch(/Could not find a declaration file for module 'pg'/)
  expect(messages).toMatch(/Unused '@ts-expect-error'/)
}, 300_000)

test('a tenant’s pool goes where Drizzle, Kysely and pg take a pool, and the tables come from their subpath', () => {
  const program = `
    import { eq } from 'drizzle-orm'
    import { drizzle } from 'drizzle-orm/node-postgres'
    import { Kysely, PostgresDialect } from 'kysely'
    import type pg from 'pg'
    import { getTenantPool } from 'tenants2fast'
    import { tenants } from 'tenants2fast/tables'
    export const pool: pg.Pool = getTenantPool()
    export const client: pg.PoolClient = await getTenantPool().connect()
    export const kysely = new Kysely<{ notes: { id: number } }>({ dialect: new PostgresDialect({ pool: getTenantPool() }) })
    const rows = await drizzle(getTenantPool()).select({ slug: tenants.slug }).from(tenants).where(eq(tenants.id, 'x'))
    export const slugs: string[] = rows.map((row) => row.slug)
    // @ts-expect-error: a column that is not there
    export const nothing = tenants.nothing
  `
  // Drizzle's own declarations name packages that nobody has all of.
  const packages = ['pg', '@types/node', 'drizzle-orm', 'kysely']
  expect(compile(new PackageProject(packages), program, { skipLibCheck: true })).toBe('')
}, 300_000)

test('the root exports no tables, so an application without Drizzle does not need it', () => {
  expect(Object.keys(root)).toContain('createTenancy')
  expect(Object.keys(root)).not.toContain('tenants')
})
