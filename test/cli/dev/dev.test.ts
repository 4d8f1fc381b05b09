import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createInstallation, type Installation } from '../../support/installation.js'
import { runCommandLine, startCommand } from '../../support/processes/command-line.js'
import type { NodeProcess } from '../../support/processes/node-process.js'
import { startInTerminal } from '../../support/processes/pseudo-terminal.js'

let installation: Installation
let folder: string
let schema: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-dev-'))
  schema = await mkdtemp(join(tmpdir(), 't2f-dev-schema-'))
  await writeFile(join(schema, '0001_notes.sql'), 'create table notes (id int);')
  installation = createInstallation({ TENANT_SCHEMA_DIR: schema })
})

afterEach(async () => {
  await rm(folder, { recursive: true })
  await rm(schema, { recursive: true })
  await installation.drop()
})

async function said(child: NodeProcess, text: string): Promise<void> {
  await expect.poll(() => child.stderr).toContain(text)
}

test('files are applied to every tenant as they are saved; a broken one is shown, and the watch goes on', async () => {
  const tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
  const tenant = await tenancy.createTenant({ slug: 'acme', name: 'Acme', owner: owner.id })
  const dev = startCommand(['dev'], { cwd: folder, env: { ...installation.env } })
  await said(dev, '1 tenant at schema version 1')
  await writeFile(join(schema, '0002_tags.sql'), 'create table tags (id int);\ncreate tabel broken;')
  await said(dev, '0002_tags.sql, line 2')
  await writeFile(join(schema, '0002_tags.sql'), 'create table tags (id int);')
  await said(dev, '0002_tags.sql applied to 1 tenant')
  const { rows } = await tenancy.getTenantPool(tenant).query("select to_regclass('tags') is not null as found")
  expect(rows).toEqual([{ found: true }])
  // A file that was applied is edited: said for each tenant, and nothing is done.
  await writeFile(join(schema, '0001_notes.sql'), 'create table notes (id bigint);')
  await said(dev, 'failed for acme')
  dev.kill('SIGINT')
  expect(await dev.ended).toBe(0)
  expect(dev.stdout).toBe('')
})

test('a file that is empty, as migrate new makes it, is not applied before it is written', async () => {
  const tenancy = await installation.open()
  const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })
  await tenancy.createTenant({ slug: 'acme', name: 'Acme', owner: owner.id })
  const dev = startCommand(['dev'], { cwd: folder, env: { ...installation.env } })
  await said(dev, '1 tenant at schema version 1')
  const made = await runCommandLine(['migrate', 'new', 'tags'], { cwd: folder, env: { ...installation.env } })
  expect(made.code).toBe(0)
  await said(dev, '0002_tags.sql has no statement yet')
  await writeFile(join(schema, '0002_tags.sql'), '-- What tenants sort notes by.\n')
  await expect.poll(() => dev.stderr.split('has no statement yet').length).toBe(3)
  expect(await tenancy.fleet.status()).toMatchObject({ versions: [{ version: 1, tenants: 1 }] })
  await writeFile(join(schema, '0002_tags.sql'), 'create table tags (id int);')
  await said(dev, '0002_tags.sql applied to 1 tenant')
  expect(dev.stderr).not.toContain('failed')
  dev.kill('SIGINT')
  expect(await dev.ended).toBe(0)
})

test('a token is alone on standard output, and works', async () => {
  const dev = startCommand(['dev', '--token'], { cwd: folder, env: { ...installation.env } })
  await dev.printed('\n')
  await said(dev, 'tenants: demo')
  dev.kill('SIGTERM')
  expect(await dev.ended).toBe(0)
  expect(dev.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
  expect(dev.stderr).not.toContain(dev.stdout.trim())
  const tenancy = await installation.open()
  expect(await tenancy.findTenant('demo')).toMatchObject({ slug: 'demo', status: 'active' })
})

test('is refused in production', async () => {
  const { code, stderr } = await runCommandLine(['dev'], {
    cwd: folder,
    env: { ...installation.env, NODE_ENV: 'production' },
  })
  expect(code).toBe(2)
  expect(stderr).toContain('migrate up')
})

test('in a terminal, the key t gives a token, and Ctrl-C stops', async () => {
  const terminal = startInTerminal(['dev'], { cwd: folder, env: { ...installation.env } })
  await terminal.shows('Press t for a token')
  terminal.type('t')
  await terminal.shows(/^[\w-]{20,}\.[\w-]+\.[\w-]+$/m)
  terminal.type('\x03')
  expect(await terminal.ended).toBe(0)
})
