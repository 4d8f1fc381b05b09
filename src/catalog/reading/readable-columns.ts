/** What readers of the catalog see of a table: all columns but these, or nothing. */
type Readable = { readonly without: readonly string[] } | 'nothing'

const all: Readable = { without: [] }

/**
 * What of the catalog the application's own queries may read: no hash of a key, token or password, nothing that is sealed. A table
 * that is not named here cannot be read, and a test says so. `audit_personal` and `audit_addresses` are left out because a copy of
 * them would outlive an erasure.
 */
export const readableTables: Readonly<Record<string, Readable>> = {
  installation: { without: ['secret_check'] },
  users: all,
  user_identities: all,
  unlinked_identities: all,
  platform_administrators: all,
  database_servers: all,
  tenant_databases: all,
  tenant_migration_failures: all,
  tenants: all,
  tenant_slug_aliases: all,
  user_tenants: all,
  member_profiles: all,
  ownership_offers: all,
  invitations: { without: ['token_hash'] },
  service_accounts: all,
  api_keys: { without: ['secret_hash', 'previous_hash'] },
  permission_categories: all,
  permissions: all,
  route_rules: all,
  roles: all,
  role_permissions: all,
  role_inclusions: all,
  user_tenant_roles: all,
  user_tenant_permissions: all,
  access_seed_entries: all,
  tenant_settings: { without: ['sealed'] },
  tenant_exports: all,
  tenant_domains: all,
  removed_members: all,
  impersonations: all,
  signing_keys: { without: ['sealed_private_key'] },
  refresh_families: { without: ['token_hash', 'previous_hash'] },
  audit_log: all,
  audit_chains: all,
  event_subscriptions: all,
  event_positions: all,
  access_changes: 'nothing',
  account_attempts: 'nothing',
  address_changes: 'nothing',
  audit_addresses: 'nothing',
  audit_personal: 'nothing',
  idempotent_requests: 'nothing',
  limited_requests: 'nothing',
  schema_migrations: 'nothing',
  user_credentials: 'nothing',
  user_registrations: 'nothing',
  user_sessions: 'nothing',
  user_verifications: 'nothing',
}

/** Bytes that are no secret: hashes of entries. Every other column of bytes is left out, whatever the table says. */
const openBytes = ['audit_log.hash', 'audit_chains.hash', 'tenant_exports.sha256']

/**
 * Names of secrets. A column with such a name is left out in a table that may be read as well: a newer release may have added it, whose
 * list this process does not have, or somebody else.
 */
const secretName = /hash|secret|password|token|sealed|salt|verifier|private/
/** Numbers and moments that only sound like it. */
const openNames = [...openBytes, 'users.token_epoch', 'users.tokens_valid_after']

/** A column of the catalog. */
export interface CatalogColumn {
  readonly table: string
  readonly column: string
  readonly isBytes: boolean
}

/** Whether readers see a column. */
export function isReadable({ table, column, isBytes }: CatalogColumn): boolean {
  const readable = Object.hasOwn(readableTables, table) ? readableTables[table] : undefined
  if (readable === undefined || readable === 'nothing' || readable.without.includes(column)) return false
  const name = `${table}.${column}`
  return (!isBytes || openBytes.includes(name)) && (!secretName.test(column) || openNames.includes(name))
}
