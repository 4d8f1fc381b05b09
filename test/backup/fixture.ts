import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Tenancy, Tenant } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'

/** An installation whose tenants have items that refer to each other, and a folder for archives. */
export interface BackupFixture {
  readonly installation: Installation
  readonly tenancy: Tenancy
  readonly folder: string
  readonly owner: string
  /** A path for an archive. */
  path(): string
  /** A tenant with so many items. */
  newTenant(items?: number): Promise<Tenant>
  items(tenant: Tenant, from?: Tenancy): Promise<string[]>
  writeSchema(name: string, sql: string): Promise<void>
  drop(): Promise<void>
}

export async function createBackupFixture(settings: Readonly<Record<string, string>> = {}): Promise<BackupFixture> {
  const folder = await mkdtemp(join(tmpdir(), 't2f-backup-'))
  const schemaDir = await mkdtemp(join(tmpdir(), 't2f-schema-'))
  const writeSchema = (name: string, sql: string) => writeFile(join(schemaDir, name), sql)
  await writeSchema(
    '0001_items.sql',
    `create table items (id int generated always as identity primary key, name text, next int references items);
     create table kinds (name text primary key);
     insert into kinds values ('from the file');
     create view named as select name from items;`,
  )
  const installation = createInstallation({ TENANT_SCHEMA_DIR: schemaDir, TENANT_MAX_CONNECTIONS: '5', ...settings })
  const tenancy = await installation.open()
  const owner = (await tenancy.createUser({ email: 'owner@example.com', name: 'O', emailVerified: true })).id
  let count = 0
  return {
    installation,
    tenancy,
    folder,
    owner,
    path: () => join(folder, `archive-${(count += 1)}`),
    async newTenant(items = 3) {
      const slug = `tenant-${(count += 1)}`
      const tenant = await tenancy.createTenant({ name: `Tenant ${count}`, slug, owner })
      const pool = tenancy.getTenantPool(tenant)
      await pool.query("insert into items (name) select $1 || ' ' || n || E'\\t\\\\.' from generate_series(1, $2) n", [
        slug,
        items,
      ])
      await pool.query('update items set next = (id % $1) + 1', [items])
      return tenant
    },
    async items(tenant, from = tenancy) {
      const { rows } = await from
        .getTenantPool(await from.getTenant(tenant.id))
        .query<{ name: string }>('select name from items order by id')
      return rows.map(({ name }) => name)
    },
    writeSchema,
    async drop() {
      await installation.drop()
      await rm(folder, { recursive: true })
      await rm(schemaDir, { recursive: true })
    },
  }
}
