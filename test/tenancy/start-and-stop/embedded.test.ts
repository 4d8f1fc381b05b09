import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { processIdentity } from '../../../src/databases/embedded/process-identity.js'
import { notesSchema } from '../../support/installation.js'
import { createTenancy, type CreateTenancyOptions, loadConfig, type Logger, type Tenancy } from '../../../src/index.js'

let dataDir: string
let opened: Tenancy[]
const messages: string[] = []
const log = (fields: object, message: string) => void messages.push(`${message} ${inspect(fields)}`)
const logger: Logger = { debug: log, info: log, warn: log, error: log }

beforeEach(async () => {
  opened = []
  dataDir = await realpath(await mkdtemp(join(tmpdir(), 't2f-tenancy-')))
})
afterEach(async () => {
  await Promise.all(opened.map((tenancy) => tenancy.close()))
  await rm(dataDir, { recursive: true, force: true })
})

/** Opens a tenancy with only the folder configured. */
async function open(options: CreateTenancyOptions = {}, env: Record<string, string> = {}): Promise<Tenancy> {
  const config = loadConfig({ TENANT_DATA_DIR: dataDir, TENANT_READY_DATABASES: '0', ...env })
  const tenancy = await createTenancy({ config, logger, schemaDir: notesSchema, ...options })
  opened.push(tenancy)
  return tenancy
}

async function serverPid(): Promise<number> {
  const text = await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8').catch(() => '')
  return Number(text.split('\n')[0])
}

test('without a configured server the embedded one is used, close stops it, and the next start finds the tenants', async () => {
  const tenancy = await open()
  expect(tenancy.serverDescription).toBe(`embedded PostgreSQL in ${dataDir}`)
  const owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  const acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
  await tenancy.getTenantPool(acme).query("insert into notes (author, body) values ('me', 'kept')")
  const pid = await serverPid()
  expect(processIdentity(pid)).toBeDefined()
  await tenancy.close()
  expect(processIdentity(pid)).toBeUndefined()

  // The tenant's role has the same password: no secret is configured, and the same one is derived.
  const again = await open()
  const kept = await again.getTenantPool(await again.getTenant('acme')).query('select body from notes')
  expect(kept.rows).toEqual([{ body: 'kept' }])
  const secret = (await readFile(join(dataDir, 'secret'), 'utf8')).trim()
  expect(messages.join('\n')).not.toContain(secret)
})

test('tenancies of one process and folder share the embedded server, and the last one to close stops it', async () => {
  const [one, other] = await Promise.all([open(), open()])
  const owner = await one.createUser({ email: 'owner@example.com', emailVerified: true })
  const acme = await one.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
  const pid = await serverPid()
  await one.close()
  expect((await other.getTenantPool(acme).query('select 1 as one')).rows).toEqual([{ one: 1 }])
  await other.close()
  expect(processIdentity(pid)).toBeUndefined()
})

test('a start that fails after the embedded server has started stops it and leaves a folder that the next start can use', async () => {
  await expect(open({ schemaDir: join(dataDir, 'no-such-folder') })).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_INVALID',
  })
  expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false)
  expect(await readdir(join(dataDir, 'users'))).toEqual([])
  expect(await (await open()).listTenants()).toEqual([])
})

test('an unusable folder gives an error with a code that names it', async () => {
  await expect(open({}, { TENANT_DATA_DIR: '/dev/null/folder' })).rejects.toMatchObject({
    code: 'TENANCY_EMBEDDED_START_FAILED',
    message: expect.stringContaining('/dev/null/folder'),
  })
})
