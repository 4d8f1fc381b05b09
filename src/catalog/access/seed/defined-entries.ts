import { z } from 'zod'
import type { SqlPool } from '../../../core/sql-client.js'
import { isStorable } from '../../../core/text.js'
import { parse, schemaOf } from '../../input.js'

/** A category, permission, built-in role or route rule. */
export interface AccessEntryInput {
  readonly kind: 'category' | 'permission' | 'role' | 'route'
  /** Its name. Of a route rule: method, path and permission with one space between them, `GET /reports reports:read`. */
  readonly name: string
}

/** Tells what comes from the application's access definition. */
export interface DefinedEntries {
  /**
   * Tells whether an entry is the access definition's. Those follow the application's code: the management API changes
   * only others. False for one that does not exist.
   * @example
   * await tenancy.access.isDefined({ kind: 'permission', name: 'reports:read' })
   */
  isDefined(input: AccessEntryInput): Promise<boolean>
}

const entryInput = schemaOf<AccessEntryInput>()(
  z.strictObject({
    kind: z.enum(['category', 'permission', 'role', 'route']),
    name: z.string().min(1).max(1500).refine(isStorable, 'holds a NUL or half of a surrogate pair'),
  }),
)

/** SQL condition: the definition has the entry whose key in the ledger is this expression. */
export const isSeeded = (key: string) =>
  `exists (select from access_seed_entries where entry = ${key} and state = 'applied')`

/** Creates the service that tells what the access definition has. */
export function createDefinedEntries(catalog: SqlPool): DefinedEntries {
  return {
    async isDefined(input) {
      const { kind, name } = parse(entryInput, input)
      const { rows } = await catalog.query<{ isDefined: boolean }>(
        `select ${isSeeded("$1 || ' ' || $2")}
           or ($1 = 'permission' and exists (select from permissions where name = $2 and is_system))
           or ($1 = 'role' and exists (select from roles where tenant_id is null and name = $2 and is_system))
           as "isDefined"`,
        [kind, name],
      )
      return rows[0]?.isDefined === true
    },
  }
}
