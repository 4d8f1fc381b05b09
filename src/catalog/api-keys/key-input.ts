import { z } from 'zod'
import type { RegisteredPermission } from '../../core/access/access.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { actor, name, schemaOf, shownLine, tenant } from '../input.js'

/** A service account to make. */
export interface NewServiceAccountInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** One line of at most 200 characters, which no other service account of the tenant has. */
  readonly name: string
}

/** A service account of a tenant. */
export interface ServiceAccountInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the service account. */
  readonly serviceAccount: string
}

/** What changes of a service account. */
export interface ServiceAccountUpdateInput extends ServiceAccountInput {
  /** Default: as it is. */
  readonly name?: string | undefined
  /** While it is not active, none of its keys counts. Default: as it is. */
  readonly isActive?: boolean | undefined
}

/** Which service accounts to list. */
export interface ServiceAccountListInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the last one of the page before. Default: the first page. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** An API key to make. */
export interface NewApiKeyInput extends ServiceAccountInput {
  /** What it is for: one line of at most 200 characters. */
  readonly name: string
  /** Names of permissions, each held by the actor, at most 500. */
  readonly permissions: readonly RegisteredPermission[]
  /** From when on it does not count. Default, and null: never. */
  readonly expiresAt?: Date | null | undefined
}

/** An API key of a tenant. */
export interface ApiKeyInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the key. */
  readonly apiKey: string
}

/** What changes of an API key. */
export interface ApiKeyUpdateInput extends ApiKeyInput {
  /** Default: as it is. */
  readonly name?: string | undefined
  /** All permissions that it has from then on. Default: as they are. */
  readonly permissions?: readonly RegisteredPermission[] | undefined
  /** null: it does not expire. Default: as it is. */
  readonly expiresAt?: Date | null | undefined
}

/** How an API key gets a new secret. */
export interface ApiKeyRotationInput extends ApiKeyInput {
  /** For how long the earlier secret works beside the new one, in seconds: 0 (it ends at once) to 604,800 (7 days). Default: 86,400 (a day). */
  readonly overlapSeconds?: number | undefined
}

/** Which API keys to list. */
export interface ApiKeyListInput extends ServiceAccountListInput {
  /** Id of the service account. Default: those of every one. */
  readonly serviceAccount?: string | undefined
}

const line = shownLine(1, 200)
const idOf = (what: string) => z.guid(`is not the id of ${what} (a UUID)`).transform((id) => id.toLowerCase())
const serviceAccount = idOf('a service account')
const apiKey = idOf('an API key')
const permissions = z.array(name).max(500).readonly()
const expiresAt = z
  .date()
  .refine((date) => date.getTime() > Date.now(), 'must be in the future')
  .nullish()
const page = { after: z.guid().optional(), limit: z.int().min(1).max(1000).default(100) }

export const newServiceAccountInput = schemaOf<NewServiceAccountInput>()(z.strictObject({ tenant, name: line, actor }))
export const serviceAccountInput = schemaOf<ServiceAccountInput>()(z.strictObject({ tenant, serviceAccount, actor }))
export const serviceAccountUpdateInput = schemaOf<ServiceAccountUpdateInput>()(
  z.strictObject({ tenant, serviceAccount, name: line.optional(), isActive: z.boolean().optional(), actor }),
)
export const serviceAccountListInput = schemaOf<ServiceAccountListInput>()(z.strictObject({ tenant, ...page }))
export const newApiKeyInput = schemaOf<NewApiKeyInput>()(
  z.strictObject({ tenant, serviceAccount, name: line, permissions, expiresAt, actor }),
)
export const apiKeyInput = schemaOf<ApiKeyInput>()(z.strictObject({ tenant, apiKey, actor }))
export const apiKeyUpdateInput = schemaOf<ApiKeyUpdateInput>()(
  z.strictObject({
    tenant,
    apiKey,
    name: line.optional(),
    permissions: permissions.optional(),
    expiresAt,
    actor,
  }),
)
export const apiKeyRotationInput = schemaOf<ApiKeyRotationInput>()(
  z.strictObject({ tenant, apiKey, overlapSeconds: z.int().min(0).max(604_800).default(86_400), actor }),
)
export const apiKeyListInput = schemaOf<ApiKeyListInput>()(
  z.strictObject({ tenant, serviceAccount: serviceAccount.optional(), ...page }),
)
