import type { LockMode } from '../../core/fleet/lock-modes.js'
import type { Statement } from './parse.js'
import type { RuleName } from './rules.js'
import type { SchemaModel } from './schema-model.js'

/** What a check found in a statement. */
export interface Found {
  readonly rule: RuleName
  readonly message: string
  /** Default: false. */
  readonly rewrites?: boolean
  /** Default: the strongest lock of the statement. */
  readonly lock?: LockMode
}

/** What the checks know of the file so far. */
export interface FileState {
  readonly model: SchemaModel
  readonly inTransaction: boolean
  /** Extensions that the installation makes. */
  readonly extensions: ReadonlySet<string>
  /** All statements of the file: what is dropped may be made again further down. */
  readonly statements: readonly Statement[]
  /** Tables that existed before and that an earlier statement of this transaction has locked against writes, with the lock. */
  readonly held: Map<string, LockMode>
  /** Constraints that were added NOT VALID in this transaction: `table constraint`. */
  readonly notValid: Set<string>
  /** Enum values that were added in this transaction. */
  readonly enumValues: Set<string>
  /** Types that were made in this file: their values may be used at once. */
  readonly ownTypes: Set<string>
  /** Tables that got a row security policy in this file. */
  readonly policies: Set<string>
}
