import { createHash } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TenancyError, type TenancyErrorCode } from '../../core/errors/errors.js'
import type { Migration } from '../../core/tenants/migration.js'

/** One numbered SQL file of a folder; `version` is the number that its name begins with: 4 to 14 digits, from 0. */
export interface SqlFile extends Migration {
  readonly up: string
}

/** The codes of a folder's errors. */
export interface SqlFileErrorCodes {
  /** The folder cannot be read, is badly named, or does not fit the ledger. */
  readonly invalid: TenancyErrorCode
  /** PostgreSQL refused a file. */
  readonly failed: TenancyErrorCode
  /** Another session holds a lock that a file needs, or migrates the same database. */
  readonly blocked: TenancyErrorCode
  /** The list of another tool says something else than the folder. Default: `invalid`. */
  readonly disagreement?: TenancyErrorCode
}

/** The beginning of a file's name: a number of 4 to 14 digits, then words. */
const namePattern = /^(\d{4,14})_[A-Za-z0-9_-]+$/

/** The number that a name begins with; undefined: it is not named `NNNN_name`. */
export function numberOf(base: string): number | undefined {
  const digits = namePattern.exec(base)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/**
 * Reads a folder of numbered SQL files, `0001_name.sql`, in the order of their numbers. Files of other types are ignored; an
 * `.sql` file of another name is an error.
 *
 * @throws {@link TenancyError} `codes.invalid` naming every problem at once
 */
export async function readSqlFolder(
  folder: string | URL,
  codes: Pick<SqlFileErrorCodes, 'invalid'>,
): Promise<SqlFile[]> {
  const path = typeof folder === 'string' ? folder : fileURLToPath(folder)
  const names = (await listFolder(path, codes)).map(({ name }) => name).filter((name) => isSqlName(name))
  const numbered = orderByNumber(
    path,
    names.map((name) => ({ base: baseOf(name), name })),
    codes,
  )
  return Promise.all(
    numbered.map(async ({ version, name }) => {
      const { text, checksum } = await readSqlText(join(path, name), name, codes)
      return { version, name, checksum, inTransaction: true, up: text }
    }),
  )
}

/** @throws {@link TenancyError} `codes.invalid` */
export async function listFolder(path: string, codes: Pick<SqlFileErrorCodes, 'invalid'>): Promise<Dirent[]> {
  return readdir(path, { withFileTypes: true }).catch((cause: unknown) => {
    throw new TenancyError(codes.invalid, `The folder of SQL files ${path} cannot be read: check the path`, { cause })
  })
}

/** Tells whether a file is meant to be one of SQL, however its ending is written. */
export const isSqlName = (name: string): boolean => name.toLowerCase().endsWith('.sql')

/** A file's name without its ending; an ending that is not `.sql` in lower case makes it no name. */
export const baseOf = (name: string): string => (name.endsWith('.sql') ? name.slice(0, -4) : '')

/**
 * Orders files by the number that their names begin with.
 *
 * @param files `base`: the part of the name with the number
 * @throws {@link TenancyError} `codes.invalid` naming every file without a number, and every number that occurs twice
 */
export function orderByNumber<File extends { readonly base: string; readonly name: string }>(
  path: string,
  files: readonly File[],
  codes: Pick<SqlFileErrorCodes, 'invalid'>,
): (File & { readonly version: number })[] {
  const problems: string[] = []
  const byVersion = new Map<number, File>()
  for (const file of files.toSorted((one, other) => (one.name < other.name ? -1 : 1))) {
    const version = numberOf(file.base)
    if (version === undefined) {
      problems.push(`${file.name} is not named NNNN_name.sql with a number of 4 to 14 digits`)
      continue
    }
    const twin = byVersion.get(version)
    if (twin !== undefined) problems.push(`${twin.name} and ${file.name} have the same number`)
    else byVersion.set(version, file)
  }
  if (problems.length > 0) throw new TenancyError(codes.invalid, `SQL files of ${path}: ${problems.join('; ')}`)
  return [...byVersion].toSorted(([one], [other]) => one - other).map(([version, file]) => ({ ...file, version }))
}

/** The text of a file. */
export interface SqlText {
  /** With line ends as `\n`. */
  readonly text: string
  /** SHA-256 of `text`, hexadecimal: a checkout on Windows is the same file. */
  readonly checksum: string
  /** The file's bytes. */
  readonly bytes: Buffer
}

/** @throws {@link TenancyError} `codes.invalid`: no UTF-8 text */
export async function readSqlText(
  path: string,
  name: string,
  codes: Pick<SqlFileErrorCodes, 'invalid'>,
): Promise<SqlText> {
  let bytes: Buffer
  let text: string
  try {
    bytes = await readFile(path)
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).replaceAll('\r\n', '\n')
  } catch (cause) {
    throw new TenancyError(codes.invalid, `${name} cannot be read as UTF-8 text`, { cause })
  }
  if (text.includes('\0')) throw new TenancyError(codes.invalid, `${name} holds a NUL character`)
  return { text, checksum: sha256(text), bytes }
}

/** @returns hexadecimal */
export const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex')
