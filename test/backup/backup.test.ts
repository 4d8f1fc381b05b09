import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { appendFile, cp, mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findPgTool } from '../../src/backup/pg-tools.js'
import type { BackupInput, BackupMethod } from '../../src/index.js'
import { withAdmin } from '../support/server.js'
import { type BackupFixture, createBackupFixture } from './fixture.js'

let fixture: BackupFixture

beforeAll(async () => {
  fixture = await createBackupFixture()
})
afterAll(() => fixture?.drop())

const serverMajor = () =>
  withAdmin(async (admin) =>
    Math.floor(Number((await admin.query('show server_version_num')).rows[0].server_version_num) / 10_000),
  )
const backUp = async (tenant: string, more: Partial<BackupInput> = {}) => {
  const to = fixture.path()
  await fixture.tenancy.backup({ tenant, to, method: 'copy', ...more })
  return to
}

describe.each(['copy', 'pg_dump'] as const)('a backup by %s', (method: BackupMethod) => {
  test('gives a tenant its data back, and the replaced data with it', async (context) => {
    const { tenancy, installation, items } = fixture
    const tool = await findPgTool('pg_dump', undefined)
    if (method === 'pg_dump' && (tool?.version ?? 0) < (await serverMajor()))
      context.skip('needs a pg_dump for the server')
    const other = await installation.open()
    const tenant = await fixture.newTenant()
    const before = await items(tenant)
    const seen: string[] = []
    const to = fixture.path()
    const report = await tenancy.backup({
      tenant: tenant.slug,
      to,
      method,
      onProgress: ({ phase }) => seen.push(phase),
    })
    expect(report).toMatchObject({ method, tables: 2, rows: 4, schemaVersion: 1, databaseId: tenant.databaseId })
    expect(seen).toContain('data')
    await tenancy.getTenantPool(tenant).query("insert into items (name) values ('after')")
    expect(await items(tenant, other)).toHaveLength(4)

    // A connection in use, in another process, would go on writing into a database that nobody reads.
    const inUse = await other.getTenantPool(tenant).connect()
    await inUse.query('begin')
    const restored = await tenancy.restore({ from: to, tenant: tenant.id })
    await expect(inUse.query("insert into items (name) values ('lost')")).rejects.toThrow()
    inUse.release(true)
    expect(restored).toMatchObject({ replacedDatabaseId: tenant.databaseId, rows: 4, tables: 2 })
    expect(restored.tenant.databaseId).not.toBe(tenant.databaseId)
    expect(await items(tenant)).toEqual(before)
    expect(await items(tenant, other)).toEqual(before)
    await expect(tenancy.getTenantPool(tenant).query('select 1')).rejects.toMatchObject({
      code: 'TENANCY_TENANT_STATE_CONFLICT',
    })
    const id = await tenancy
      .getTenantPool(restored.tenant)
      .query("insert into items (name) values ('new') returning id")
    expect(id.rows).toEqual([{ id: 4 }])

    const back = await tenancy.swapBack({ tenant: tenant.id })
    expect(back.databaseId).toBe(tenant.databaseId)
    expect(await items(tenant, other)).toEqual([...before, 'after'])
    await tenancy.swapBack({ tenant: tenant.id })
    expect(await items(tenant, other)).toEqual([...before, 'new'])
    const entries = await tenancy.audit.list({ tenant: tenant.id, limit: 50 })
    expect(entries.map(({ action }) => action)).toEqual(
      expect.arrayContaining(['tenant.backup', 'tenant.restore', 'tenant.swapBack']),
    )
    expect(await tenancy.fleet.check({ tenants: [tenant.id] })).toMatchObject({ same: 1 })
    await other.close()
  })
})

