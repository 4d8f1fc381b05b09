import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FastifyInstance } from 'fastify'
import { createTenancy, loadConfig, type Logger, type Tenancy, type Tenant } from '../../../src/index.js'
import { type EmbeddedServer, startEmbeddedServer } from '../../../src/databases/embedded/index.js'
import { deriveRolePassword } from '../../../src/databases/server/role-password.js'
import { notesSchema } from '../../support/installation.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

const secretHex = 'c0ffee00'.repeat(8)
const secret = Buffer.from(secretHex, 'hex')

let dataDir: string
/** Starts a server for this test that logs every statement, failed ones included. */
let server: EmbeddedServer
let tenancy: Tenancy
let app: FastifyInstance
let acme: Tenant
let globex: Tenant
/** Everything that was logged or thrown, as a reader sees it. */
const shown: string[] = []
/** Tokens, and bodies of requests that contained tokens. */
const tokens: string[] = []
let commandLines: string

function show(value: unknown): void {
  shown.push(inspect(value, { depth: null, showHidden: true }), inspect(value), String(value))
  if (value instanceof Error) shown.push(JSON.stringify(value), value.stack ?? '')
}

async function failed(attempt: Promise<unknown>): Promise<void> {
  const error: unknown = await attempt.then(
    () => undefined,
    (problem: unknown) => problem,
  )
  expect(error).toBeInstanceOf(Error)
  show(error)
}

const admin = async (text: string, database = 'postgres') => {
  const client = new pg.Client({ ...server.account, ssl: false, database })
  await client.connect()
  try {
    return await client.query(text)
  } finally {
    await client.end()
  }
}

/** Command lines of the running server and of its backends. */
function readCommandLines(): string {
  if (process.platform !== 'linux') return execFileSync('ps', ['-axww', '-o', 'args'], { encoding: 'utf8' })
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return ''
    }
  }
  return pids.map((pid) => read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')).join('\n')
}

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 't2f-secrets-'))
  server = await startEmbeddedServer({
    dataDir,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    settings: {
      fsync: 'off',
      log_statement: 'all',
      log_min_error_statement: 'error',
      log_parameter_max_length: '-1',
      log_parameter_max_length_on_error: '-1',
    },
  })
  const { host, port, user, password } = server.account
  const logTo = (level: string) => (fields: object, message: string) => show({ level, fields, message })
  const logger: Logger = { debug: logTo('debug'), info: logTo('info'), warn: logTo('warn'), error: logTo('error') }
  const open = (env: Record<string, string> = {}) =>
    createTenancy({
      logger,
      config: loadConfig({
        TENANT_DATABASE_URL: `postgres://${user}:${password}@${host}:${port}/postgres`,
        TENANT_SECRET: secretHex,
        TENANT_SCHEMA_DIR: notesSchema,
        TENANT_READY_DATABASES: '2',
        ...env,
      }),
    })
  tenancy = await open()
  app = await createNotesApp(tenancy)
  const dana = await tenancy.createUser({ email: 'dana@example.com', emailVerified: true })
  acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: dana.id })
  globex = await tenancy.createTenant({ name: 'Globex', slug: 'globex', owner: dana.id })
  const issue = async (tenant?: string) => {
    const { token } = await tenancy.issueAccessToken({ user: dana.id, tenant })
    tokens.push(token)
    return token
  }
  const ask = async (url: string, headers: Record<string, string>) => {
    const response = await app.inject({ url, headers })
    shown.push(response.body, JSON.stringify(response.headers))
    return outcome(response)
  }

  // Everything succeeds.
  expect(await ask('/notes', bearer(await issue(), 'acme'))).toBe('200')
  expect(await ask('/notes', bearer(await issue('globex')))).toBe('200')
  commandLines = readCommandLines()
  await tenancy.rotateSigningKeys()
  await ask('/.well-known/jwks.json', {})
  // Tokens are refused for various reasons.
  const token = await issue()
  const [head, claims, signature] = token.split('.') as [string, string, string]
  for (const bad of [
    `${head}.${claims}.${'A'.repeat(86)}`,
    `${head}.e30.${signature}`,
    token.slice(0, -9),
    `${token}x`,
  ]) {
    expect(await ask('/notes', bearer(bad, 'acme'))).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
  }
  await tenancy.revokeUserTokens({ user: dana.id })
  expect(await ask('/notes', bearer(token, 'acme'))).toBe('401 TENANCY_AUTH_TOKEN_INVALID')
  // A tenant's role cannot log in, its database is not its own, and its connection is cut off during a query.
  const { rows } = await admin(`select name from tenant_databases where id = '${acme.databaseId}'`, 'tenants2fast')
  const { name } = rows[0] as { name: string }
  await admin(`alter role ${name} nologin`)
  await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
  const renewed = await issue()
  expect(await ask('/notes', bearer(renewed, 'acme'))).toBe('503 TENANCY_DATABASE_UNAVAILABLE')
  await failed(tenancy.getTenantPool(acme).query('select 1'))
  // A changed password is noticed, and the role's right one is restored.
  await admin(`alter role ${name} login password 'another'`)
  expect((await tenancy.getTenantPool(acme).query('select 1 as one')).rows).toEqual([{ one: 1 }])
  expect(tenancy.stats().rolesRestored).toBe(1)
  const pool = tenancy.getTenantPool(globex)
  const client = await pool.connect()
  // `pg` keeps the password in a property that is not enumerable.
  shown.push(inspect(client, { depth: null }), inspect(pool, { depth: null }))
  await failed(client.query('select no_such_column'))
  const cut = failed(client.query('select pg_sleep(60)'))
  await admin(
    "select pg_terminate_backend(pid) from pg_stat_activity where query ~ 'pg_sleep' and pid <> pg_backend_pid()",
  )
  await cut
  client.release(true)
  // Builds and starts fail.
  await admin('alter role tenant_members rename to gone')
  await failed(tenancy.createTenantDatabase())
  await admin('alter role gone rename to tenant_members')
  await failed(tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: dana.id }))
  await failed(tenancy.initializeTenantSchema('none'))
  await failed((async () => tenancy.getTenantPool({ slug: 'none', databaseId: null }))())
  await failed(open({ TENANT_SECRET: 'd'.repeat(64) }))
  await failed(open({ TENANT_SCHEMA_DIR: '/no/such/folder' }))
  await failed(open({ TENANT_DATABASE_URL: `postgres://${user}:${password}@${host}:${port}/none` }))
  show(tenancy)
  show(tenancy.config)
  shown.push(JSON.stringify(tenancy.config), JSON.stringify(tenancy), JSON.stringify({ tenancy }))
  // The server becomes unavailable.
  const lost = failed(tenancy.getTenantPool(globex).query('select pg_sleep(60)'))
  while (tenancy.stats().inUse === 0) await new Promise(setImmediate)
  await server.stop()
  await lost
  await failed(tenancy.getTenantPool(globex).query('select 1'))
  await failed(tenancy.findTenant('acme'))
  expect(await ask('/notes', bearer(renewed, 'globex'))).toMatch(/^503 /)
  await app.close()
  await tenancy.close()
}, 120_000)
afterAll(async () => {
  await server?.stop()
  await rm(dataDir, { recursive: true, force: true })
})

