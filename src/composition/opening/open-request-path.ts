import { createAccessRules } from '../../access/index.js'
import { createKeyCache, type LocalKeyCache } from '../../cache/api-keys/key-cache.js'
import { type Coherence, createCoherence } from '../../cache/changes/coherence.js'
import { createDirectoryCache, type LocalDirectoryCache } from '../../cache/directory-cache.js'
import { createHostDirectory } from '../../cache/host-directory.js'
import { createRedisTier, type RedisTier } from '../../cache/redis/redis.js'
import { createRequestContexts } from '../../cache/request-contexts.js'
import { createRuleSetReader } from '../../catalog/access/rule-set-reader.js'
import { createKeyDirectory } from '../../catalog/api-keys/key-directory.js'
import { createChangeLog } from '../../catalog/change-log.js'
import { readTenantOfHost } from '../../catalog/domains/domains.js'
import { createImpersonationDirectory } from '../../catalog/impersonations/impersonation-directory.js'
import { createMemberDirectory } from '../../catalog/members/member-directory.js'
import { createSigningKeyStore } from '../../catalog/signing-keys.js'
import { type CatalogUsers, createUserDirectory } from '../../catalog/users/users.js'
import type { AccessRules } from '../../core/access/access.js'
import type { ApiKeyFormat } from '../../core/identity/api-keys.js'
import type { TokenVerifier } from '../../core/identity/identity.js'
import {
  impersonationAudienceOf,
  maxPlatformTokenSeconds,
  platformAudienceOf,
  type SigningKeys,
} from '../../core/identity/signing-keys.js'
import { createRequestPipeline, type RequestPipeline } from '../../http/pipeline.js'
import { createKeyAdmission } from '../../http/key-admission.js'
import { createApiKeyFormat } from '../../identity/api-key-format.js'
import { createSigningKeys } from '../../identity/keys/signing-keys.js'
import { createTokenVerifier } from '../../identity/token-verifier.js'
import { createTenantResolver } from '../../resolve/tenant-resolver.js'
import { createHealth, type Health } from '../observing/health.js'
import type { OpenCatalog } from './open-catalog.js'
import type { OpenDatabases } from './open-databases.js'
import type { Opening } from './opening.js'

/** The third step of opening an installation: everything between a request's token and its handler. */
export interface OpenRequestPath {
  readonly keys: SigningKeys
  /** Verifies tokens of platform administrators, and no others. */
  readonly platformVerifier: TokenVerifier
  readonly users: CatalogUsers
  readonly rules: AccessRules
  /** Undefined: no Redis is configured. */
  readonly redis: RedisTier | undefined
  readonly cache: LocalDirectoryCache
  readonly apiKeys: { readonly format: ApiKeyFormat; readonly cache: LocalKeyCache }
  readonly coherence: Coherence
  readonly pipeline: RequestPipeline
  readonly health: Health
}

/**
 * Opens token verification, the caches with the news of changes that keep them true, and the request pipeline.
 *
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE, TENANCY_CONFIG_PEER_MISSING
 */
export async function openRequestPath(
  { config, logger, closing, access, requireNamedTenant, domains }: Opening,
  { server: { secret }, catalog, records }: OpenCatalog,
  { databases, connections, scheduler, schema }: OpenDatabases,
): Promise<OpenRequestPath> {
  const { audience, issuer } = config.token
  const coherence = createCoherence({
    connect: () => catalog.connectAlone(),
    changes: createChangeLog(catalog),
    changesBy: config.changesBy,
    maxStalenessMs: config.maxStalenessMs,
    logger,
  })
  closing.add(() => coherence.close())
  const keys = createSigningKeys({
    store: createSigningKeyStore(catalog),
    secret,
    issuer,
    audience,
    changes: coherence,
    logger,
  })
  coherence.subscribe({ keys: () => keys.invalidate(), all: () => keys.invalidate() })
  // Any process may migrate a database: connections to it know its schema as it was.
  coherence.subscribe({
    migration: (id) => scheduler.schemaMayChange(id),
    database: (id) => scheduler.disconnect(id),
  })
  const impersonationAudience = impersonationAudienceOf(audience)
  const verifier = createTokenVerifier({
    own: { issuer, audience, keys, impersonationAudience },
    issuers: config.oidcIssuers,
    logger,
  })
  const platformVerifier = createTokenVerifier({
    own: { issuer, audience: platformAudienceOf(audience), keys, maxLifetimeSeconds: maxPlatformTokenSeconds },
    ...{ cacheSize: 1000, cacheBytes: 4 * 1024 * 1024, logger },
  })
  const users = createUserDirectory(catalog, { issuers: config.oidcIssuers, logger })
  const rules = createAccessRules(createRuleSetReader(catalog), access)
  await rules.refresh()

  const installationId = await records.installationId()
  const redis =
    config.redis && (await createRedisTier({ ...config.redis, url: config.redis.url, installationId, secret, logger }))
  if (redis) closing.add(() => redis.close())
  const members = createMemberDirectory(catalog, { requireNamedTenant })
  const cache = createDirectoryCache({ users, members, coherence, redis })
  closing.add(() => cache.close())

  const health = createHealth({
    catalog,
    pingServer: () => databases.ping(),
    pooler: config.pooler,
    redis,
    coherence,
    readyTarget: config.readyDatabases,
  })
  const apiKeys = {
    format: createApiKeyFormat(secret),
    cache: createKeyCache({ directory: createKeyDirectory(catalog), coherence, logger }),
  }
  closing.add(() => apiKeys.cache.close())
  const read = (host: string) => readTenantOfHost(catalog, host)
  const hosts = domains.byHost === true ? createHostDirectory({ read, coherence }) : undefined
  const resolver = createTenantResolver({ members: cache, baseDomain: config.baseDomain, hosts, requireNamedTenant })
  const pipeline = createRequestPipeline({
    verifier,
    cache,
    contexts: createRequestContexts(),
    rules,
    resolver,
    pools: (member) => () => connections.pool(member.tenant),
    schema,
    impersonations: createImpersonationDirectory(catalog),
    keys: createKeyAdmission({
      ...{ format: apiKeys.format, keys: apiKeys.cache, resolver, rules, schema },
      pools: (tenant) => () => connections.pool(tenant),
    }),
  })
  return { keys, platformVerifier, users, rules, redis, cache, coherence, apiKeys, pipeline, health }
}
