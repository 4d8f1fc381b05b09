import { parseTenantRef, reservedSlugs } from '../core/tenants/slug.js'

/**
 * Creates the function that reads the tenant's slug from a host: exactly one label below `baseDomain`. The case of a host does
 * not matter (RFC 9110, 7.2); a port and the root's dot are ignored. The base domain itself, hosts of other domains, deeper
 * labels and reserved labels such as `www` name no tenant. The function runs for each request.
 *
 * @param baseDomain in lower case; undefined: no host names a tenant
 * @returns a function that gives the slug; undefined: the host names none; an empty text: no tenant can have that name
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
    // No slug is longer than a label. The base domain's length is limited elsewhere.
    if (start > longestLabel) return host.lastIndexOf('.', start - 1) === -1 ? '' : undefined
    const label = host.slice(0, start).toLowerCase()
    if (label.includes('.') || reservedSlugs.has(label)) return undefined
    const ref = parseTenantRef(label)
    return ref?.kind === 'slug' ? ref.value : ''
  }
}

/**
 * Writes a host in the one spelling that proven hosts have; undefined: it can be none of them. Names in other scripts arrive in
 * ASCII (RFC 9110, 7.2 and RFC 5890). Hosts of the base domain are read by {@link createHostReader} alone.
 */
export function spellHost(host: string, baseDomain: string | undefined): string | undefined {
  let end = endOfName(host)
  if (host[end - 1] === '.') end -= 1
  if (end > longestName) return undefined
  const name = host.slice(0, end).toLowerCase()
  if (!/^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z0-9-]*[a-z][a-z0-9-]*$/.test(name)) return undefined
  return baseDomain !== undefined && (name === baseDomain || name.endsWith(`.${baseDomain}`)) ? undefined : name
}

const longestName = 253
/** RFC 1035, 2.3.4. */
const longestLabel = 63

/** Finds where the port begins, or the end. */
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
