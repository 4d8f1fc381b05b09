import { readSqlFolder, type SqlFile, type SqlFileErrorCodes } from '../postgres/files/sql-files.js'

/**
 * The numbered files of `catalog/migrations`. In the published package this module contains their text instead of reading
 * the folder (`scripts/build.js` writes it), so that a bundled application has them.
 */
export function shippedMigrations(codes: SqlFileErrorCodes): Promise<SqlFile[]> {
  return readSqlFolder(new URL('./migrations/', import.meta.url), codes)
}
