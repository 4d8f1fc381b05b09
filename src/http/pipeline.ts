import type { AccessRules, MemberRecord } from '../core/access/access.js'
import type { RequestContext } from '../core/context/request-scope.js'
import { TenancyError } from '../core/errors/errors.js'
import {
  isTenantBound,
  isTokenCurrent,
  isUserAdmitted,
  type TokenImpersonation,
  type TokenVerifier,
  type UserRecord,
  type VerifiedToken,
} from '../core/identity/identity.js'
import type {
  DirectoryCache,
  Remembered,
  RememberedContext,
  RequestContexts,
  RouteNeeds,
  TenantResolver,
  TenantSources,
} from '../core/request-path.js'
import type { ImpersonationDirectory } from '../core/identity/impersonation.js'
import type { SchemaDemands } from '../core/tenants/schema-demands.js'
import type { TenantPool } from '../core/tenants/tenant-pool.js'
import { apiKeyStart } from '../core/identity/api-keys.js'
import { readBearerToken } from './bearer.js'
import type { KeyAdmission } from './key-admission.js'

/** The part of a request that decides its context. */
export interface RequestFacts extends TenantSources {
  readonly authorization: string | undefined
  readonly needs: RouteNeeds
}

/** Finds the context of a request. */
export interface RequestPipeline {
  /** Whether the host can name a tenant; otherwise adapters leave `host` undefined. */
  readonly readsHost: boolean
  /**
   * Finds the context of a request. Answers at once, without a query, while token, user and member are cached and known to
   * be current; an equal request then gets the same (frozen) object.
   *
   * @throws TenancyError, at once or as a rejection: TENANCY_AUTH_*, TENANCY_TENANT_*, TENANCY_CATALOG_UNAVAILABLE
   */
  handle(facts: RequestFacts): RequestContext | Promise<RequestContext>
}

/** The parts that {@link createRequestPipeline} needs. */
export interface RequestPipelineOptions {
  readonly verifier: TokenVerifier
  readonly cache: DirectoryCache
  readonly contexts: RequestContexts
  readonly resolver: TenantResolver
  readonly rules: Pick<AccessRules, 'epoch' | 'compile' | 'refresh'>
  /** Returns the function that opens (or finds) the pool of a member's tenant. */
  readonly pools: (member: MemberRecord) => () => TenantPool
  /** Refuses tenants whose schema this process cannot serve. Default: serves all. */
  readonly schema?: Pick<SchemaDemands, 'admit'>
  /** Admits API keys. Default: they are tokens like any other, and so invalid. */
  readonly keys?: KeyAdmission
  /** Says whether an administrator still acts as somebody else. Default: nobody does. */
  readonly impersonations?: ImpersonationDirectory
}

/** Most contexts remembered for one token. Requests beyond that are served from the directory cache. */
const maxContextsPerToken = 8

/** The context of public routes. */
export const anonymousContext: RequestContext = Object.freeze({
  user: undefined,
  tenant: undefined,
  membership: undefined,
  access: undefined,
  token: undefined,
  pool: undefined,
})

