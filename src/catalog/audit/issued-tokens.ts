import { parseTenantRef } from '../../core/tenants/slug.js'
import type { SqlPool } from '../../core/sql-client.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import { actor as actorSchema, parse } from '../input.js'

/** An access token that is about to be issued. */
export interface IssuedTokenFacts {
  readonly userId: string
  /** Its claim `jti`. */
  readonly tokenId: string
  /** Id or slug of the tenant that it is bound to. */
  readonly tenant: string | undefined
  readonly expiresIn: number
  /** Id of the user who requested it; null or undefined: an operator of the installation. */
  readonly actor: string | null | undefined
  /** Whether it is for the administration of the installation. Default: false. */
  readonly isPlatform?: boolean | undefined
}

/**
 * Records in the installation's chain that a token is issued: for which user, by which actor, for which tenant. The entry
 * contains no part of the token, nor anything that helps to forge one.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID (the actor), TENANCY_CATALOG_UNAVAILABLE: the token must not be issued
 */
export async function recordIssuedToken(catalog: SqlPool, facts: IssuedTokenFacts): Promise<void> {
  const { userId, tokenId, tenant, expiresIn, isPlatform = false } = facts
  const actor = parse(actorSchema, facts.actor) ?? null
  // Text that cannot name a tenant may contain characters that PostgreSQL's JSON refuses.
  const bound = tenant === undefined ? null : (parseTenantRef(tenant)?.value ?? '?')
  const written = queryAudited(
    catalog,
    'insert into audit_log (actor_id, action, subject, after) values ($1, $2, $3, $4)',
    [
      actor,
      'token.issue',
      `user:${userId}`,
      { jti: tokenId, tenant: bound, expiresIn, ...(isPlatform ? { platform: true } : {}) },
    ],
  )
  await catalogAnswer(written, 'issued tokens')
}
