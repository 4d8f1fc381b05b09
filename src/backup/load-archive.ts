import { type Readable, Transform } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { BackupProgress } from '../core/backup/backup.js'
import type { ContentTable, DatabaseContent } from '../core/backup/ports.js'
import { findTenancyError, TenancyError } from '../core/errors/errors.js'
import { quoteIdentifier } from '../postgres/text/quote.js'
import type { ArchiveSource } from './archive-source.js'
import { readDumpScript } from './dump-script.js'
import { invalidArchive, type Manifest } from './manifest.js'
import { chain } from './part-bytes.js'
import { decodeArguments, findPgTool, libpqFree, runPgTool } from './pg-tools.js'

type Load = (table: ContentTable, rows: Readable, signal?: AbortSignal) => Promise<number>

/** Options of {@link loadArchive}. */
export interface LoadOptions {
  readonly archive: ArchiveSource
  readonly decrypt: ((bytes: Readable) => Promise<Readable>) | undefined
  readonly pgFolder: string | undefined
  /** Bytes of the database that is filled, on the server's disk. */
  readonly size: () => Promise<number>
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** The content that a manifest describes. */
export function contentOf({ tables, sequences, materializedViews }: Manifest): DatabaseContent {
  return { relations: { tables, sequences, materializedViews, largeObjects: 0 }, sequences }
}

/**
 * Loads every table of an archive once, and compares the number of rows and the hashes of the parts with the manifest.
 *
 * @throws {@link TenancyError} TENANCY_BACKUP_INVALID, TENANCY_RESTORE_REFUSED (no `pg_restore`), and errors of `load`
 */
export async function loadArchive(options: LoadOptions, load: Load): Promise<void> {
  const { archive, onProgress, signal } = options
  const { manifest } = archive
  let [bytes, tablesDone] = [0, 0]
  const tell = (table?: string) =>
    onProgress?.({ phase: 'data', table, tablesDone, tables: manifest.tables.length, bytes })
  const loadTable: Load = async (table, rows) => {
    signal?.throwIfAborted()
    const loaded = await load(table, rows, signal)
    tablesDone += 1
    tell(table.name)
    return loaded
  }
  const count = (read: number) => {
    bytes += read
  }
  tell()
  await (manifest.method === 'copy' ? loadParts(options, loadTable, count) : loadDump(options, loadTable, count))
}

async function loadParts({ archive, decrypt }: LoadOptions, load: Load, onBytes: (count: number) => void) {
  for (const table of archive.manifest.tables) {
    if (table.part === null) throw invalidArchive(`the table ${table.name} has no part`)
    const { bytes, check } = archive.open(table.part, onBytes)
    const bound = atMost(table)
    const rows = await readAs(
      async () => load(table, chain(await through(bytes, decrypt), createGunzip({ chunkSize }), bound)),
      check,
    )
    checkRows(table, rows)
  }
}

async function loadDump(
  { archive, decrypt, pgFolder, size, signal }: LoadOptions,
  load: Load,
  onBytes: (count: number) => void,
) {
  const { manifest } = archive
  const [name] = manifest.parts.map((part) => part.name)
  if (name === undefined || manifest.parts.length !== 1) throw invalidArchive('it has no dump')
  const tool = await findPgTool('pg_restore', pgFolder)
  if (tool === undefined) {
    throw new TenancyError(
      'TENANCY_RESTORE_REFUSED',
      'The backup was made by pg_dump, and pg_restore was not found: install it, or set TENANT_PG_BIN_DIR',
    )
  }
  const wanted = new Map(manifest.tables.map((table) => [copyStatement(table), table]))
  const loaded = new Map<string, number>()
  const { bytes, check } = archive.open(name, onBytes)
  await readAs(async () => {
    const plain = await through(bytes, decrypt)
    const { child, ended } = runPgTool(tool, decodeArguments, libpqFree(), true)
    const stop = () => void child.kill('SIGKILL')
    signal?.addEventListener('abort', stop)
    try {
      // It may end before it has read all: then the script is cut, which is noticed.
      child.stdin?.on('error', () => plain.destroy())
      let problem: unknown
      plain.on('error', (error) => {
        problem = error
        stop()
      })
      if (child.stdin) plain.pipe(child.stdin)
      for await (const { statement, rows } of readDumpScript(bounded(child.stdout as Readable, manifest, size))) {
        const table = wanted.get(statement)
        if (table === undefined) {
          if (!statement.startsWith('COPY "tenants2fast".'))
            throw invalidArchive('the dump has a table that the manifest has not')
          for await (const _ of rows);
          continue
        }
        if (loaded.has(statement)) throw invalidArchive(`the dump has the table ${table.name} twice`)
        loaded.set(statement, await load(table, rows))
      }
      await ended.catch((cause: unknown) => {
        throw problem ?? invalidArchive(`pg_restore cannot read the dump: ${(cause as Error).message}`, cause)
      })
    } finally {
      signal?.removeEventListener('abort', stop)
      stop()
      bytes.resume()
    }
  }, check)
  for (const [statement, table] of wanted) checkRows(table, loaded.get(statement) ?? 0)
}

/** Reads a part and checks it. If it is not what was written, that is the error, whatever came of it. */
async function readAs<Result>(read: () => Promise<Result>, check: () => void): Promise<Result> {
  let result: Result
  try {
    result = await read()
  } catch (error) {
    if (findTenancyError(error)?.code === 'TENANCY_BACKUP_INVALID') throw error
    const { code } = error as { code?: unknown }
    // zlib's codes; age has none.
    if (typeof code === 'string' && (code.startsWith('Z_') || code.startsWith('ERR_'))) {
      throw invalidArchive('a part cannot be unpacked', error)
    }
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR')
      throw invalidArchive('a part cannot be read', error)
    if (code === undefined && error instanceof Error && !('severity' in error) && !findTenancyError(error)) {
      throw invalidArchive('a part cannot be decrypted or unpacked', error)
    }
    throw error
  }
  check()
  return result
}

const through = async (bytes: Readable, decrypt: LoadOptions['decrypt']) =>
  decrypt === undefined ? bytes : decrypt(bytes)

/** Each piece is a job for another thread: the default of 16 KiB makes many of them. */
const chunkSize = 1 << 18

/** Passes the rows of a table, as many bytes as the manifest says: what unpacks to more would fill the disk. */
function atMost({ name, bytes: wanted }: Manifest['tables'][number]): Transform {
  let bytes = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      if (bytes > (wanted ?? 0)) done(invalidArchive(`the table ${name} unpacks to more than ${wanted} bytes`))
      else done(null, chunk)
    },
  })
}

