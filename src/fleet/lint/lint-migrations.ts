import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { LintReport } from './findings.js'
import { type Collected, lintFile } from './lint-file.js'
import { loadParser } from './parse.js'
import { SchemaModel } from './schema-model.js'

/** A migration to lint. */
export interface LintInput {
  /** Name of the file, such as `0007_orders_note.sql`. */
  readonly name: string
  /** Its text. Undefined: it is a function, which cannot be linted; the report says so in a note. */
  readonly sql?: string | undefined
  /** Whether it runs in one transaction. Default: unless its first line is `-- no-transaction`. */
  readonly inTransaction?: boolean | undefined
}

/** Options of {@link lintMigrations}. */
export interface LintMigrationsOptions {
  /** All migrations, in order: those that tenants have tell which tables exist and what their columns are. */
  readonly files: readonly LintInput[]
  /**
   * Name of the first file that no tenant has. Files before it are read and not judged; tables that it or a later one makes are
   * no tables that exist. Default: every file is judged as if each tenant had those before it.
   */
  readonly firstPending?: string | undefined
  /** Extensions that the installation makes. Default: none. */
  readonly extensions?: readonly string[] | undefined
}

/** Options of {@link lintMigration}. */
export interface LintMigrationOptions extends LintInput {
  /** What comes before the migration. Default: nothing, so that every table but its own exists and no column's type is known. */
  readonly context?: {
    /** Migrations that every tenant has, in order. */
    readonly applied?: readonly LintInput[] | undefined
    /** Migrations that tenants get in the same run, in order. */
    readonly pending?: readonly LintInput[] | undefined
    /** Extensions that the installation makes. */
    readonly extensions?: readonly string[] | undefined
  }
}

const input = z.object({
  name: z.string().min(1).max(1000),
  sql: z.string().optional(),
  inTransaction: z.boolean().optional(),
})
const inputs = z.array(input).readonly()
const extensionNames = z.array(z.string()).readonly()
const migrationsOptions = z.strictObject({
  files: inputs,
  firstPending: z.string().optional(),
  extensions: extensionNames.optional(),
})
const migrationOptions = input.extend({
  context: z
    .strictObject({
      applied: inputs.optional(),
      pending: inputs.optional(),
      extensions: extensionNames.optional(),
    })
    .optional(),
})

/**
 * Lints migrations: finds what locks or rewrites tables that exist, breaks the release that is running, or reaches beyond
 * the tenant. Reads SQL with PostgreSQL's own parser, the optional package `libpg-query`; connects to nothing.
 *
 * A comment `-- lint-ignore rule: reason` on the line before a statement allows one rule in it.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING, TENANCY_REQUEST_INVALID
 * @example
 * const { findings, notes } = await lintMigrations({ files: [{ name: '0007_note.sql', sql }] })
 * for (const { file, line, rule, message } of findings) console.log(`${file}:${line} ${rule}: ${message}`)
 */
export async function lintMigrations(options: LintMigrationsOptions): Promise<LintReport> {
  const { files, firstPending, extensions } = check(migrationsOptions, options)
  const first = firstPending === undefined ? 0 : files.findIndex(({ name }) => name === firstPending)
  if (first === -1) {
    throw new TenancyError(
      'TENANCY_REQUEST_INVALID',
      `firstPending (--since): no file is named ${JSON.stringify(firstPending)}`,
    )
  }
  return run({
    applied: files.slice(0, first),
    pending: [],
    judged: files.slice(first),
    isOneRun: firstPending !== undefined,
    extensions,
  })
}

/**
 * Lints one migration; see {@link lintMigrations}.
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING, TENANCY_REQUEST_INVALID
 */
export async function lintMigration(options: LintMigrationOptions): Promise<LintReport> {
  const { context, ...file } = check(migrationOptions, options)
  const { applied = [], pending = [], extensions } = context ?? {}
  return run({ applied, pending, judged: [file], isOneRun: true, extensions })
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const problems = result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new TenancyError('TENANCY_REQUEST_INVALID', `Options of the linter: ${problems.join('; ')}`)
}

async function run({
  applied,
  pending,
  judged,
  isOneRun,
  extensions = [],
}: {
  readonly applied: readonly LintInput[]
  readonly pending: readonly LintInput[]
  readonly judged: readonly LintInput[]
  /** Whether tenants get the judged files at once. */
  readonly isOneRun: boolean
  readonly extensions: readonly string[] | undefined
}): Promise<LintReport> {
  const parser = await loadParser()
  const model = new SchemaModel()
  const context = { model, extensions: new Set(extensions) }
  const read = (file: LintInput, into: Collected) => {
    const { name, sql, inTransaction = !/^\s*--\s*no-transaction\b/.test(sql ?? '') } = file
    if (sql !== undefined) lintFile(parser, { name, sql, inTransaction }, context, into)
    else into.notes.push({ file: name, line: undefined, message: 'A function cannot be linted: rehearse it' })
  }
  for (const file of applied) read(file, nobody())
  model.settle()
  for (const file of pending) read(file, nobody())
  const report = nobody()
  for (const file of judged) {
    read(file, report)
    if (!isOneRun) model.settle()
  }
  return report
}

const nobody = (): Collected => ({ findings: [], ignored: [], notes: [] })