/** Creates the request pipeline, which frameworks call through their adapters. */
export function createRequestPipeline(options: RequestPipelineOptions): RequestPipeline {
  const { verifier, cache, contexts, resolver, rules, pools, schema, keys, impersonations } = options

  function admit(facts: RequestFacts, token: VerifiedToken, nowMs: number): RequestContext | Promise<RequestContext> {
    // After the token: a stranger's host asks the catalog for nothing.
    const byHost = facts.needs === 'user' ? undefined : resolver.nameOfHost(facts.host, nowMs)
    return byHost instanceof Promise ? admitFound(facts, token, byHost, nowMs) : admitNamed(facts, token, byHost, nowMs)
  }

  async function admitFound(
    facts: RequestFacts,
    token: VerifiedToken,
    byHost: Promise<string | undefined>,
    nowMs: number,
  ): Promise<RequestContext> {
    return admitNamed(facts, token, await byHost, nowMs)
  }

  function admitNamed(
    facts: RequestFacts,
    token: VerifiedToken,
    byHost: string | undefined,
    nowMs: number,
  ): RequestContext | Promise<RequestContext> {
    if (token.impersonation !== undefined) return admitImpersonated(facts, token, token.impersonation, byHost, nowMs)
    const known = recall(contexts.of(token), facts, byHost)
    if (
      known !== undefined &&
      cache.isUsable(known.user, nowMs) &&
      (known.member === undefined || cache.isUsable(known.member, nowMs))
    ) {
      return known.context
    }
    return readmit(facts, token, byHost, known, nowMs)
  }

  /** Asks the catalog for each request, and remembers nothing: whoever ends an impersonation ends it at once. */
  async function admitImpersonated(
    facts: RequestFacts,
    token: VerifiedToken,
    { id, administrator }: TokenImpersonation,
    byHost: string | undefined,
    nowMs: number,
  ): Promise<RequestContext> {
    if (facts.needs === 'user') throw new TenancyError('TENANCY_AUTH_TOKEN_BOUND')
    const { subject, tenant } = token
    const impersonation = await impersonations?.find({ subject, tenant, impersonation: { id, administrator } })
    if (impersonation === undefined) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
    return Object.freeze({ ...(await enter(facts, token, byHost, nowMs)).context, impersonation })
  }

  // A function of its own: a closure in handle() would be made for every request.
  function admitLater(facts: RequestFacts, token: Promise<VerifiedToken>): Promise<RequestContext> {
    return token.then((verified) => admit(facts, verified, performance.now()))
  }

  async function readmit(
    facts: RequestFacts,
    token: VerifiedToken,
    byHost: string | undefined,
    known: RememberedContext | undefined,
    sinceMs: number,
  ) {
    if (known !== undefined && (await cache.confirm(known.user, known.member, sinceMs))) return known.context
    const found = await enter(facts, token, byHost, sinceMs)
    remember(facts, token, byHost, found)
    return found.context
  }

  async function enter(facts: RequestFacts, token: VerifiedToken, byHost: string | undefined, sinceMs: number) {
    const user = await cache.findUser(token, sinceMs)
    if (user === undefined) throw new TenancyError('TENANCY_AUTH_USER_REFUSED')
    if (!isUserAdmitted(token, user.value)) throw new TenancyError('TENANCY_AUTH_USER_REFUSED')
    if (!isTokenCurrent(token, user.value)) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
    if (facts.needs === 'user' && isTenantBound(token)) throw new TenancyError('TENANCY_AUTH_TOKEN_BOUND')
    const member = facts.needs === 'user' ? undefined : await resolver.resolve(facts, byHost, token, user, sinceMs)
    return { user, member, context: await contextOf(token, user, member) }
  }

  async function contextOf(
    token: VerifiedToken,
    user: Remembered<UserRecord>,
    member: Remembered<MemberRecord> | undefined,
  ): Promise<RequestContext> {
    if (member === undefined) return Object.freeze({ ...anonymousContext, user: user.value.user, token })
    // The member was read under newer rules than those in memory, and its grants are only valid under the newer rules.
    if (rules.epoch < member.value.rulesEpoch) await refreshRules()
    await schema?.admit(member.value)
    return Object.freeze({
      user: user.value.user,
      tenant: member.value.tenant,
      membership: member.value.membership,
      access: rules.compile(member.value.grants),
      token,
      schemaVersion: member.value.schemaVersion,
      pool: pools(member.value),
    })
  }

  let refreshing: Promise<void> | undefined
  async function refreshRules(): Promise<void> {
    refreshing ??= rules.refresh().finally(() => {
      refreshing = undefined
    })
    await refreshing
  }

  function remember(
    facts: RequestFacts,
    token: VerifiedToken,
    byHost: string | undefined,
    found: Pick<RememberedContext, 'user' | 'member' | 'context'>,
  ): void {
    const { needs, tenantHeader, pathTenant } = facts
    const others = contexts.of(token)?.filter((known) => !isFor(known, facts, byHost)) ?? []
    // A route that needs only a user ignores what the request says about tenants. Otherwise each place has by now named a
    // tenant in its one spelling, or none.
    const named =
      needs === 'user'
        ? { byHeader: undefined, byHost: undefined, byPath: undefined }
        : {
            byHeader: typeof tenantHeader === 'string' ? copyOf(tenantHeader) : undefined,
            byHost: byHost && copyOf(byHost),
            byPath: pathTenant && copyOf(pathTenant),
          }
    contexts.set(token, [{ needs, ...named, ...found }, ...others.slice(0, maxContextsPerToken - 1)])
  }

  return {
    readsHost: resolver.readsHost,
    handle(facts) {
      if (facts.needs === 'none') return anonymousContext
      const nowMs = performance.now()
      const bearer = readBearerToken(facts.authorization)
      if (keys !== undefined && bearer.startsWith(apiKeyStart)) return keys.admit(facts, bearer, nowMs)
      const token = verifier.verify(bearer, nowMs)
      return token instanceof Promise ? admitLater(facts, token) : admit(facts, token, nowMs)
    },
  }
}

function recall(
  known: readonly RememberedContext[] | undefined,
  facts: RequestFacts,
  byHost: string | undefined,
): RememberedContext | undefined {
  if (known === undefined) return undefined
  for (const one of known) if (isFor(one, facts, byHost)) return one
  return undefined
}

/** Compares texts, as ids and slugs have one spelling: a text that differs names something else, or nothing. */
function isFor(known: RememberedContext, facts: RequestFacts, byHost: string | undefined): boolean {
  return (
    known.needs === facts.needs &&
    (known.needs === 'user' ||
      (known.byHeader === facts.tenantHeader && known.byPath === facts.pathTenant && known.byHost === byHost))
  )
}

/** Copies an id or slug (ASCII). A substring would keep the whole text that it was cut from in memory. */
function copyOf(name: string): string {
  return Buffer.from(name, 'latin1').toString('latin1')
}
