import { z } from 'zod'
import type { RoleName } from '../../core/access/access.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { actor, name, schemaOf, tenant, user } from '../input.js'

/** A host to add. */
export interface NewDomainInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** `app.example.com`, in any case or script. */
  readonly host: string
}

/** A domain of e-mail addresses to add. */
export interface NewEmailDomainInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** `example.com`: addresses at exactly this domain, and none below it. */
  readonly domain: string
  /** Names of the roles of those who join, at most 100; none that is or includes Owner or Admin. Default: none. */
  readonly roles?: readonly RoleName[] | undefined
}

/** A domain of a tenant. */
export interface DomainChangeInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the domain. */
  readonly domain: string
}

/** Other roles for those who join by a domain. */
export interface EmailDomainUpdateInput extends DomainChangeInput {
  /** As in {@link NewEmailDomainInput}. */
  readonly roles: readonly RoleName[]
}

/** Which domains to list. */
export interface DomainListInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the last domain of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** A host that a request came by. */
export interface HostInput {
  readonly host: string
}

/** A user who looks for tenants to join. */
export interface JoiningUserInput {
  /** Id of the user. */
  readonly user: string
}

/** A tenant that a user joins. */
export interface JoinTenantInput extends JoiningUserInput {
  /** Id of the tenant. */
  readonly tenant: string
}

const domainText = z.string('must be text').min(1).max(1000)
const domain = z.guid('is not the id of a domain (a UUID)').transform((id) => id.toLowerCase())
const roles = z.array(name).max(100).readonly()

export const newDomainInput = schemaOf<NewDomainInput>()(z.strictObject({ tenant, host: domainText, actor }))
export const newEmailDomainInput = schemaOf<NewEmailDomainInput>()(
  z.strictObject({ tenant, domain: domainText, roles: roles.optional(), actor }),
)
export const domainChangeInput = schemaOf<DomainChangeInput>()(z.strictObject({ tenant, domain, actor }))
export const emailDomainUpdateInput = schemaOf<EmailDomainUpdateInput>()(
  z.strictObject({ tenant, domain, roles, actor }),
)
export const domainListInput = schemaOf<DomainListInput>()(
  z.strictObject({ tenant, after: z.guid().optional(), limit: z.int().min(1).max(1000).default(100) }),
)
export const hostInput = schemaOf<HostInput>()(z.strictObject({ host: z.string('must be text') }))
export const joiningUserInput = schemaOf<JoiningUserInput>()(z.strictObject({ user }))
export const joinTenantInput = schemaOf<JoinTenantInput>()(
  z.strictObject({ user, tenant: z.guid('is not the id of a tenant (a UUID)').transform((id) => id.toLowerCase()) }),
)
