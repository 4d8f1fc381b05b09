import { Client } from 'pg'
import { expect, test } from 'vitest'
import { databaseLockKey } from '../../../src/databases/server/lock-keys.js'
import { createInstallation, type Installation } from '../fixture.js'

const withInstallation = test.extend<{ installation: Installation }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest reads from the pattern what a fixture needs
  installation: async ({}, use) => {
    const installation = await createInstallation()
    await use(installation)
    await installation.drop()
  },
})

withInstallation(
  'A process that hangs in a migration blocks further migrations of its tenant no longer than a lease',
  async ({ installation }) => {
    await installation.writeSchema('0001_items.sql', 'create table items (id int)')
    const { databases } = installation.open()
    const { id, name } = await databases.createTenantDatabase()
    await installation.catalog.pool.query("update tenant_databases set state = 'assigned' where id = $1", [id])
    await installation.writeSchema('0002_note.sql', 'alter table items add column note text')
    // What a process that hangs leaves on the server: the lock in the catalog, and a transaction inside.
    const [lock, inside] = [
      new Client({ ...installation.server }),
      new Client({ ...installation.server, database: name, application_name: 'tenants2fast' }),
    ]
    for (const client of [lock, inside]) {
      client.on('error', () => {})
      await client.connect()
    }
    const gone = Promise.all([lock, inside].map((client) => new Promise((resolve) => client.once('end', resolve))))
    await lock.query('select pg_advisory_lock($1)', [databaseLockKey(installation, id)])
    await inside.query('begin; lock table items')
    const other = installation.open().databases
    await expect(other.initializeTenantSchema({ slug: 'acme', databaseId: id })).resolves.toEqual(['0002_note.sql'])
    await gone
    const { rows } = await installation.catalog.pool.query('select schema_version::int from tenant_databases')
    expect(rows).toEqual([{ schema_version: 2 }])
  },
)
