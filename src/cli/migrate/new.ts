import { existsSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'

interface Input {
  readonly name: string
  readonly down?: boolean
  readonly noTransaction?: boolean
}

interface Result {
  /** Paths of the files that were made. */
  readonly files: readonly string[]
}

export const newMigration = defineCommand<Input, Result>({
  name: 'new',
  summary: 'Make the next migration: an empty numbered SQL file',
  description:
    'In the folder of TENANT_SCHEMA_DIR (or `schemaDir` of the application’s file), which is made if there is none.',
  arguments: [{ name: 'name', description: 'what it does, in letters, digits, _ and -: add_invoices' }],
  options: [
    { flags: '--down', description: 'also NNNN_name.down.sql, which takes it back' },
    { flags: '--no-transaction', description: 'for statements that must not be in one, as CREATE INDEX CONCURRENTLY' },
  ],
  examples: [{ command: 'migrate new add_invoices', says: 'Makes 0002_add_invoices.sql after 0001_….sql' }],
  json: { files: ['string'] },
  exitCodes: [4],
  async run(context, { name, down = false, ...input }) {
    if (!/^[A-Za-z0-9_-]{1,100}$/.test(name)) {
      throw new CliError('CLI_USAGE', 'The name of a migration is 1 to 100 letters, digits, _ and -')
    }
    const { config, schemaDir: given } = await context.options()
    const folder = given ?? config.schemaDir
    if (folder === undefined) {
      throw new CliError('CLI_CONFIG_INVALID', 'There is no folder of migrations: set TENANT_SCHEMA_DIR')
    }
    await mkdir(folder, { recursive: true })
    const names = await readdir(folder)
    refuseOtherTools(folder, names)
    const base = `${nextNumber(names)}_${name}`
    // Commander reads `--no-x` as x: false.
    const isAlone = (input as { transaction?: boolean }).transaction === false
    const made = [[join(folder, `${base}.sql`), isAlone ? '-- no-transaction\n\n' : ''] as const]
    if (down) made.push([join(folder, `${base}.down.sql`), ''])
    for (const [path, text] of made) await writeNew(path, text)
    return { files: made.map(([path]) => path) }
  },
  render({ files }, page) {
    for (const path of files) page.line(path)
    page.hint('Write its SQL, then: tenants2fast migrate up --dry-run')
  },
})

/** Folders that another tool writes have a ledger of that tool: a file of ours would not be in it. */
function refuseOtherTools(folder: string, names: readonly string[]): void {
  const drizzle = ['drizzle-kit', 'npx drizzle-kit generate'] as const
  const tools = [
    ['meta/_journal.json', ...drizzle],
    // From 1.0: a folder for each migration, and no journal.
    ...names.map((name) => [join(name, 'snapshot.json'), ...drizzle] as const),
    ['migration_lock.toml', 'Prisma', 'npx prisma migrate dev --create-only'],
  ] as const
  for (const [file, tool, command] of tools) {
    if (existsSync(join(folder, file))) {
      throw new CliError(
        'CLI_CONFIG_INVALID',
        `${folder} is a folder of ${tool}, which makes its own files: ${command}`,
      )
    }
  }
  if (names.some((name) => /(?<!\.d)\.m?[jt]s$/.test(name))) {
    throw new CliError(
      'CLI_CONFIG_INVALID',
      `${folder} is a folder of Kysely: add a file with up(db) by its tools or by hand`,
    )
  }
}

/** The number after the highest one, in as many digits. */
function nextNumber(names: readonly string[]): string {
  const numbers = names.flatMap((name) => /^(\d{4,14})_/.exec(name)?.[1] ?? [])
  const last = numbers.toSorted((one, other) => Number(one) - Number(other)).at(-1)
  return last === undefined ? '0001' : String(Number(last) + 1).padStart(last.length, '0')
}

async function writeNew(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new CliError('CLI_FILE_EXISTS', `There is a file ${path} already`, { cause: error })
  }
}
