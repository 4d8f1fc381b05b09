import { createSettingsCache } from '../../cache/settings-cache.js'
import { CompiledRuleSet, problemOfTemplate } from '../../access/index.js'
import { createAccessAdministration } from '../../catalog/access/administration.js'
import { createAccessExplainer } from '../../catalog/access/explain.js'
import { keepAnchored } from '../../catalog/audit/anchors.js'
import { createAuditLog } from '../../catalog/audit/audit-log.js'
import { createEvents } from '../../catalog/events/event-subscriptions.js'
import { createApiKeys } from '../../catalog/api-keys/api-keys.js'
import { createServiceAccounts } from '../../catalog/api-keys/service-accounts.js'
import { createApplicationLocks } from '../../catalog/application-locks.js'
import { readSummary } from '../../catalog/summary.js'
import { createDomains } from '../../catalog/domains/domains.js'
import { keepProven } from '../../catalog/domains/keep-proven.js'
import { createTxtResolver } from '../../catalog/domains/txt-resolver.js'
import { createInvitations } from '../../catalog/invitations/invitations.js'
import { createOwnInvitations } from '../../catalog/invitations/own-invitations.js'
import { createImpersonationStore } from '../../catalog/impersonations/impersonations.js'
import { createMemberships } from '../../catalog/members/memberships.js'
import { readSettingsSchema } from '../../catalog/settings/settings-schema.js'
import { createSettingsSeal } from '../../catalog/settings/settings-seal.js'
import { createTenantSettings } from '../../catalog/settings/tenant-settings.js'
import { createTenants } from '../../catalog/tenants/tenants.js'
import { createSessions } from '../../catalog/users/sessions.js'
import { createPlatformAdministration } from '../../catalog/users/platform-administrators.js'
import { deriveLockKey } from '../../postgres/advisory-lock.js'
import { createImpersonations } from '../impersonations.js'
import { createManagement } from '../management.js'
import { readTenantUsage } from '../observing/tenant-usage.js'
import type { OpenCatalog } from './open-catalog.js'
import type { OpenDatabases } from './open-databases.js'
import type { OpenRequestPath } from './open-request-path.js'
import type { Opening } from './opening.js'

/** Makes the functions that change the catalog, and starts to anchor the audit log. Waits for nothing. */
export function openManagement(
  { config, logger, closing, tenantSettings, domains, purpose }: Opening,
  { catalog, server }: OpenCatalog,
  { databases, connections }: OpenDatabases,
  { users, cache, coherence, apiKeys, keys }: OpenRequestPath,
): ReturnType<typeof createManagement> {
  closing.add(keepAnchored({ catalog, logger }))
  const { resolveTxt = createTxtResolver(domains.dnsServers), maxPerTenant } = domains
  if (purpose === 'serve') closing.add(keepProven({ catalog, resolveTxt, logger }))
  const events = createEvents({ catalog, logger })
  closing.add(() => events.close())
  const locks = createApplicationLocks({
    catalog,
    keyOf: (name) => deriveLockKey(server.secret, `application ${name}`),
  })
  closing.add(() => locks.close())
  // This process applies its own changes at once, without waiting for the news of them.
  const forget = (id?: string) => {
    cache.invalidate(id)
    apiKeys.cache.invalidate(id)
  }
  const keysChanged = (tenantId: string | null) => apiKeys.cache.invalidate(tenantId ?? undefined)
  return createManagement({
    tenants: createTenants({
      catalog,
      databases,
      retentionDays: config.retentionDays,
      aliasDays: config.slugAliasDays,
    }),
    memberships: createMemberships({ catalog }),
    invitations: { ...createInvitations({ catalog }), ...createOwnInvitations({ catalog }) },
    apiKeys: {
      ...createServiceAccounts(catalog, keysChanged),
      ...createApiKeys(catalog, apiKeys.format, keysChanged),
    },
    domains: createDomains({ catalog, resolveTxt, baseDomain: config.baseDomain, maxPerTenant }),
    access: {
      ...createAccessAdministration({
        catalog,
        problemOfTemplate,
        rolesChanged: (tenantId) => forget(tenantId ?? undefined),
      }),
      ...createAccessExplainer({
        catalog,
        findRule: (ruleSet, method, path) => new CompiledRuleSet(ruleSet).matchTemplate(method, path)?.rule,
      }),
    },
    audit: createAuditLog(catalog),
    users,
    sessions: createSessions({ catalog }),
    platform: createPlatformAdministration(catalog),
    events,
    locks,
    settings: createTenantSettings({
      catalog,
      schema: tenantSettings && readSettingsSchema(tenantSettings),
      seal: createSettingsSeal(server.secret),
      cache: createSettingsCache(coherence),
    }),
    impersonations: createImpersonations(createImpersonationStore(catalog), keys),
    summary: () => readSummary(catalog),
    readUsage: (tenantId) => readTenantUsage(catalog, tenantId),
    forget,
    disconnect: (tenant) => connections.disconnect(tenant),
  })
}