describe('an archive', () => {
  test('can be read by its owner alone, and has no secret', async () => {
    const tenant = await fixture.newTenant()
    const path = await backUp(tenant.id)
    expect((await stat(path)).mode & 0o777).toBe(0o700)
    const names = await readdir(path)
    expect(names.toSorted()).toEqual(['data-00000.copy.gz', 'data-00001.copy.gz', 'manifest.json'])
    for (const name of names) expect((await stat(join(path, name))).mode & 0o777).toBe(0o600)
    const manifest = await readFile(join(path, 'manifest.json'), 'utf8')
    expect(JSON.parse(manifest).manifest).toMatchObject({
      formatVersion: 1,
      tenant: { id: tenant.id, slug: tenant.slug },
    })
    expect(manifest).not.toContain(fixture.installation.env['TENANT_SECRET'])
  })

  test('goes through streams, encrypted, and into a new tenant', async () => {
    const { tenancy, owner, items } = fixture
    const tenant = await fixture.newTenant(2000)
    const identity = await generateX25519Identity()
    const file = fixture.path()
    const encryptTo = await identityToRecipient(identity)
    await tenancy.backup({ tenant: tenant.id, to: createWriteStream(file), method: 'copy', encryptTo })
    expect((await readFile(file)).includes('tenant-')).toBe(true) // the manifest alone is readable
    const restore = { from: createReadStream(file), newTenant: { slug: 'copied', owner }, identity }
    const { tenant: made, replacedDatabaseId } = await tenancy.restore(restore)
    expect(made).toMatchObject({ slug: 'copied', name: tenant.name })
    expect(replacedDatabaseId).toBeNull()
    expect(await items(made)).toEqual(await items(tenant))
    await expect(
      tenancy.restore({ ...restore, from: createReadStream(file), newTenant: { slug: 'copied', owner } }),
    ).rejects.toMatchObject({ code: 'TENANCY_TENANT_SLUG_TAKEN' })
    const wrong = await generateX25519Identity()
    await expect(
      tenancy.restore({ from: createReadStream(file), tenant: tenant.id, identity: wrong }),
    ).rejects.toMatchObject({ code: 'TENANCY_BACKUP_INVALID' })
    await expect(tenancy.restore({ from: createReadStream(file), tenant: tenant.id })).rejects.toMatchObject({
      code: 'TENANCY_RESTORE_REFUSED',
    })
    const error = await tenancy
      .restore({ from: createReadStream(file), tenant: tenant.id, identity: 'AGE-SECRET-KEY-1NOTAKEY' })
      .catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'TENANCY_REQUEST_INVALID' })
    expect(JSON.stringify(error) + String((error as Error).stack)).not.toContain('NOTAKEY')
  })

  test('that was cut or changed is refused, and nothing is changed', async () => {
    const { tenancy, installation, items } = fixture
    const tenant = await fixture.newTenant(500)
    const intact = await backUp(tenant.id)
    const before = [await items(tenant), await installation.onServer()]
    const damaged = async (change: (path: string) => Promise<unknown>) => {
      const path = fixture.path()
      await cp(intact, path, { recursive: true })
      await change(path)
      return tenancy.restore({ from: path, tenant: tenant.id }).then(
        () => 'restored',
        (error: { code?: string }) => error.code,
      )
    }
    const manifest = (path: string) => join(path, 'manifest.json')
    const part = (path: string) => join(path, 'data-00000.copy.gz')
    const edited = (change: (text: string) => string) => async (path: string) =>
      writeFile(manifest(path), change(await readFile(manifest(path), 'utf8')))
    expect(await damaged((path) => rm(manifest(path)))).toBe('TENANCY_BACKUP_INVALID')
    expect(await damaged((path) => truncate(manifest(path), 200))).toBe('TENANCY_BACKUP_INVALID')
    expect(await damaged((path) => rm(part(path)))).toBe('TENANCY_BACKUP_INVALID')
    expect(await damaged((path) => truncate(part(path), 100))).toBe('TENANCY_BACKUP_INVALID')
    expect(await damaged((path) => truncate(part(path), 0))).toBe('TENANCY_BACKUP_INVALID')
    expect(await damaged((path) => appendFile(part(path), 'x'))).toBe('TENANCY_BACKUP_INVALID')
    // Bytes without an end.
    for (const of of [manifest, part]) {
      expect(await damaged((path) => rm(of(path)).then(() => symlink('/dev/zero', of(path))))).toBe(
        'TENANCY_BACKUP_INVALID',
      )
    }
    expect(
      await damaged(async (path) => {
        const bytes = await readFile(part(path))
        bytes[40] = (bytes[40] ?? 0) ^ 1
        await writeFile(part(path), bytes)
      }),
    ).toMatch(/TENANCY_BACKUP_INVALID|TENANCY_DATABASE_COPY_FAILED/)
    expect(await damaged(edited((text) => text.replace('"rows": 500', '"rows": 499')))).toBe('TENANCY_RESTORE_REFUSED')
    expect(await damaged(edited((text) => text.replace('"formatVersion": 1', '"formatVersion": 2')))).toBe(
      'TENANCY_BACKUP_INVALID',
    )
    expect(await damaged(edited((text) => text.replace('data-00000.copy.gz', '../data-00000.copy.gz')))).toBe(
      'TENANCY_BACKUP_INVALID',
    )
    expect([await items(tenant), await installation.onServer()]).toEqual(before)
  })

  test('in a stream that is cut is refused', async () => {
    const tenant = await fixture.newTenant()
    const file = fixture.path()
    await fixture.tenancy.backup({ tenant: tenant.id, to: createWriteStream(file), method: 'copy' })
    const bytes = await readFile(file)
    for (const length of [0, 10, 40, 200, bytes.length - 5, bytes.length - 1]) {
      const stream = new PassThrough()
      stream.end(bytes.subarray(0, length))
      await expect(fixture.tenancy.restore({ from: stream, tenant: tenant.id })).rejects.toMatchObject({
        code: 'TENANCY_BACKUP_INVALID',
      })
    }
  })

  test('of another tenant, secret or schema is refused unless that is allowed', async () => {
    const { tenancy, items } = fixture
    const [one, two] = [await fixture.newTenant(), await fixture.newTenant()]
    const path = await backUp(one.id)
    const before = await items(two)
    await expect(tenancy.restore({ from: path, tenant: two.id })).rejects.toMatchObject({
      code: 'TENANCY_RESTORE_REFUSED',
      message: expect.stringContaining('allowOtherTenant'),
    })
    expect(await items(two)).toEqual(before)
    await tenancy.restore({ from: path, tenant: two.id, allowOtherTenant: true })
    expect(await items(two)).toEqual(await items(one))

    const foreign = await createBackupFixture()
    try {
      const theirs = await foreign.newTenant()
      await expect(
        foreign.tenancy.restore({ from: path, tenant: theirs.id, allowOtherTenant: true }),
      ).rejects.toMatchObject({
        code: 'TENANCY_RESTORE_REFUSED',
        message: expect.stringContaining('allowUnsigned'),
      })
      await foreign.tenancy.restore({ from: path, tenant: theirs.id, allowOtherTenant: true, allowUnsigned: true })
      expect(await foreign.items(theirs)).toEqual(await items(one))
    } finally {
      await foreign.drop()
    }
  })

  test('of an older schema version is restored, and migrated with its first request', async () => {
    const old = await createBackupFixture()
    try {
      const tenant = await old.newTenant()
      const path = old.path()
      await old.tenancy.backup({ tenant: tenant.id, to: path, method: 'copy' })
      await old.writeSchema('0002_more.sql', 'alter table items add column more text default $$new$$')
      const newer = await old.installation.open()
      await newer.fleet.migrate()
      const later = old.path()
      await newer.backup({ tenant: tenant.id, to: later, method: 'copy' })
      const { schemaVersion } = await newer.restore({ from: path, tenant: tenant.id })
      expect(schemaVersion).toBe(1)
      const pool = newer.getTenantPool(await newer.getTenant(tenant.id))
      expect((await pool.query('select more from items limit 1')).rows).toEqual([{ more: 'new' }])
      // The older process does not know what 0002 is.
      await expect(old.tenancy.restore({ from: later, tenant: tenant.id })).rejects.toMatchObject({
        code: 'TENANCY_RESTORE_REFUSED',
        message: expect.stringContaining('newer release'),
      })
    } finally {
      await old.drop()
    }
  })
})

