import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { parse as parseName } from 'tldts'
import { TenancyError } from '../../core/errors/errors.js'
import { publicProviders } from './public-providers.js'

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * Writes a domain in its one spelling: ASCII in lower case (`xn--…`, UTS 46), without the root's dot. Refuses addresses, ports,
 * wildcards, single labels, public suffixes (`co.uk`) and the names below `baseDomain`, which the installation gives itself.
 *
 * @throws {@link TenancyError} TENANCY_DOMAIN_INVALID
 */
export function normalizeDomainName(text: string, baseDomain?: string): string {
  const given = text.endsWith('.') ? text.slice(0, -1) : text
  // Characters that mean something in a URL, such as `%2e` or `/`, are no spelling of a name.
  const isPlain = given.length <= 1000 && !/[^\w.\-\P{ASCII}]|\s|_/u.test(given)
  const name = isPlain ? domainToASCII(given) : ''
  const labels = name.split('.')
  if (name === '' || name.length > 253 || labels.length < 2 || !labels.every((each) => label.test(each))) {
    throw invalid(text, 'is no domain: write it as app.example.com, without a port, a path or a wildcard')
  }
  const last = labels.at(-1) ?? ''
  if (isIP(name) !== 0 || /^\d+$/.test(last)) throw invalid(text, 'is an address and no domain')
  if (baseDomain !== undefined && (name === baseDomain || name.endsWith(`.${baseDomain}`))) {
    throw invalid(text, 'belongs to this installation')
  }
  const { domain, isIcann, isPrivate } = parseName(name, { allowPrivateDomains: true })
  if (domain === null || (isIcann !== true && isPrivate !== true)) {
    throw invalid(text, 'is a public suffix, or below none: it has no single owner')
  }
  return name
}

/**
 * As {@link normalizeDomainName}, for the part of e-mail addresses behind the `@`. Providers of addresses for everybody are
 * refused.
 *
 * @throws {@link TenancyError} TENANCY_DOMAIN_INVALID
 */
export function normalizeEmailDomain(text: string, baseDomain?: string): string {
  const name = normalizeDomainName(text, baseDomain)
  const { domain } = parseName(name, { allowPrivateDomains: true })
  if (publicProviders.has(name) || (domain !== null && publicProviders.has(domain))) {
    throw invalid(text, 'is a provider of addresses for everybody')
  }
  return name
}

function invalid(text: string, problem: string): TenancyError {
  return new TenancyError('TENANCY_DOMAIN_INVALID', `${JSON.stringify(text.slice(0, 100))} ${problem}`)
}
