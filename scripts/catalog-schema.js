// Writes src/catalog/schema.sql from a new catalog on an embedded PostgreSQL. Run it after a build, when a file of
// src/catalog/migrations was added; a test fails until then.
import { writeFileSync } from 'node:fs'
import pg from 'pg'
import { withServer } from '../bench/database.js'
import { migrateCatalog } from '../dist/catalog/migrate.js'
import { catalogSchemaText } from './catalog-schema-text.js'

/** @template Result @param {string} url @param {(client: pg.Client) => Promise<Result>} work @returns {Promise<Result>} */
async function withClient(url, work) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

await withServer(async (url) => {
  await withClient(url, (admin) => admin.query('create database catalog template template0'))
  const catalog = new URL('/catalog', url).href
  const pool = new pg.Pool({ connectionString: catalog })
  try {
    await migrateCatalog(pool)
  } finally {
    await pool.end()
  }
  const text = await withClient(catalog, catalogSchemaText)
  writeFileSync(new URL('../src/catalog/schema.sql', import.meta.url), text)
})
