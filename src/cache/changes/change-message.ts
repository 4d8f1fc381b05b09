/** A change of one user's place in one tenant, and of nothing else about the user. */
export interface MembershipChange {
  readonly tenantId: string
  /** The user is no active member of the tenant any more. */
  readonly hasEnded: boolean
}

/** A change in the catalog, as its triggers announce it. An epoch is the one from the change on. */
export type Change =
  /** `membership`: what changed, if it is that alone. */
  | { readonly kind: 'user'; readonly id: string; readonly epoch: number; readonly membership?: MembershipChange }
  /**
   * The change of one user's place in one tenant that raised the epoch to this one left no role and no override of theirs there.
   * Follows the message of that change in the same transaction, and only saves a read: it is not in the log of changes.
   */
  | { readonly kind: 'emptied'; readonly id: string; readonly epoch: number; readonly tenantId: string }
  | { readonly kind: 'tenant'; readonly id: string; readonly epoch: number }
  | { readonly kind: 'rules'; readonly epoch: number }
  /** The schema of a tenant database, in addition to a change of its tenant. */
  | { readonly kind: 'database'; readonly id: string; readonly schemaVersion: number }
  /** A migration of a tenant database begins. */
  | { readonly kind: 'migration'; readonly id: string }
  /** A host that has begun or ceased to name a tenant. */
  | { readonly kind: 'host'; readonly name: string }
  /** The keys that sign our tokens. */
  | { readonly kind: 'keys'; readonly timeMs: number }

const id = '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'
const userPattern = new RegExp(`^u:${id}:(\\d+)(?::${id}(:ended|:empty)?)?$`)
const tenantPattern = new RegExp(`^t:${id}:(\\d+)$`)
const databasePattern = new RegExp(`^d:${id}:(-?\\d+)$`)
const migrationPattern = new RegExp(`^m:${id}$`)
const rulesPattern = /^r:(\d+)$/
const hostPattern = /^w:([a-z0-9.-]{3,253})$/
const keysPattern = /^k:(\d+)$/

/**
 * Reads a message of a change, the text of a notification or of a row of `access_changes`: `u:<user id>:<epoch>`,
 * `u:<user id>:<epoch>:<tenant id>` (one membership), the same with `:ended` or `:empty` behind it, `t:<tenant id>:<epoch>`,
 * `d:<database id>:<schema version>`, `m:<database id>`, `r:<epoch>`, `w:<host>` or `k:<milliseconds since 1970>`. Undefined for any
 * other text.
 */
export function parseChange(message: string): Change | undefined {
  const [, userId, userEpoch, tenantId, outcome] = userPattern.exec(message) ?? []
  if (userId !== undefined) {
    const epoch = Number(userEpoch)
    if (tenantId === undefined) return { kind: 'user', id: userId, epoch }
    if (outcome === ':empty') return { kind: 'emptied', id: userId, epoch, tenantId }
    return { kind: 'user', id: userId, epoch, membership: { tenantId, hasEnded: outcome !== undefined } }
  }
  const [, tenant, tenantEpoch] = tenantPattern.exec(message) ?? []
  if (tenant !== undefined) return { kind: 'tenant', id: tenant, epoch: Number(tenantEpoch) }
  const [, database, schemaVersion] = databasePattern.exec(message) ?? []
  if (database !== undefined) return { kind: 'database', id: database, schemaVersion: Number(schemaVersion) }
  const [, migrated] = migrationPattern.exec(message) ?? []
  if (migrated !== undefined) return { kind: 'migration', id: migrated }
  const [, rulesEpoch] = rulesPattern.exec(message) ?? []
  if (rulesEpoch !== undefined) return { kind: 'rules', epoch: Number(rulesEpoch) }
  const [, host] = hostPattern.exec(message) ?? []
  if (host !== undefined) return { kind: 'host', name: host }
  const [, timeMs] = keysPattern.exec(message) ?? []
  return timeMs === undefined ? undefined : { kind: 'keys', timeMs: Number(timeMs) }
}

/** Writes the message of a change as the catalog's triggers do. Inverse of {@link parseChange}. */
export function formatChange(change: Change): string {
  switch (change.kind) {
    case 'user': {
      const { membership } = change
      const place = membership && `:${membership.tenantId}${membership.hasEnded ? ':ended' : ''}`
      return `u:${change.id}:${change.epoch}${place ?? ''}`
    }
    case 'emptied':
      return `u:${change.id}:${change.epoch}:${change.tenantId}:empty`
    case 'tenant':
      return `t:${change.id}:${change.epoch}`
    case 'database':
      return `d:${change.id}:${change.schemaVersion}`
    case 'migration':
      return `m:${change.id}`
    case 'rules':
      return `r:${change.epoch}`
    case 'host':
      return `w:${change.name}`
    case 'keys':
      return `k:${change.timeMs}`
  }
}
