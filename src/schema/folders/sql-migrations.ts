import { join } from 'node:path'
import { TenancyError } from '../../core/errors/errors.js'
import type { Migration } from '../../core/tenants/migration.js'
import { readSqlText, sha256 } from '../../postgres/files/sql-folder.js'
import type { MigrationSetCodes } from '../migration-set.js'
import { prepareSql, type SqlDialect } from '../sql-text.js'

/** A migration of a folder, as files. */
export interface SqlMigrationFiles {
  readonly version: number
  /** Name in the ledger, and of the file in the folder. */
  readonly name: string
  /** Name of the file that undoes it; undefined: there is none. */
  readonly down: string | undefined
}

/** A migration with the checksums that tools may have of its file. */
export interface SqlMigration extends Migration {
  readonly up: string
  /** SHA-256 of the file's bytes, of its text with `\n`, and of its text with `\r\n`. */
  readonly hashes: ReadonlySet<string>
  /** The first of those, which a tool computes on this machine. */
  readonly hash: string
}

/**
 * Reads the files of a folder.
 *
 * @throws {@link TenancyError} `codes.invalid` naming everything that cannot be run, with file and line
 */
export async function readSqlMigrations(
  folder: string,
  files: readonly SqlMigrationFiles[],
  codes: MigrationSetCodes,
  dialect: SqlDialect = {},
): Promise<SqlMigration[]> {
  const problems: string[] = []
  const read = async (name: string) => {
    const { text, checksum, bytes } = await readSqlText(join(folder, name), name, codes)
    const prepared = prepareSql(text, dialect)
    problems.push(...prepared.problems.map((problem) => `${name}, ${problem}`))
    return { ...prepared, text, checksum, bytes }
  }
  const migrations = await Promise.all(
    files.map(async ({ version, name, down }) => {
      const { sql, inTransaction, checksum, text, bytes } = await read(name)
      const undo = down === undefined ? undefined : await read(down)
      const hash = sha256(bytes)
      return {
        ...{ version, name, checksum, inTransaction, up: sql, hash },
        hashes: new Set([hash, sha256(text), sha256(text.replaceAll('\n', '\r\n'))]),
        ...(undo && { down: undo.sql, downInTransaction: undo.inTransaction }),
      }
    }),
  )
  if (problems.length > 0) throw new TenancyError(codes.invalid, `SQL files of ${folder}: ${problems.join('; ')}`)
  return migrations
}
