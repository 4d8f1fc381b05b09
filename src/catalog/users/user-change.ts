import { z } from 'zod'
import type { ActorOption } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import { actor, schemaOf, userRef } from '../input.js'

/** A user to change. */
export interface UserChangeInput extends ActorOption {
  /** Id of the user. */
  readonly user: string
}

/** Checks a {@link UserChangeInput}. */
export const userChangeInput = schemaOf<UserChangeInput>()(z.strictObject({ user: userRef, actor }))

/** The error for an id that no user has. */
export function userNotFound(user: string): TenancyError {
  return new TenancyError('TENANCY_USER_NOT_FOUND', `No user ${JSON.stringify(user.slice(0, 60))}: check the id`)
}
