import { parseTenantRef, reservedSlugs } from '../core/slug.js'
import type { AskedTenant } from './asked-tenant.js'

/**
 * Reads the tenant from a host: exactly one label below `baseDomain`, which is a slug (RFC 9110, 7.2: the case of
 * a host does not matter; a port and the root's dot are ignored). The base domain itself, hosts of other domains,
 * deeper labels and reserved labels such as `www` name nothing.
 *
 * @param baseDomain in lower case; undefined: no host names a tenant
 */
export function createHostReader(baseDomain: string | undefined): (host: string | undefined) => AskedTenant {
  if (baseDomain === undefined) return () => undefined
  const suffix = `.${baseDomain}`
  return (host) => {
    if (host === undefined) return undefined
    const name = host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
    if (!name.endsWith(suffix)) return undefined
    const label = name.slice(0, -suffix.length)
    if (label === '' || label.includes('.') || reservedSlugs.has(label)) return undefined
    const ref = parseTenantRef(label)
    return ref?.kind === 'slug' ? ref : 'malformed'
  }
}
