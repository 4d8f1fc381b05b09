import type { AccessDefinition } from '../core/access.js'
import { TenancyError } from '../core/errors.js'
import type { SqlClient, SqlPool } from '../core/sql.js'
import { inTransaction } from './transaction.js'

/** What {@link seedAccess} did. */
export interface SeedAccessResult {
  /** Entries of the definition that were new to this catalog; 0: nothing was written. */
  readonly applied: number
}

/** One thing a definition puts in. `key` names it in the ledger: applied once, then the administrator's. */
interface Entry {
  readonly key: string
  readonly kind: 'category' | 'permission' | 'route' | 'role' | 'grant'
  readonly values: Readonly<Record<string, string | null>>
}

// In this order: each may refer to those before it. Only what is missing goes in, and not by `on conflict`, which would
// use up identity values: they are bit positions.
const statements: readonly (readonly [Entry['kind'], string])[] = [
  [
    'category',
    `insert into permission_categories (name, description)
     select name, description from jsonb_to_recordset($1) as new (name text, description text)
     where not exists (select from permission_categories where name = new.name)`,
  ],
  [
    'permission',
    `insert into permissions (name, description, category, is_system)
     select name, description, (select name from permission_categories where name = new.category), true
     from rows from (jsonb_to_recordset($1) as (name text, description text, category text)) with ordinality as new
     where not exists (select from permissions where name = new.name)
     order by ordinality`,
  ],
  [
    'route',
    `insert into route_rules (method, path, permission_id)
     select new.method, new.path, permissions.id
     from jsonb_to_recordset($1) as new (method text, path text, permission text)
     join permissions on permissions.name = new.permission
     where not exists (
       select from route_rules as rule
       where (rule.method, rule.path, rule.permission_id) = (new.method, new.path, permissions.id)
     )`,
  ],
  [
    'role',
    `insert into roles (name, description, is_system)
     select name, description, true from jsonb_to_recordset($1) as new (name text, description text)
     where not exists (select from roles where tenant_id is null and lower(name) = lower(new.name))`,
  ],
  [
    'grant',
    `insert into role_permissions (role_id, permission_id)
     select roles.id, permissions.id
     from jsonb_to_recordset($1) as new (role text, permission text)
     join roles on roles.tenant_id is null and roles.name = new.role
     join permissions on permissions.name = new.permission
     where not exists (select from role_permissions where (role_id, permission_id) = (roles.id, permissions.id))`,
  ],
]

/**
 * Puts an access definition into the catalog, in one transaction, one process at a time. Every entry is applied once
 * and remembered: what an administrator switched off, removed or granted by hand stays so, a second run writes nothing,
 * and a later version of the definition adds what is new in it. Nothing is ever taken away.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_ROLE_EXISTS when a tenant has a role of its own with the name of a new
 * built-in one
 */
export async function seedAccess(pool: SqlPool, definition: AccessDefinition): Promise<SeedAccessResult> {
  const entries = entriesOf(definition)
  return inTransaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock(7230951, 2)')
    const fresh = await withoutApplied(client, entries)
    if (fresh.length === 0) return { applied: 0 }
    for (const [kind, statement] of statements) {
      const values = fresh.flatMap((entry) => (entry.kind === kind ? [entry.values] : []))
      if (values.length > 0) await client.query(statement, [JSON.stringify(values)]).catch(explainRoleConflict)
    }
    await client.query('insert into access_seed_entries (entry) select unnest($1::text[])', [
      fresh.map((entry) => entry.key),
    ])
    await client.query(`insert into audit_log (action, after) values ('access.seed', $1)`, [
      JSON.stringify({ entries: fresh.map((entry) => entry.key) }),
    ])
    return { applied: fresh.length }
  })
}

async function withoutApplied(client: SqlClient, entries: readonly Entry[]): Promise<Entry[]> {
  const { rows } = await client.query<{ entry: string }>(
    'select entry from access_seed_entries where entry = any ($1::text[])',
    [entries.map((entry) => entry.key)],
  )
  const applied = new Set(rows.map((row) => row.entry))
  return entries.filter((entry) => !applied.has(entry.key))
}

function entriesOf({ categories, permissions, routes, roles }: AccessDefinition): Entry[] {
  return [
    ...categories.map((values) => ({ key: `category ${values.name}`, kind: 'category' as const, values })),
    ...permissions.map((values) => ({ key: `permission ${values.name}`, kind: 'permission' as const, values })),
    ...routes.map((values) => ({
      key: `route ${values.method} ${values.path} ${values.permission}`,
      kind: 'route' as const,
      values,
    })),
    ...roles.map(({ name, description }) => ({
      key: `role ${name}`,
      kind: 'role' as const,
      values: { name, description },
    })),
    ...roles.flatMap((role) =>
      (role.permissions === '*' ? permissions.map((permission) => permission.name) : role.permissions).map(
        (permission) => ({
          key: `grant ${role.name} ${permission}`,
          kind: 'grant' as const,
          values: { role: role.name, permission },
        }),
      ),
    ),
  ]
}

function explainRoleConflict(error: unknown): never {
  if ((error as { constraint?: unknown }).constraint !== 'roles_built_in_name') throw error
  throw new TenancyError(
    'TENANCY_ACCESS_ROLE_EXISTS',
    'A built-in role of the access definition has the name of a role that a tenant made: rename one of the two',
    { cause: error },
  )
}
