import { execFile, execFileSync } from 'node:child_process'
import { createReadStream, createWriteStream, mkdtempSync, rmdirSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect } from 'vitest'
import { createInstallation } from '../support/installation.js'
import { installed } from '../support/installed-program.js'
import { startNode } from '../support/processes/node-process.js'
import { type Requirement, testWith } from '../support/requirements.js'
import { uniqueName, withAdmin } from '../support/server.js'
import { type BackupFixture, createBackupFixture } from './fixture.js'

let fixture: BackupFixture

beforeAll(async () => {
  fixture = await createBackupFixture()
})
afterAll(() => fixture?.drop())

/** A process whose files cannot grow beyond some bytes, as on a disk with so much room. */
const limited = async (bytes: number, call: string, env: Readonly<Record<string, string>> = {}) => {
  const child = startNode([], {
    env: { ...fixture.installation.env, ...env },
    program: `
      import { execFileSync } from 'node:child_process'
      import { createReadStream } from 'node:fs'
      import { createTenancy, loadConfig } from 'tenants2fast'
      const quiet = { debug() {}, info() {}, warn() {}, error() {} }
      const tenancy = await createTenancy({ config: loadConfig(process.env), logger: quiet })
      execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=${bytes}'])
      await tenancy.${call}.then(() => console.log('done'), (error) => console.log(error.code, error.message))
      await tenancy.close()`,
  })
  await child.ended
  return child.stdout
}

testWith(installed('prlimit'), 'a backup to a disk without room fails with a code, and leaves nothing', async () => {
  const tenant = await fixture.newTenant(20_000)
  const to = fixture.path()
  const backup = `backup({ tenant: '${tenant.id}', to: ${JSON.stringify(to)}, method: 'copy' })`
  expect(await limited(50_000, backup)).toContain(
    'TENANCY_BACKUP_FAILED The backup was not written: a file became too large',
  )
  expect(await readdir(fixture.folder)).toEqual([])
  expect(await limited(50_000_000, backup)).toBe('done\n')
})

testWith(installed('prlimit'), 'a stream that the temporary folder has no room for is not called damaged', async () => {
  const { tenancy, items } = fixture
  const tenant = await fixture.newTenant(20_000)
  const file = fixture.path()
  await tenancy.backup({ tenant: tenant.id, to: createWriteStream(file), method: 'copy' })
  const before = await items(tenant)
  const temporary = fixture.path()
  await mkdir(temporary)
  const restore = `restore({ from: createReadStream(${JSON.stringify(file)}), tenant: '${tenant.id}' })`
  expect(await limited(50_000, restore, { TMPDIR: temporary })).toMatch(/^TENANCY_RESTORE_REFUSED .*TMPDIR/)
  expect(await readdir(temporary)).toEqual([])
  expect(await items(tenant)).toEqual(before)
  await tenancy.restore({ from: createReadStream(file), tenant: tenant.id })
})

const smallDisks: Requirement = {
  get isMet() {
    const folder = mkdtempSync(join(tmpdir(), 't2f-mount-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' })
      execFileSync('umount', [folder])
      return true
    } catch {
      return false
    } finally {
      rmdirSync(folder)
    }
  },
  need: 'small file systems: run the tests as root, where mount is allowed',
}

const run = promisify(execFile)

testWith(
  smallDisks,
  'a restore onto a disk without room changes nothing, and works when there is room',
  async () => {
    const name = uniqueName()
    const disk = await mkdtemp(join(tmpdir(), 't2f-disk-'))
    const folder = await mkdtemp(join(tmpdir(), 't2f-full-'))
    const data = await withAdmin(async (admin) => (await admin.query('show data_directory')).rows[0].data_directory)
    const { uid, gid } = await stat(data)
    await run('mount', ['-t', 'tmpfs', '-o', `size=24m,uid=${uid},gid=${gid},mode=700`, 'tmpfs', disk])
    try {
      await withAdmin(async (admin) => {
        await admin.query(`create tablespace ${name} location '${disk}'`)
        await admin.query(`grant create on tablespace ${name} to public`)
      })
      await writeFile(join(folder, '0001_big.sql'), `create table big (id int, text text) tablespace ${name};`)
      const installation = createInstallation({ TENANT_SCHEMA_DIR: folder, TENANT_READY_DATABASES: '0' })
      try {
        const tenancy = await installation.open()
        const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
        const tenant = await tenancy.createTenant({ name: 'Big', slug: 'big', owner })
        const pool = tenancy.getTenantPool(tenant)
        await pool.query("insert into big select n, repeat('x', 1000) from generate_series(1, 13000) n")
        const from = join(folder, 'archive')
        await tenancy.backup({ tenant: tenant.id, to: from, method: 'copy' })
        const before = await installation.onServer()
        await expect(tenancy.restore({ from, tenant: tenant.id })).rejects.toMatchObject({
          code: 'TENANCY_DATABASE_UNAVAILABLE',
          message: expect.stringContaining('no room left'),
        })
        expect((await pool.query('select count(*)::int from big')).rows).toEqual([{ count: 13_000 }])
        expect(await installation.onServer()).toEqual(before)
        await run('mount', ['-o', 'remount,size=64m', disk])
        expect(await tenancy.restore({ from, tenant: tenant.id })).toMatchObject({ rows: 13_000 })
      } finally {
        await installation.drop()
      }
    } finally {
      await withAdmin((admin) => admin.query(`drop tablespace if exists ${name}`)).catch(() => {})
      await run('umount', [disk])
      await rm(disk, { recursive: true })
      await rm(folder, { recursive: true })
    }
  },
  { timeout: 60_000 },
)