const looksEvery = 32 * 1024 * 1024
// A new database can be larger than the old one was: rows that were compressed otherwise, another fill factor.
const largestDatabase = (bytes: number) => 2 * bytes + 64 * 1024 * 1024

/** A script, as long as the database that its rows go into is not far larger than the one that was dumped. */
async function* bounded(
  script: Readable,
  { databaseBytes }: Manifest,
  size: LoadOptions['size'],
): AsyncGenerator<Buffer, void, undefined> {
  let lookAt = looksEvery
  let bytes = 0
  for await (const chunk of script) {
    bytes += (chunk as Buffer).length
    if (bytes >= lookAt) {
      lookAt = bytes + looksEvery
      if ((await size()) > largestDatabase(databaseBytes)) {
        throw invalidArchive(`it unpacks to far more than the ${databaseBytes} bytes of the database that it is of`)
      }
    }
    yield chunk as Buffer
  }
}

/** The statement that `pg_restore` writes before the rows of a table, with `--quote-all-identifiers`. */
function copyStatement({ schema, name, columns }: ContentTable): string {
  const names = columns.filter(({ isGenerated }) => !isGenerated).map((column) => quoteIdentifier(column.name))
  const list = names.length === 0 ? ' ' : ` (${names.join(', ')})`
  return `COPY ${quoteIdentifier(schema)}.${quoteIdentifier(name)}${list} FROM stdin;`
}

function checkRows({ name, rows }: Manifest['tables'][number], loaded: number): void {
  if (loaded !== rows) throw invalidArchive(`the table ${name} has ${loaded} rows instead of ${rows}`)
}
