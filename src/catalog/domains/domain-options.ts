import { z } from 'zod'
import { schemaOf } from '../input.js'
import type { ResolveTxt } from './txt-resolver.js'

/** What the application decides about domains of tenants. */
export interface DomainOptions {
  /** Requests by a host that a tenant has proven mean that tenant. Default: false. */
  readonly byHost?: boolean | undefined
  /** Reads TXT records. Default: asks name servers, for at most 4 s each. */
  readonly resolveTxt?: ResolveTxt | undefined
  /** Addresses of name servers: `['9.9.9.9']`. Default: those of the system. */
  readonly dnsServers?: readonly string[] | undefined
  /** Most hosts, and most e-mail domains, of a tenant. Default: 20. */
  readonly maxPerTenant?: number | undefined
}

export const domainOptions = schemaOf<DomainOptions>()(
  z.strictObject({
    byHost: z.boolean().optional(),
    resolveTxt: z.custom<ResolveTxt>((value) => typeof value === 'function', 'must be a function').optional(),
    dnsServers: z.array(z.string()).readonly().optional(),
    maxPerTenant: z.int().min(1).max(1000).optional(),
  }),
)
