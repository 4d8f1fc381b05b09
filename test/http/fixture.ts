import { createRequestContexts } from '../../src/cache/request-contexts.js'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createAccessRules, devAccess } from '../../src/access/index.js'
import { type Coherence, createCoherence } from '../../src/cache/changes/coherence.js'
import type { ListenClient } from '../../src/cache/changes/follow-notifications.js'
import { createDirectoryCache, type LocalDirectoryCache } from '../../src/cache/directory-cache.js'
import type { MemberTier } from '../../src/cache/redis/redis.js'
import { seedAccess } from '../../src/catalog/access/seed/seed.js'
import { createChangeLog } from '../../src/catalog/change-log.js'
import { createMemberDirectory } from '../../src/catalog/members/member-directory.js'
import { createRuleSetReader } from '../../src/catalog/access/rule-set-reader.js'
import { createUserDirectory } from '../../src/catalog/users/users.js'
import type { AccessRules, MemberRecord } from '../../src/core/access/access.js'
import { TenancyError } from '../../src/core/errors/errors.js'
import type { TokenVerifier, VerifiedToken } from '../../src/core/identity/identity.js'
import type { SqlPool, SqlResult } from '../../src/core/sql-client.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { createRequestPipeline, type RequestFacts, type RequestPipeline } from '../../src/http/pipeline.js'
import { createTenantResolver } from '../../src/resolve/tenant-resolver.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'
import { silentLogger } from '../support/silent-logger.js'

export { silentLogger }

/** A request path over a real catalog. Tokens are recognised by their text instead of being signed. */
export interface RequestPath {
  readonly catalog: TestDatabase
  readonly pipeline: RequestPipeline
  readonly cache: LocalDirectoryCache
  readonly coherence: Coherence
  readonly rules: AccessRules
  /** Number of statements that the request path has sent to the catalog. */
  queries(): number
  /** Runs before each statement of the request path, to delay it or make it fail. */
  before: (text: string) => Promise<void> | void
  addUser(email?: string): Promise<string>
  addTenant(slug: string): Promise<string>
  addMember(userId: string, tenantId: string, role?: string): Promise<void>
  tokenFor(userId: string, claims?: Partial<VerifiedToken>): string
  /** Resolves once every change committed so far has been heard of. */
  heard(): Promise<void>
  /** Stands in for another process of the installation: an empty cache, and the same Redis. */
  anotherProcess(): { readonly pipeline: RequestPipeline; close(): void }
  close(): Promise<void>
}

export interface RequestPathOptions {
  readonly maxStalenessMs?: number
  readonly changesBy?: 'listen' | 'poll'
  readonly baseDomain?: string
  readonly redis?: (installationId: string) => Promise<MemberTier>
  /** Default: a connection of its own to the catalog. */
  readonly listen?: (url: string) => Promise<ListenClient>
  readonly maxEntries?: number
  readonly requireNamedTenant?: boolean
}

