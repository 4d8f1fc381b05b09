import { TenancyError } from '../errors/errors.js'

const slugPattern = /^[a-z][a-z0-9-]{1,38}[a-z0-9]$/
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Slugs that no tenant may have: they name hosts, paths and roles that an installation needs for itself. */
export const reservedSlugs: ReadonlySet<string> = new Set([
  'account',
  'accounts',
  'admin',
  'administrator',
  'api',
  'app',
  'assets',
  'auth',
  'billing',
  'blog',
  'catalog',
  'cdn',
  'console',
  'dashboard',
  'default',
  'dev',
  'docs',
  'email',
  'ftp',
  'health',
  'help',
  'imap',
  'internal',
  'localhost',
  'login',
  'logout',
  'mail',
  'me',
  'metrics',
  'mx',
  'new',
  'none',
  'ns1',
  'ns2',
  'null',
  'oauth',
  'owner',
  'pop',
  'postgres',
  'private',
  'public',
  'root',
  'security',
  'settings',
  'signup',
  'smtp',
  'ssl',
  'staging',
  'static',
  'status',
  'support',
  'system',
  'template',
  'template0',
  'template1',
  'tenant',
  'tenants',
  'tenants2fast',
  'test',
  'undefined',
  'user',
  'users',
  'webmail',
  'well-known',
  'wpad',
  'www',
])

/** A reference to a tenant, by its id or its slug. */
export interface TenantRef {
  readonly kind: 'id' | 'slug'
  readonly value: string
}

/**
 * Parses a tenant slug, wherever one comes in: 3 to 40 characters, `[a-z][a-z0-9-]{1,38}[a-z0-9]`, and not in the form of a
 * UUID, which would be read as an id.
 *
 * @throws {@link TenancyError} TENANCY_TENANT_SLUG_INVALID, TENANCY_TENANT_SLUG_RESERVED
 */
export function parseSlug(text: unknown): string {
  if (typeof text !== 'string' || !slugPattern.test(text) || uuidPattern.test(text)) {
    throw new TenancyError(
      'TENANCY_TENANT_SLUG_INVALID',
      `${typeof text === 'string' ? JSON.stringify(text.slice(0, 60)) : typeof text} is not a tenant slug: ` +
        '3 to 40 characters, a lower-case letter first, then letters, digits and hyphens, a letter or digit last, ' +
        'and not in the form of a UUID',
    )
  }
  if (reservedSlugs.has(text)) {
    throw new TenancyError('TENANCY_TENANT_SLUG_RESERVED', `The slug "${text}" is reserved: choose another`)
  }
  return text
}

/**
 * Reads a tenant id (lower-case UUID) or slug. Undefined for anything else: callers treat a tenant that cannot exist as
 * one that does not.
 */
export function parseTenantRef(text: string): TenantRef | undefined {
  if (uuidPattern.test(text)) return { kind: 'id', value: text }
  return slugPattern.test(text) && !reservedSlugs.has(text) ? { kind: 'slug', value: text } : undefined
}