describe('a backup that fails', () => {
  test('leaves nothing under its name: it exists, no folder, full disk, closed stream, aborted', async () => {
    const { tenancy, folder } = fixture
    const tenant = await fixture.newTenant(20_000)
    const full = createWriteStream('/dev/full')
    await expect(tenancy.backup({ tenant: tenant.id, to: full, method: 'copy' })).rejects.toMatchObject({
      code: 'TENANCY_BACKUP_FAILED',
      message: expect.stringContaining('disk is full'),
    })
    const taken = fixture.path()
    await mkdir(taken)
    await expect(backUp(tenant.id, { to: taken })).rejects.toMatchObject({ code: 'TENANCY_BACKUP_EXISTS' })
    await expect(backUp(tenant.id, { to: join(folder, 'no', 'such') })).rejects.toMatchObject({
      code: 'TENANCY_BACKUP_FAILED',
    })
    const closed = new PassThrough()
    closed.destroy()
    await once(closed, 'close')
    await expect(backUp(tenant.id, { to: closed })).rejects.toMatchObject({ code: 'TENANCY_BACKUP_FAILED' })
    const stop = new AbortController()
    const path = fixture.path()
    const aborted = backUp(tenant.id, {
      to: path,
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('enough')),
    })
    await expect(aborted).rejects.toThrow('enough')
    expect((await readdir(folder)).filter((name) => name.includes('partial'))).toEqual([])
    await expect(stat(path)).rejects.toThrow('ENOENT')
  })

  test('of a deleted tenant, or one that is not there, has a code', async () => {
    const tenant = await fixture.newTenant()
    await fixture.tenancy.deleteTenant({ tenant: tenant.id })
    await expect(backUp(tenant.id)).rejects.toMatchObject({ code: 'TENANCY_TENANT_STATE_CONFLICT' })
    await expect(backUp('nobody-here')).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  })
})

