import type { AccessRules } from '../core/access/access.js'
import type { RequestContext } from '../core/context/request-scope.js'
import { TenancyError } from '../core/errors/errors.js'
import type { ApiKeyCache, ApiKeyFormat, ApiKeyRecord } from '../core/identity/api-keys.js'
import type { Tenant } from '../core/model.js'
import type { Remembered, RouteNeeds, TenantResolver, TenantSources } from '../core/request-path.js'
import { parseTenantRef } from '../core/tenants/slug.js'
import type { SchemaDemands } from '../core/tenants/schema-demands.js'
import type { TenantPool } from '../core/tenants/tenant-pool.js'

/** The part of a request that decides its context, besides the key. */
interface KeyFacts extends TenantSources {
  readonly needs: RouteNeeds
}

/** Finds the context of a request that carries an API key. */
export interface KeyAdmission {
  /**
   * Answers at once, without a query, while the key is cached and known to be current.
   *
   * @throws TenancyError, at once or as a rejection: TENANCY_AUTH_TOKEN_INVALID (unknown, revoked, expired),
   *   TENANCY_AUTH_PERSON_REQUIRED, TENANCY_TENANT_FORBIDDEN, TENANCY_TENANT_SUSPENDED, TENANCY_TENANT_DELETED,
   *   TENANCY_CATALOG_UNAVAILABLE
   */
  admit(facts: KeyFacts, text: string, nowMs: number): RequestContext | Promise<RequestContext>
}

/** The parts that {@link createKeyAdmission} needs. */
export interface KeyAdmissionOptions {
  readonly format: Pick<ApiKeyFormat, 'hashOf'>
  readonly keys: ApiKeyCache
  readonly resolver: Pick<TenantResolver, 'nameOfHost'>
  readonly rules: Pick<AccessRules, 'epoch' | 'compile' | 'refresh'>
  readonly pools: (tenant: Tenant) => () => TenantPool
  readonly schema?: Pick<SchemaDemands, 'admit'>
}

/** Creates the admission of API keys, a part of the request pipeline. */
export function createKeyAdmission({
  format,
  keys,
  resolver,
  rules,
  pools,
  schema,
}: KeyAdmissionOptions): KeyAdmission {
  /** A record is replaced by a new one whenever anything that it rests on changes. */
  const contexts = new WeakMap<ApiKeyRecord, RequestContext>()

  async function makeContext(record: ApiKeyRecord): Promise<RequestContext> {
    if (rules.epoch < record.rulesEpoch) await rules.refresh()
    await schema?.admit(record)
    const context: RequestContext = Object.freeze({
      ...{ user: undefined, membership: undefined, token: undefined },
      serviceAccount: record.serviceAccount,
      tenant: record.tenant,
      access: rules.compile(record.grants),
      schemaVersion: record.schemaVersion,
      pool: pools(record.tenant),
    })
    contexts.set(record, context)
    return context
  }

  function enter(record: ApiKeyRecord, facts: KeyFacts, byHost: string | undefined) {
    for (const name of [facts.tenantHeader, facts.pathTenant, byHost]) requireName(record, name)
    if (record.tenant.status === 'suspended') throw new TenancyError('TENANCY_TENANT_SUSPENDED')
    if (record.tenant.status === 'deleted') throw new TenancyError('TENANCY_TENANT_DELETED')
    keys.noteUse(record)
    return contexts.get(record) ?? makeContext(record)
  }

  async function findAndEnter(facts: KeyFacts, found: Promise<Remembered<ApiKeyRecord> | undefined>, nowMs: number) {
    const record = (await found)?.value
    check(record, facts.needs)
    return enter(record, facts, await resolver.nameOfHost(facts.host, nowMs))
  }

  async function enterFound(record: ApiKeyRecord, facts: KeyFacts, byHost: Promise<string | undefined>) {
    return enter(record, facts, await byHost)
  }

  return {
    admit(facts, text, nowMs) {
      const hash = format.hashOf(text)
      if (hash === undefined) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
      const found = keys.find(hash, nowMs)
      if (found instanceof Promise) return findAndEnter(facts, found, nowMs)
      check(found?.value, facts.needs)
      // After the key: a stranger's host asks the catalog for nothing.
      const byHost = resolver.nameOfHost(facts.host, nowMs)
      return byHost instanceof Promise ? enterFound(found.value, facts, byHost) : enter(found.value, facts, byHost)
    },
  }
}

/** A place that names a tenant must name the key's own. Any other answers as a tenant does that one is no member of. */
function requireName({ tenant, formerSlugs }: ApiKeyRecord, name: string | readonly string[] | undefined): void {
  if (name === undefined) return
  const ref = typeof name === 'string' ? parseTenantRef(name) : undefined
  if (ref?.value === tenant.id || ref?.value === tenant.slug) return
  if (ref === undefined || !formerSlugs.includes(ref.value)) throw new TenancyError('TENANCY_TENANT_FORBIDDEN')
}

/** @throws TENANCY_AUTH_TOKEN_INVALID, TENANCY_AUTH_PERSON_REQUIRED */
function check(record: ApiKeyRecord | undefined, needs: RouteNeeds): asserts record is ApiKeyRecord {
  if (record === undefined || !record.isInForce) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
  if (needs === 'user') throw new TenancyError('TENANCY_AUTH_PERSON_REQUIRED')
}
