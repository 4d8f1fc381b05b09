import { expect, test } from 'vitest'
import { ensureCatalogDatabase } from '../../../src/databases/server/catalog-database.js'
import { testServer, uniqueName, withAdmin } from '../../support/server.js'

test('Processes that start at once create one catalog database, which is closed to PUBLIC', async () => {
  const { url: _, embedded: __, ...server } = await testServer()
  const name = uniqueName()
  try {
    const accounts = await Promise.all(Array.from({ length: 6 }, () => ensureCatalogDatabase(server, name)))
    expect(accounts[0]).toEqual({ ...server, database: name })
    await ensureCatalogDatabase(server, name)
    const { rows } = await withAdmin((admin) =>
      admin.query('select datacl::text as acl from pg_database where datname = $1', [name]),
    )
    expect(rows).toHaveLength(1)
    // An entry without a name before the equals sign is PUBLIC's.
    expect(rows[0].acl).not.toMatch(/[{,]=/)
  } finally {
    await withAdmin((admin) => admin.query(`drop database if exists "${name}"`))
  }
})

test('The error for a server that does not answer names the server and not the password', async () => {
  const { url: _, embedded: __, ...server } = await testServer()
  const failure = await ensureCatalogDatabase({ ...server, port: 1, password: 'hunter2' }, uniqueName()).catch(
    (error: unknown) => error,
  )
  expect(failure).toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE', statusCode: 503 })
  expect((failure as Error).message).toContain(`${server.host}:1`)
  expect((failure as Error).message).not.toContain('hunter2')
})
