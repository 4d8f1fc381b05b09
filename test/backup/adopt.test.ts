import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTenancy, loadConfig, type Tenancy } from '../../src/index.js'
import { quoteIdentifier } from '../../src/postgres/text/quote.js'
import { dropDatabase } from '../support/catalog.js'
import { silentLogger } from '../support/silent-logger.js'
import { isPlainAdmin, uniqueName, withAdmin } from '../support/server.js'
import { type BackupFixture, createBackupFixture } from './fixture.js'

let fixture: BackupFixture
const made: { databases: string[]; roles: string[] } = { databases: [], roles: [] }

beforeAll(async () => {
  fixture = await createBackupFixture()
})
afterAll(async () => {
  await fixture?.drop()
  await withAdmin(async (admin) => {
    for (const name of made.databases) await admin.query(`drop database if exists ${quoteIdentifier(name)}`)
    for (const name of made.roles) await admin.query(`drop role if exists ${quoteIdentifier(name)}`)
  })
})

/** A database of a product that never heard of us, with a role of its own that owns the tables. */
async function product(sql: string): Promise<{ database: string; role: string }> {
  const [database, role] = [uniqueName(), uniqueName()]
  made.databases.push(database)
  made.roles.push(role)
  await withAdmin(async (admin) => {
    await admin.query(`create role ${role} login`)
    await admin.query(`create database ${database} owner ${role}`)
    await admin.query(`grant connect on database ${database} to ${role}`)
  })
  await withAdmin((admin) => admin.query(`set role ${role}; ${sql}`).then(() => {}), database)
  return { database, role }
}

const itemsSql = `
  create table items (id int generated always as identity primary key, name text, next int references items);
  create table kinds (name text primary key);
  create view named as select name from items;
  insert into items (name) values ('theirs');
  insert into kinds values ('theirs');`

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'adopted',
    (error: { code?: string }) => error.code,
  )

describe('a database that exists', () => {
  test('becomes a tenant’s: data, owner, privileges, ledger; nobody else connects', async (context) => {
    if (isPlainAdmin()) context.skip('needs a superuser, as the tables belong to another role')
    const { tenancy, owner, items } = fixture
    const { database, role } = await product(itemsSql)
    const tenant = await tenancy.adoptDatabase({ database, slug: 'adopted', owner, schema: '0001_items.sql' })
    expect(await items(tenant)).toEqual(['theirs'])
    await tenancy.getTenantPool(tenant).query("insert into items (name) values ('ours')")
    await expect(tenancy.getTenantPool(tenant).query('create table more (id int)')).rejects.toThrow('permission denied')
    const name = `${fixture.installation.prefix}${tenant.databaseId?.replaceAll('-', '')}`
    await withAdmin(async (admin) => {
      const { rows } = await admin.query(
        `select has_database_privilege($2, datname, 'connect') as "mayConnect" from pg_database where datname = $1`,
        [name, role],
      )
      expect(rows).toEqual([{ mayConnect: false }])
    })
    expect(await tenancy.initializeTenantSchema(tenant.id)).toEqual([])
    expect(await tenancy.fleet.check({ tenants: [tenant.id] })).toMatchObject({ same: 1 })
    const to = fixture.path()
    await tenancy.backup({ tenant: tenant.id, to, method: 'copy' })
    const restored = await tenancy.restore({ from: to, tenant: tenant.id })
    expect(await items(restored.tenant)).toEqual(['theirs', 'ours'])
    expect(await codeOf(tenancy.adoptDatabase({ database, slug: 'again', owner, schema: null }))).toBe(
      'TENANCY_DATABASE_ADOPT_REFUSED',
    )
  })

  test('has its types for the tenant, also those that were not for everybody', async (context) => {
    if (isPlainAdmin()) context.skip('needs a superuser, as the types belong to another role')
    const { tenancy, owner } = fixture
    const { database } = await product(
      `create type mood as enum ('good'); create domain small as int check (value < 9); create type pair as (a int, b mood);
       create type span as range (subtype = int); create table rows_have_a_type (id int);
       revoke usage on type mood, small, pair, span from public`,
    )
    const tenant = await tenancy.adoptDatabase({ database, slug: 'typed', owner, schema: null })
    const { rows } = await tenancy
      .getTenantPool(tenant)
      .query(
        `select typname as name from pg_type where typname in ('mood', 'small', 'pair', 'span') and has_type_privilege(oid, 'usage') order by 1`,
      )
    expect(rows.map(({ name }) => name)).toEqual(['mood', 'pair', 'small', 'span'])
  })

  test('is refused when it is the system’s, a template, the catalog, a tenant’s, in use, or has no ledger', async () => {
    const { tenancy, owner, installation } = fixture
    const tenant = await fixture.newTenant()
    const before = await installation.onServer()
    const { database } = await product('create table x (id int)')
    const adopt = (name: string, schema?: string | null) =>
      codeOf(
        tenancy.adoptDatabase({ database: name, slug: 'refused', owner, ...(schema === undefined ? {} : { schema }) }),
      )
    const templates = before.databases.filter((name) => name.includes('template'))
    const tenants = before.databases.filter((name) => name.includes(tenant.databaseId?.replaceAll('-', '') ?? '-'))
    expect(templates.length + tenants.length).toBeGreaterThan(1)
    for (const name of [
      'postgres',
      'template0',
      'template1',
      'no such',
      installation.catalogName,
      ...templates,
      ...tenants,
    ]) {
      expect(await adopt(name, null)).toBe('TENANCY_DATABASE_ADOPT_REFUSED')
    }
    expect(await adopt(database)).toBe('TENANCY_DATABASE_ADOPT_REFUSED')
    expect(await adopt(database, '0009_unknown.sql')).toBe('TENANCY_DATABASE_ADOPT_REFUSED')
    await withAdmin(async () => {
      expect(await adopt(database, null)).toBe('TENANCY_DATABASE_ADOPT_REFUSED')
    }, database)
    expect(await codeOf(tenancy.adoptDatabase({ database, slug: tenant.slug, owner }))).toBe(
      'TENANCY_TENANT_SLUG_TAKEN',
    )
    expect((await installation.onServer()).roles).toEqual(before.roles)
    await withAdmin((admin) => admin.query('select from x').then(() => {}), database)
  })
})

