import type { LintInput } from '../../index.js'
import { CliError } from '../cli-error.js'
import type { CommandContext } from '../context.js'

/** A migration as the linter takes it, with its place. */
export interface LintedMigration extends LintInput {
  readonly version: number
}

/** Reads the migrations of the application, as the linter takes them, and the extensions that it makes. */
export async function readLintInput(
  context: Pick<CommandContext, 'options'>,
): Promise<{ readonly files: readonly LintedMigration[]; readonly extensions: readonly string[] }> {
  const { config, schemaDir = config.schemaDir, schema, extensions = config.extensions } = await context.options()
  const source = schema ?? (schemaDir === undefined ? undefined : { dir: schemaDir })
  if (source === undefined) {
    throw new CliError('CLI_CONFIG_INVALID', 'There is no folder of migrations: set TENANT_SCHEMA_DIR')
  }
  const { readMigrations } = await import('../../schema/read-migrations.js')
  const { migrations } = await readMigrations(source, { invalid: 'TENANCY_DATABASE_SCHEMA_INVALID' })
  const files = migrations.map(({ version, name, up, inTransaction }) => ({
    ...{ version, name, inTransaction },
    ...(typeof up === 'string' ? { sql: up } : {}),
  }))
  return { files, extensions }
}
