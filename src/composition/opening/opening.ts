import type { AccessDefinition } from '../../core/access/access.js'
import type { Config } from '../../core/config/config.js'
import type { Logger } from '../../core/logger.js'
import type { SchemaSource } from '../../core/tenants/migration.js'
import type { PgModule } from '../../core/tenants/pg-module.js'
import type { Closing } from './closing.js'

/** What every step of opening an installation is given: the options of `createTenancy`, with their defaults filled in. */
export interface Opening {
  readonly config: Config
  readonly logger: Logger
  /** Each step adds what it opened, at once: what was opened is closed again when a later step fails. */
  readonly closing: Closing
  /** Undefined: the shipped seed of `config.seedProfile`. */
  readonly access: AccessDefinition | undefined
  /** Undefined: the folder of `schemaDir` or of the configuration. */
  readonly schema: SchemaSource | undefined
  readonly schemaDir: string | undefined
  readonly extensions: readonly string[]
  /** Ids of migrations; undefined: no limit. */
  readonly minimumSchema: string | undefined
  readonly maximumSchema: string | undefined
  readonly requireNamedTenant: boolean
  /** Undefined: the copy of `pg` that this package resolves. */
  readonly pg: PgModule | undefined
}