test('of a schema by drizzle-kit: a folder is named without its file, and tenants’ roles do not write drizzle’s list', async (context) => {
  if (isPlainAdmin()) context.skip('needs a superuser, as the tables belong to another role')
  const schemaDir = 'test/schema/fixtures/drizzle-folders'
  const other = await createBackupFixture({ TENANT_SCHEMA_DIR: schemaDir })
  try {
    const tenancy = await other.installation.open({ env: { TENANT_SCHEMA_DIR: schemaDir } })
    const list =
      'create schema drizzle; create table drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)'
    const { database } = await product(list)
    const adopting = { database, slug: 'from-drizzle', owner: other.owner }
    expect(await codeOf(tenancy.adoptDatabase({ ...adopting, schema: 'unknown' }))).toBe(
      'TENANCY_DATABASE_ADOPT_REFUSED',
    )
    const tenant = await tenancy.adoptDatabase({ ...adopting, schema: '20261128211850_refunds' })
    const name = `${other.installation.prefix}${tenant.databaseId?.replaceAll('-', '')}`
    await withAdmin(async (admin) => {
      const { rows } = await admin.query(
        `select has_table_privilege($1, 'drizzle.__drizzle_migrations', 'select, insert, update, delete') as may,
           (select count(*)::int from tenants2fast.schema_migrations) as recorded`,
        [name],
      )
      expect(rows).toEqual([{ may: false, recorded: 4 }])
    }, name)
  } finally {
    await other.drop()
  }
})

describe('a hostile database', () => {
  // Its owner has made what we read first, and would have us run their functions as the provisioning account.
  const evil = (role: string) => `create function tenants2fast.evil() returns int language plpgsql as $$ begin
      execute 'create role ${role}_evil'; return 1; exception when others then return 1; end $$;`
  const ledger = 'create table tenants2fast.schema_migrations (version int primary key, name text, checksum text);'
  const trigger = `create function tenants2fast.fire() returns trigger language plpgsql as
    $$ begin perform tenants2fast.evil(); return new; end $$;`
  test.each([
    [
      'a view as identity row',
      `${ledger} create view tenants2fast.identity as select gen_random_uuid() as database_id, tenants2fast.evil() as epoch`,
    ],
    [
      'a trigger on the identity row',
      `${ledger} create table tenants2fast.identity (database_id uuid, epoch int); ${trigger}
       create trigger t before insert on tenants2fast.identity for each row execute function tenants2fast.fire()`,
    ],
    [
      'a view as ledger',
      `create table tenants2fast.identity (database_id uuid, epoch int);
       create view tenants2fast.schema_migrations as
         select tenants2fast.evil() as version, '0001_items.sql'::text as name, 'x'::text as checksum`,
    ],
  ])('is refused, and none of its code runs: %s', async (_case, sql) => {
    const { tenancy, owner } = fixture
    const { database, role } = await product(itemsSql)
    made.roles.push(`${role}_evil`)
    await withAdmin(
      (admin) => admin.query(`set role ${role}; create schema tenants2fast; ${evil(role)} ${sql}`).then(() => {}),
      database,
    )
    const adopting = tenancy.adoptDatabase({ database, slug: 'hostile', owner, schema: '0001_items.sql' })
    expect(await codeOf(adopting)).toBe('TENANCY_DATABASE_ADOPT_REFUSED')
    const { rows } = await withAdmin((admin) =>
      admin.query('select from pg_roles where rolname = $1', [`${role}_evil`]),
    )
    expect(rows).toEqual([])
  })
})

