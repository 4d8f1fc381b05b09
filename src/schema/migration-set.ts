import type { TenancyErrorCode } from '../core/errors/errors.js'
import type { Migration, MigrationFolderKind } from '../core/tenants/migration.js'
import type { ToolLedger } from '../postgres/files/tool-ledger.js'

/** The migrations that make up a schema. */
export interface MigrationSet {
  readonly kind: MigrationFolderKind | 'functions'
  /** In the order in which they run; versions ascend. */
  readonly migrations: readonly Migration[]
  /** The list that the tool of this folder keeps in each database; undefined: there is no such tool. */
  readonly tool?: ToolLedger | undefined
}

/** Codes of the errors of a folder or list. */
export interface MigrationSetCodes {
  readonly invalid: TenancyErrorCode
}