/** Returns every secret, in every form in which it could be printed. */
function secrets(): string[] {
  const roles = [acme, globex].map((tenant) => deriveRolePassword(secret, tenant.databaseId ?? ''))
  const passwords = [server.account.password, ...roles]
  const key = [secretHex, secret.toString('base64'), secret.toString('base64url'), inspect(secret).slice(8, 40)]
  return [...passwords, ...key, ...tokens, ...tokens.map((token) => token.slice(token.lastIndexOf('.') + 1))]
}

test('no log line, error, answer or printed object holds a password, the master secret or a token', () => {
  expect(shown.length).toBeGreaterThan(50)
  const everything = shown.join('\n')
  for (const each of secrets()) expect(everything.includes(each)).toBe(false)
})

test('the log of the PostgreSQL server contains no password, master secret or token, even when it logs all statements', async () => {
  const log = await readFile(join(dataDir, 'postgres.log'), 'utf8')
  // The searched text is the intended one.
  for (const told of ['create role', 'insert into tenant', 'pg_sleep', 'no_such_column']) expect(log).toContain(told)
  for (const each of secrets()) expect(log.includes(each)).toBe(false)
})

test('the list of processes contains no password, master secret or token', () => {
  expect(commandLines).toContain(join(dataDir, 'postgres'))
  for (const each of secrets()) expect(commandLines.includes(each)).toBe(false)
})

test('the search for secrets would find one that was written', () => {
  const config = loadConfig({
    TENANT_DATABASE_URL: `postgres://u:${server.account.password}@h/d`,
    TENANT_SECRET: secretHex,
  })
  show({ password: config.server?.password })
  show({ secret: config.secret })
  const everything = shown.splice(-6).join('\n')
  expect(everything).toContain(server.account.password)
  expect(everything).toContain(inspect(secret).slice(8, 40))
})
