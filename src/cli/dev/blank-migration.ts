import { blankMigrations } from '../../schema/blank-migrations.js'
import { readMigrations } from '../../schema/read-migrations.js'
import type { Tenancy } from '../../tenancy-interface.js'

/**
 * Names the first migration that some tenant lacks and that has no statement yet, such as a file that `migrate new` has just
 * made; undefined: there is none. Once applied, it could not be written any more.
 */
export async function findBlankMigration(folder: string, fleet: Tenancy['fleet']): Promise<string | undefined> {
  const { migrations } = await readMigrations({ dir: folder }, { invalid: 'TENANCY_DATABASE_SCHEMA_INVALID' })
  const blank = blankMigrations(migrations)
  if (blank.length === 0) return undefined
  const { versions } = await fleet.status({ limit: 0 })
  const oldest = Math.min(...versions.map(({ version }) => version ?? -1))
  return blank.find(({ version }) => version > oldest)?.name
}
