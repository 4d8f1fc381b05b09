import { z } from 'zod'
import type { NamesOf } from '../../core/columns.js'
import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { tenantColumns } from '../../core/model.js'
import { parseSlug } from '../../core/tenants/slug.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { actor, requireObject, schemaOf, shownLine, tenantRef } from '../input.js'
import { tenantLabels } from './tenant-labels.js'

/** A tenant to change. */
export interface TenantChangeInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
}

/** Checks a {@link TenantChangeInput}. */
export const tenantChangeInput = schemaOf<TenantChangeInput>()(z.strictObject({ tenant: tenantRef, actor }))

/** A tenant to create. */
export interface NewTenantInput {
  /** Display name: one line of 1 to 200 characters, without surrounding spaces. */
  readonly name: string
  /** 3 to 40 characters, `[a-z][a-z0-9-]{1,38}[a-z0-9]`, not a reserved one; unique. */
  readonly slug: string
  /** Id of the user who becomes its Owner. */
  readonly owner: string
  /** At most 320 characters. Default: none. */
  readonly contactEmail?: string | null | undefined
  /** Largest number of members, from 1. Default, and null: no limit. */
  readonly maxUsers?: number | null | undefined
  /** As `setTenantLabels` takes them. Default: none. */
  readonly labels?: readonly string[] | undefined
  /** Id of the user who creates the tenant, for the audit log. Default: the owner. */
  readonly actor?: string | undefined
}

/** A {@link NewTenantInput} that has been checked. */
export interface ParsedTenant {
  readonly name: string
  readonly slug: string
  readonly owner: string
  readonly contactEmail: string | null
  readonly maxUsers: number | null
  readonly labels: readonly string[]
  readonly actor: string
}

/** A tenant's slug. Its problem is the error that `parseSlug` throws. */
export const slug = z.custom<string>().transform((value, context) => {
  try {
    return parseSlug(value)
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message, params: { error } })
    return z.NEVER
  }
})

const userId = z.guid('must be the id of a user (a UUID)').transform((id) => id.toLowerCase())

/** A tenant's display name. */
export const tenantName = shownLine(1, 200)

/** The facts of a tenant that its administrators write, as input. */
export const tenantFacts = {
  name: tenantName,
  contactEmail: z.email('must be an e-mail address').max(320, 'is too long').nullish(),
  maxUsers: z.int('must be a whole number').min(1, 'must be at least 1').max(2_147_483_647, 'is too large').nullish(),
}

const newTenantInput = schemaOf<NewTenantInput>()(
  z.strictObject({
    ...tenantFacts,
    slug,
    owner: userId,
    labels: tenantLabels.optional(),
    actor: userId.optional(),
  } satisfies Record<NamesOf<typeof tenantColumns, 'writable'> | 'owner' | 'actor', z.ZodType>),
)

/**
 * Checks a tenant to create.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID: not one object. TENANCY_TENANT_INPUT_INVALID naming every problem;
 *   TENANCY_TENANT_SLUG_INVALID or TENANCY_TENANT_SLUG_RESERVED when the slug is the only problem
 */
export function parseNewTenant(input: unknown): ParsedTenant {
  requireObject(newTenantInput, input)
  const { data, error } = newTenantInput.safeParse(input)
  if (data) {
    const { contactEmail = null, maxUsers = null, labels = [], actor: by = data.owner } = data
    return { ...data, contactEmail, maxUsers, labels, actor: by }
  }
  const [first, ...others] = error.issues
  const slugError: unknown = first?.code === 'custom' ? first.params?.['error'] : undefined
  if (others.length === 0 && isTenancyError(slugError)) throw slugError
  const problems = error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  )
  throw new TenancyError('TENANCY_TENANT_INPUT_INVALID', `Invalid tenant: ${problems.join('; ')}`, {
    details: { problems },
  })
}