export async function createRequestPath(options: RequestPathOptions = {}): Promise<RequestPath> {
  const catalog = await createTestCatalog()
  await seedAccess(catalog.pool, devAccess)
  let count = 0
  const hooks: Pick<RequestPath, 'before'> = { before: () => {} }
  const counted: SqlPool = {
    async query<Row extends object>(text: string, values?: unknown[]): Promise<SqlResult<Row>> {
      count += 1
      await hooks.before(text)
      return catalog.pool.query<Row & pg.QueryResultRow>(text, values)
    },
    connect: () => catalog.pool.connect(),
  }
  const rules = createAccessRules(createRuleSetReader(counted))
  await rules.refresh()
  const coherence = createCoherence({
    connect: () => (options.listen ?? listenTo)(catalog.url),
    changes: createChangeLog(catalog.pool),
    ...(options.changesBy === undefined ? {} : { changesBy: options.changesBy }),
    maxStalenessMs: options.maxStalenessMs ?? 60_000,
    logger: silentLogger,
  })
  if (options.maxStalenessMs !== 0) {
    while (coherence.confirmedAtMs === Number.NEGATIVE_INFINITY) await sleep(5)
  }
  const { rows } = await catalog.pool.query<{ id: string }>('select id from installation')
  const redis = await options.redis?.(rows[0]!.id)
  const { requireNamedTenant } = options
  const openCache = () =>
    createDirectoryCache({
      users: createUserDirectory(counted),
      members: createMemberDirectory(counted, { requireNamedTenant }),
      coherence,
      redis,
      ...(options.maxEntries === undefined ? {} : { maxEntries: options.maxEntries }),
    })
  const cache = openCache()
  const tokens = new Map<string, VerifiedToken>()
  const verifier: TokenVerifier = {
    verify(text) {
      const token = tokens.get(text)
      if (token === undefined) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID', `bad token ${text}`)
      return token
    },
  }
  const openPipeline = (members: LocalDirectoryCache) =>
    createRequestPipeline({
      verifier,
      cache: members,
      contexts: createRequestContexts(),
      rules,
      resolver: createTenantResolver({ members, baseDomain: options.baseDomain, requireNamedTenant }),
      pools: (member: MemberRecord) => () => ({ tenant: member.tenant.slug }) as unknown as TenantPool,
    })
  const pipeline = openPipeline(cache)
  const path: RequestPath = {
    catalog,
    pipeline,
    cache,
    coherence,
    rules,
    queries: () => count,
    get before() {
      return hooks.before
    },
    set before(before) {
      hooks.before = before
    },
    async addUser(email = `${randomUUID()}@example.com`) {
      const id = randomUUID()
      await catalog.pool.query('insert into users (id, email, email_verified) values ($1, $2, true)', [id, email])
      return id
    },
    async addTenant(slug) {
      const id = randomUUID()
      await catalog.pool.query('insert into tenants (id, slug, name) values ($1, $2, $2)', [id, slug])
      return id
    },
    async addMember(userId, tenantId, role = 'Member') {
      await catalog.pool.query('insert into user_tenants (user_id, tenant_id) values ($1, $2)', [userId, tenantId])
      await catalog.pool.query(
        `insert into user_tenant_roles (user_id, tenant_id, role_id)
         select $1, $2, id from roles where name = $3 and tenant_id is null`,
        [userId, tenantId, role],
      )
    },
    tokenFor(userId, claims) {
      const text = randomUUID()
      const nowSeconds = Math.floor(Date.now() / 1000)
      const own = { issuer: 'own', subject: userId, isOwn: true, epoch: 1, tenant: undefined, claims: {} }
      tokens.set(text, { ...own, issuedAt: nowSeconds, expiresAt: nowSeconds + 900, ...claims })
      return text
    },
    async heard() {
      // Notifications arrive in the order of their commits.
      const mark = randomUUID()
      await new Promise<void>((resolve, reject) => {
        const unsubscribe = coherence.subscribe({
          user: (id) => {
            if (id !== mark) return
            unsubscribe()
            resolve()
          },
        })
        catalog.pool.query("select pg_notify('tenants2fast_epochs', $1)", [`u:${mark}:1`]).catch(reject)
      })
    },
    anotherProcess() {
      const other = openCache()
      return { pipeline: openPipeline(other), close: () => other.close() }
    },
    async close() {
      cache.close()
      await coherence.close()
      await redis?.close()
      await catalog.drop()
    },
  }
  return path
}

export async function listenTo(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 't2f_listen' })
  await client.connect()
  return client
}

/** The facts of a request that carries only `token`, plus the given changes. */
export function asking(token: string, facts: Partial<RequestFacts> = {}): RequestFacts {
  return {
    authorization: `Bearer ${token}`,
    tenantHeader: undefined,
    host: undefined,
    pathTenant: undefined,
    needs: 'tenant',
    ...facts,
  }
}
