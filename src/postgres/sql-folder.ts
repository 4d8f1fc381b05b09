import { createHash } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TenancyError, type TenancyErrorCode } from '../core/errors/errors.js'

/** One numbered SQL file of a folder. */
export interface SqlFile {
  /** The number that its name begins with: 4 to 14 digits, from 0. */
  readonly version: number
  /** Name in the folder, such as `0001_orders.sql` or `20240101120000_init/migration.sql`. */
  readonly name: string
  readonly sql: string
  /** SHA-256 of the text, hexadecimal. Line ends count as `\n`, so that a checkout on Windows is the same file. */
  readonly checksum: string
}

/** The codes of a folder's errors. */
export interface SqlFileErrorCodes {
  /** The folder cannot be read, is badly named, or does not fit the ledger. */
  readonly invalid: TenancyErrorCode
  /** PostgreSQL refused a file. */
  readonly failed: TenancyErrorCode
  /** Another session holds a lock that a file needs, or migrates the same database. */
  readonly blocked: TenancyErrorCode
}

const namePattern = /^(\d{4,14})_[A-Za-z0-9_-]+$/

/**
 * Reads a folder of numbered SQL files, in the order of their numbers: `0001_name.sql`, `0000_name.sql` (drizzle-kit),
 * `20240101120000_name.sql`, and folders `20240101120000_name/migration.sql` (Prisma). Files of other types are ignored;
 * an `.sql` file of another name is an error.
 *
 * @throws {@link TenancyError} `codes.invalid` naming every problem at once
 */
export async function readSqlFolder(
  folder: string | URL,
  codes: Pick<SqlFileErrorCodes, 'invalid'>,
): Promise<SqlFile[]> {
  const path = typeof folder === 'string' ? folder : fileURLToPath(folder)
  const entries = await readdir(path, { withFileTypes: true }).catch((cause: unknown) => {
    throw new TenancyError(codes.invalid, `The folder of SQL files ${path} cannot be read: check the path`, { cause })
  })
  const problems: string[] = []
  const byVersion = new Map<number, string>()
  for (const [base, name] of entries.flatMap(sqlEntry).toSorted(byName)) {
    const digits = namePattern.exec(base)?.[1]
    if (digits === undefined) {
      problems.push(`${name} is not named NNNN_name.sql with a number of 4 to 14 digits`)
      continue
    }
    const version = Number(digits)
    const twin = byVersion.get(version)
    if (twin !== undefined) problems.push(`${twin} and ${name} have the same number`)
    else byVersion.set(version, name)
  }
  if (problems.length > 0) throw new TenancyError(codes.invalid, `SQL files of ${path}: ${problems.join('; ')}`)
  const ordered = [...byVersion].toSorted(([one], [other]) => one - other)
  return Promise.all(ordered.map(([version, name]) => readSqlFile(path, version, name, codes)))
}

/** Gives the part of a name with the number, and the name of the file in the folder; nothing for other files. */
function sqlEntry(entry: Dirent): [base: string, name: string][] {
  const { name } = entry
  if (entry.isDirectory()) return namePattern.test(name) ? [[name, `${name}/migration.sql`]] : []
  return name.toLowerCase().endsWith('.sql') ? [[name.endsWith('.sql') ? name.slice(0, -4) : '', name]] : []
}

function byName([, one]: readonly [string, string], [, other]: readonly [string, string]): number {
  return one < other ? -1 : 1
}

async function readSqlFile(
  folder: string,
  version: number,
  name: string,
  codes: Pick<SqlFileErrorCodes, 'invalid'>,
): Promise<SqlFile> {
  let sql: string
  try {
    sql = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(join(folder, name))).replaceAll('\r\n', '\n')
  } catch (cause) {
    throw new TenancyError(codes.invalid, `${name} cannot be read as UTF-8 text`, { cause })
  }
  if (sql.includes('\0')) throw new TenancyError(codes.invalid, `${name} holds a NUL character`)
  return { version, name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}
