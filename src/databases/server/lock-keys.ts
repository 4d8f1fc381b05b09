import { deriveLockKey } from '../../postgres/advisory-lock.js'

/** Inputs for the keys of an installation's locks. */
export interface LockOwner {
  /** Master secret. */
  readonly secret: Buffer
  readonly installationId: string
}

/** Lock of one tenant database: held while it is built, migrated or dropped. */
export function databaseLockKey({ secret, installationId }: LockOwner, databaseId: string): string {
  return deriveLockKey(secret, `database ${installationId} ${databaseId}`)
}

/** Lock under which templates of a prefix are built and dropped. */
export function templateLockKey({ secret, installationId }: LockOwner, templatePrefix: string): string {
  return deriveLockKey(secret, `templates ${installationId} ${templatePrefix}`)
}

/** Lock under which attributes of login roles are changed. */
export function roleLockKey({ secret, installationId }: LockOwner): string {
  return deriveLockKey(secret, `roles ${installationId}`)
}