describe('a replaced database', () => {
  test('is dropped after its days, and with its tenant', async () => {
    const { tenancy, installation } = fixture
    const tenant = await fixture.newTenant()
    const path = await backUp(tenant.id)
    const { replacedDatabaseId } = await tenancy.restore({ from: path, tenant: tenant.id, keepDays: 0 })
    expect((await tenancy.reconcile()).dropped).toContain(replacedDatabaseId)
    await expect(tenancy.swapBack({ tenant: tenant.id })).rejects.toMatchObject({
      code: 'TENANCY_TENANT_STATE_CONFLICT',
    })

    const kept = await tenancy.restore({ from: path, tenant: tenant.id })
    await tenancy.deleteTenant({ tenant: tenant.id })
    await tenancy.purgeTenant({ tenant: tenant.id })
    expect((await tenancy.reconcile()).dropped).toContain(kept.replacedDatabaseId)
    const hex = kept.replacedDatabaseId?.replaceAll('-', '') ?? ''
    expect((await installation.onServer()).databases.filter((name) => name.includes(hex))).toEqual([])
  })

  test('is not replaced by two restores at once', async () => {
    const { tenancy } = fixture
    const tenant = await fixture.newTenant()
    const path = await backUp(tenant.id)
    const both = await Promise.allSettled([1, 2].map(() => tenancy.restore({ from: path, tenant: tenant.id })))
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    expect(both.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'TENANCY_TENANT_STATE_CONFLICT' },
    })
  })
})
