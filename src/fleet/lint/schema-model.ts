import type { RangeVar } from 'libpg-query'
import type { ColumnType } from './column-types.js'
import { relationKey } from './nodes.js'

/** A relation, as far as the files tell. */
export interface Relation {
  /** Whether no tenant has rows in it: it was made in this file, or in one that tenants get in the same run. */
  isNew: boolean
  readonly columns: Map<string, ColumnType>
  readonly notNull: Set<string>
  /** Checks of `column IS NOT NULL`, by name. */
  readonly notNullChecks: Map<string, { readonly columns: readonly string[]; isValid: boolean }>
}

/** A function, as far as the files tell. */
export interface Routine {
  readonly isVolatile: boolean
}

/** What is known of the schema from the files alone. A relation that no file made is one that exists. */
export class SchemaModel {
  readonly relations = new Map<string, Relation>()
  /** Key of each index's table. */
  readonly indexes = new Map<string, string>()
  readonly routines = new Map<string, Routine>()
  /** Domains whose values are checked. */
  readonly checkedDomains = new Set<string>()
  /** Functions, types and schemas that were made since the last `settle`. */
  readonly newObjects = new Set<string>()

  find(relation: RangeVar): Relation | undefined {
    return this.relations.get(relationKey(relation))
  }

  isNew(relation: RangeVar | undefined): boolean {
    return relation === undefined || this.find(relation)?.isNew === true
  }

  isNewKey(key: string): boolean {
    return this.relations.get(key)?.isNew === true
  }

  /** Adds a relation that a statement makes. */
  add(relation: RangeVar): Relation {
    const made: Relation = { isNew: true, columns: new Map(), notNull: new Set(), notNullChecks: new Map() }
    this.relations.set(relationKey(relation), made)
    return made
  }

  /** From now on, tenants have everything that was made so far. */
  settle(): void {
    for (const relation of this.relations.values()) relation.isNew = false
    this.newObjects.clear()
  }
}