describe('a disaster', () => {
  test('catalog lost: its databases are adopted into a new one', async () => {
    const lost = await createBackupFixture()
    const catalog = uniqueName()
    let rebuilt: Tenancy | undefined
    try {
      const tenant = await lost.newTenant()
      const { rows } = await withAdmin(
        (admin) => admin.query('select id from installation'),
        lost.installation.catalogName,
      )
      const [{ id: installation }] = rows
      const database = `${lost.installation.prefix}${tenant.databaseId?.replaceAll('-', '')}`
      await lost.tenancy.close()
      await withAdmin((admin) => dropDatabase(admin, lost.installation.catalogName))
      rebuilt = await lost.installation.open({ env: { TENANT_CATALOG_DB: catalog } })
      const owner = (await rebuilt.createUser({ email: 'new@example.com', emailVerified: true })).id
      const again = { database, slug: 'rebuilt', owner }
      expect(await codeOf(rebuilt.adoptDatabase(again))).toBe('TENANCY_DATABASE_ADOPT_REFUSED')
      const back = await rebuilt.adoptDatabase({ ...again, installation })
      expect(back.databaseId).toBe(tenant.databaseId)
      expect(await lost.items(back, rebuilt)).toHaveLength(3)
      expect(await rebuilt.reconcile()).toMatchObject({ missing: [], unknown: [] })
    } finally {
      await rebuilt?.close()
      await lost.drop()
      await withAdmin((admin) => admin.query(`drop database if exists ${catalog}`).then(() => {}))
    }
  })

  test('the catalog of another installation is no tenant’s database, also while nobody uses it', async () => {
    const { tenancy, owner } = fixture
    const other = await createBackupFixture()
    try {
      await other.tenancy.close()
      const adopting = tenancy.adoptDatabase({
        ...{ database: other.installation.catalogName, slug: 'other-catalog', owner, schema: null },
      })
      expect(await codeOf(adopting)).toBe('TENANCY_DATABASE_ADOPT_REFUSED')
      const again = await other.installation.open()
      expect(await again.listTenants()).toEqual([])
      await again.close()
    } finally {
      await other.drop()
    }
  })

  test('catalog older than its databases: those that it does not know are named, kept and adopted', async () => {
    const later = await createBackupFixture()
    const { catalogName } = later.installation
    try {
      const known = await later.newTenant()
      await later.tenancy.close()
      const old = `${catalogName}_old`
      await withAdmin((admin) => admin.query(`create database ${old} template ${catalogName}`).then(() => {}))
      const second = await later.installation.open()
      const unknown = await second.createTenant({ name: 'Late', slug: 'late', owner: later.owner })
      await second.getTenantPool(unknown).query("insert into items (name) values ('late')")
      await second.close()
      await withAdmin(async (admin) => {
        const { rows } = await admin.query(
          'select pg_get_userbyid(datdba) as owner from pg_database where datname = $1',
          [catalogName],
        )
        await dropDatabase(admin, catalogName)
        await admin.query(`alter database ${old} rename to ${catalogName}`)
        await admin.query(`alter database ${catalogName} owner to ${quoteIdentifier(rows[0].owner)}`)
      })
      const third = await later.installation.open()
      const name = `${later.installation.prefix}${unknown.databaseId?.replaceAll('-', '')}`
      const found = await third.reconcile()
      expect(found.unknown).toContain(name)
      const back = await third.adoptDatabase({ database: name, slug: 'late', owner: later.owner })
      expect(back.databaseId).toBe(unknown.databaseId)
      expect(await later.items(back, third)).toEqual(['late'])
      expect(await later.items(known, third)).toHaveLength(3)
      expect((await third.reconcile()).unknown).not.toContain(name)
      await third.close()
    } finally {
      await later.drop()
    }
  })

  test('server lost: a base backup of the data folder brings catalog and tenants back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 't2f-base-'))
    const dataDir = join(folder, 'data')
    const config = loadConfig({ TENANT_DATA_DIR: dataDir, TENANT_READY_DATABASES: '0' })
    const run = promisify(execFile)
    try {
      const first = await createTenancy({ config, logger: silentLogger })
      const owner = (await first.createUser({ email: 'ada@example.com', emailVerified: true })).id
      const tenant = await first.createTenant({ name: 'Acme', slug: 'acme', owner })
      await first.close()
      // A copy of a stopped server's folder is a base backup.
      await run('cp', ['-a', dataDir, join(folder, 'copy')])
      await rm(dataDir, { recursive: true })
      await run('cp', ['-a', join(folder, 'copy'), dataDir])
      const second = await createTenancy({ config, logger: silentLogger })
      const found = await second.getTenant('acme')
      expect(found).toEqual(tenant)
      expect((await second.getTenantPool(found).query('select 1 as one')).rows).toEqual([{ one: 1 }])
      expect(await second.reconcile()).toMatchObject({ missing: [], unknown: [] })
      expect(await second.audit.verify({})).toBeDefined()
      await second.close()
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
