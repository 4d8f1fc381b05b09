import type { z } from 'zod'
import type { AccessDefinition } from '../../core/access/access.js'
import type { ExportsOptions } from '../../core/backup/exports.js'
import type { Config } from '../../core/config/config.js'
import type { Seed } from '../../core/fleet/fleet-seed.js'
import type { Logger } from '../../core/logger.js'
import type { SchemaSource } from '../../core/tenants/migration.js'
import type { PgModule } from '../../core/tenants/pg-module.js'
import type { DomainOptions } from '../../catalog/domains/domain-options.js'
import type { Closing } from './closing.js'

/**
 * What an installation is opened for. `serve`: everything. `migrate`: the template is made, and nothing works in the background:
 * no stock, reconciliation or watch. `administer`: as little as there is; what a function needs is made when it is called.
 */
export type OpenPurpose = 'serve' | 'migrate' | 'administer'

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
  readonly seedDir: string | undefined
  readonly seeds: readonly Seed[]
  readonly extensions: readonly string[]
  /** Ids of migrations; undefined: no limit. */
  readonly minimumSchema: string | undefined
  readonly maximumSchema: string | undefined
  readonly requireNamedTenant: boolean
  readonly domains: DomainOptions
  /** Undefined: the copy of `pg` that this package resolves. */
  readonly pg: PgModule | undefined
  /** Schema of tenants' settings; undefined: there are none. */
  readonly tenantSettings: z.ZodObject | undefined
  /** Exports of tenants; undefined: there are none. */
  readonly exports: ExportsOptions | undefined
  readonly purpose: OpenPurpose
  /** Who runs this process, for each entry of the audit log; undefined: it is not known. */
  readonly operator: string | undefined
}
