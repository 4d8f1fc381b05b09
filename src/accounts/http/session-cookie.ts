import type { Config } from '../../core/config/config.js'
import { TenancyError } from '../../core/errors/errors.js'

/** Keeps refresh tokens in a cookie that no script can read, and refuses requests of other sites that would use it. */
export interface SessionCookie {
  /** Reads the token of a request; undefined: it has none, or two that differ. */
  read(request: Request): string | undefined
  /**
   * Refuses a request that does not come from a page of an allowed origin: by `Origin`, or without one by `Sec-Fetch-Site`.
   * @throws {@link TenancyError} TENANCY_ACCOUNTS_ORIGIN_REFUSED, also when the request has neither
   */
  requireOrigin(request: Request): void
  /** Makes the header `Set-Cookie` that stores a token. */
  store(token: string, maxAgeSeconds: number): Readonly<Record<string, string>>
  /** Makes the header `Set-Cookie` that removes it. */
  remove(): Readonly<Record<string, string>>
}

/** Options of {@link createSessionCookie}. */
export interface SessionCookieOptions {
  readonly config: Pick<Config, 'publicUrl'>
  /** Origins whose pages may use it, such as `https://app.example.com`. Default: that of `TENANT_PUBLIC_URL`. */
  readonly origins?: readonly string[] | undefined
}

/**
 * Creates the cookie of sessions: HttpOnly, Secure, SameSite=Strict, for this host only (`__Host-`, RFC 6265bis). Some browsers
 * store no Secure cookie from http://localhost, so there it is neither Secure nor has it the prefix.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: text that is no origin
 */
export function createSessionCookie({ config, origins }: SessionCookieOptions): SessionCookie {
  const own = new URL(config.publicUrl)
  const allowed = origins?.map(originOf) ?? [own.origin]
  const isLocal = own.protocol === 'http:' && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(own.hostname)
  const name = isLocal ? 't2f-session' : '__Host-t2f-session'
  const attributes = `Path=/; HttpOnly; SameSite=Strict${isLocal ? '' : '; Secure'}`

  return {
    read(request) {
      const values = (request.headers.get('cookie') ?? '').split(';').flatMap((pair) => {
        const [key = '', ...rest] = pair.split('=')
        return key.trim() === name ? [rest.join('=').trim()] : []
      })
      const [value] = values
      return values.every((other) => other === value) ? value : undefined
    },

    requireOrigin({ headers }) {
      const origin = headers.get('origin')
      if (origin === null ? headers.get('sec-fetch-site') === 'same-origin' : allowed.includes(origin)) return
      throw new TenancyError('TENANCY_ACCOUNTS_ORIGIN_REFUSED')
    },

    store: (token, maxAgeSeconds) => ({ 'set-cookie': `${name}=${token}; Max-Age=${maxAgeSeconds}; ${attributes}` }),
    remove: () => ({ 'set-cookie': `${name}=; Max-Age=0; ${attributes}` }),
  }
}

function originOf(text: string): string {
  // `null` is the origin of any sandboxed page.
  if (URL.canParse(text) && new URL(text).origin === text && text !== 'null') return text
  throw new TenancyError(
    'TENANCY_CONFIG_INVALID',
    `browserOrigins: ${JSON.stringify(text)} is no origin: write it like "https://app.example.com", without a path`,
  )
}
