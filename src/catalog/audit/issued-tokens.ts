import { parseTenantRef } from '../../core/tenants/slug.js'
import type { SqlPool } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/catalog-outage.js'
import { actor as actorSchema, parse } from '../input.js'

/** An access token that is about to be given out. */
export interface IssuedTokenFacts {
  readonly userId: string
  /** Its claim `jti`. */
  readonly tokenId: string
  /** Id or slug that it is bound to. */
  readonly tenant: string | undefined
  readonly expiresIn: number
  /** Id of the user who had it issued; null or undefined: an operator of the installation. */
  readonly actor: string | null | undefined
}

/**
 * Writes into the installation's chain that a token is issued: for whom, by whom, for which tenant. Nothing in the entry
 * is the token or helps to make one.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID (the actor), TENANCY_CATALOG_UNAVAILABLE: the token is not to be given out
 */
export async function recordIssuedToken(catalog: SqlPool, facts: IssuedTokenFacts): Promise<void> {
  const { userId, tokenId, tenant, expiresIn } = facts
  const actor = parse(actorSchema, facts.actor) ?? null
  // What can't be the name of a tenant may be text that JSON of PostgreSQL does not take.
  const bound = tenant === undefined ? null : (parseTenantRef(tenant)?.value ?? '?')
  const written = catalog.query('insert into audit_log (actor_id, action, subject, after) values ($1, $2, $3, $4)', [
    actor,
    'token.issue',
    `user:${userId}`,
    { jti: tokenId, tenant: bound, expiresIn },
  ])
  await catalogAnswer(written, 'issued tokens')
}
