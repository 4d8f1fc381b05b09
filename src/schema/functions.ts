import { TenancyError } from '../core/errors/errors.js'
import type { TenantMigration } from '../core/tenants/migration.js'
import { sha256 } from '../postgres/files/sql-folder.js'
import type { MigrationSet, MigrationSetCodes } from './migration-set.js'

const maxName = 200

/**
 * Makes migrations of functions, in the order of the list. The ledger knows them by their names alone: the text of a function
 * changes with every compiler.
 *
 * @throws {@link TenancyError} `codes.invalid`
 */
export function functionMigrations(list: readonly TenantMigration[], codes: MigrationSetCodes): MigrationSet {
  const names = list.map(({ name }) => name)
  const problems = [
    ...names
      .filter((name) => name === '' || name.length > maxName || /\p{Cc}/u.test(name))
      .map((name) => `${JSON.stringify(name.slice(0, 60))} is no name of 1 to ${maxName} characters`),
    ...names
      .filter((name, index) => names.indexOf(name) !== index)
      .map((name) => `${JSON.stringify(name)} is there twice`),
  ]
  if (problems.length > 0) throw new TenancyError(codes.invalid, `Migrations: ${problems.join('; ')}`)
  return {
    kind: 'functions',
    migrations: list.map(({ name, up, down }, version) => ({
      ...{ version, name, checksum: sha256(name), inTransaction: true, up },
      ...(down && { down }),
    })),
  }
}
