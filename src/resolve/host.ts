import { parseTenantRef, reservedSlugs } from '../core/tenants/slug.js'

/**
 * Reads the tenant from a host: exactly one label below `baseDomain`, which is a slug (RFC 9110, 7.2: the case of
 * a host does not matter; a port and the root's dot are ignored). The base domain itself, hosts of other domains,
 * deeper labels and reserved labels such as `www` name nothing. Runs for each request.
 *
 * @param baseDomain in lower case; undefined: no host names a tenant
 * @returns the slug; undefined: the host names nothing; an empty text: it names what can't be a tenant
 */
export function createHostReader(baseDomain: string | undefined): (host: string | undefined) => string | undefined {
  if (baseDomain === undefined) return () => undefined
  const suffix = `.${baseDomain}`
  return (host) => {
    if (host === undefined) return undefined
    let end = endOfName(host)
    if (host[end - 1] === '.') end -= 1
    const start = end - suffix.length
    if (start <= 0 || !endsWith(host, suffix, start, end)) return undefined
    // No slug is that long; the base domain has a limit of its own.
    if (start > longestLabel) return host.lastIndexOf('.', start - 1) === -1 ? '' : undefined
    const label = host.slice(0, start).toLowerCase()
    if (label.includes('.') || reservedSlugs.has(label)) return undefined
    const ref = parseTenantRef(label)
    return ref?.kind === 'slug' ? ref.value : ''
  }
}

/** RFC 1035, 2.3.4. */
const longestLabel = 63

/** Where a port begins, or the end. */
function endOfName(host: string): number {
  for (let at = host.length - 1; at >= 0; at -= 1) {
    const letter = host.charCodeAt(at)
    if (letter === 58) return at
    if (letter < 48 || letter > 57) break
  }
  return host.length
}

function endsWith(host: string, suffix: string, start: number, end: number): boolean {
  if (end === host.length ? host.endsWith(suffix) : host.startsWith(suffix, start)) return true
  return host.slice(start, end).toLowerCase() === suffix
}
