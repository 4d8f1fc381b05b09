import { z } from 'zod'
import type { RegisteredPermission, RoleName } from '../../../core/access/access.js'
import { groupNamePattern } from '../../../core/access/names.js'
import type { ActorOption } from '../../../core/audit-actor.js'
import { isShownLine, shownLineProblem } from '../../../core/shown-line.js'
import { isUuid } from '../../../core/uuid.js'
import { actor, description, name, schemaOf, tenant } from '../../input.js'

/** The tenant whose roles are changed, and the actor. */
interface RoleOwnerInput extends ActorOption {
  /** Id or slug; null: the built-in roles. */
  readonly tenant: string | null
}

/** A role to create. */
export interface NewRoleInput extends RoleOwnerInput {
  /**
   * 1 to 100 letters, digits, spaces, `.`, `_` and `-`, and no UUID; unique in any case, among the tenant's and the built-in
   * ones.
   */
  readonly name: string
  /** At most 1000 characters. Default: empty. */
  readonly description?: string | undefined
}

/** A role, by its name or id. */
export interface RoleKeyInput extends RoleOwnerInput {
  /** Name of the role, in its exact spelling, or its id. */
  readonly role: RoleName
}

/** The new name, description and state of a role. */
export interface RoleUpdateInput extends RoleKeyInput {
  /** As of {@link NewRoleInput}. Default: unchanged. */
  readonly name?: string | undefined
  /** At most 1000 characters. Default: unchanged. */
  readonly description?: string | undefined
  /** An inactive role grants nothing. Default: unchanged. */
  readonly isActive?: boolean | undefined
  /** The version that the caller has read: the change is refused if the role has another one by now. Default: any. */
  readonly version?: string | undefined
}

/** A role to activate or deactivate. */
export interface RoleActiveInput extends RoleKeyInput {
  readonly isActive: boolean
}

/** A permission to grant to a role, or to revoke from it. */
export interface RoleGrantInput extends RoleKeyInput {
  /** Name of the permission. */
  readonly permission: RegisteredPermission
}

/** A role that another one includes: `role` grants everything that `included` grants. */
export interface RoleInclusionInput extends RoleKeyInput {
  /** Name or id of a built-in role or of one of the same tenant. */
  readonly included: RoleName
}

/** Which roles to list. */
export interface RoleListInput {
  /** Id or slug; null: the built-in roles alone. */
  readonly tenant: string | null
  /** Name of the last role of the page before. Default: from the start. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: all. */
  readonly limit?: number | undefined
}

/** A role to read. */
export interface RoleReadInput {
  /** Id or slug; null: a built-in role. */
  readonly tenant: string | null
  /** Name of the role, in its exact spelling, or its id. */
  readonly role: RoleName
}

const owner = { tenant: tenant.nullable(), actor }
const newRoleName = z
  .string()
  .transform((text) => text.normalize('NFC'))
  .pipe(
    z
      .string()
      .regex(groupNamePattern, '1 to 100 letters, digits, spaces, . _ -')
      .refine(isShownLine, shownLineProblem)
      .refine((text) => !isUuid(text), 'has the form of an id'),
  )

export const newRoleInput = schemaOf<NewRoleInput>()(
  z.strictObject({ ...owner, name: newRoleName, description: description.default('') }),
)
export const roleUpdateInput = schemaOf<RoleUpdateInput>()(
  z.strictObject({
    ...{ ...owner, role: name, name: newRoleName.optional(), description: description.optional() },
    isActive: z.boolean().optional(),
    version: z.string().max(100).optional(),
  }),
)
export const roleKeyInput = schemaOf<RoleKeyInput>()(z.strictObject({ ...owner, role: name }))
export const roleActiveInput = schemaOf<RoleActiveInput>()(
  z.strictObject({ ...owner, role: name, isActive: z.boolean() }),
)
export const roleGrantInput = schemaOf<RoleGrantInput>()(z.strictObject({ ...owner, role: name, permission: name }))
export const roleInclusionInput = schemaOf<RoleInclusionInput>()(
  z.strictObject({ ...owner, role: name, included: name }),
)
export const roleListInput = schemaOf<RoleListInput>()(
  z.strictObject({ tenant: tenant.nullable(), after: name.optional(), limit: z.int().min(1).max(1000).optional() }),
)
export const roleReadInput = schemaOf<RoleReadInput>()(z.strictObject({ tenant: tenant.nullable(), role: name }))
