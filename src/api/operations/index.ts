import type { Operation } from '../operation.js'
import { apiKeyOperations } from './api-keys.js'
import { invitationOperations } from './invitations.js'
import { ownInvitationOperations } from './own-invitations.js'
import { ownOperations } from './me.js'
import { sessionOperations } from './sessions.js'
import { domainOperations } from './domains.js'
import { memberOperations } from './members.js'
import { ownershipOperations } from './ownership.js'
import { auditOperations } from './audit.js'
import { memberAccessOperations } from './member-access.js'
import { permissionOperations } from './permissions.js'
import { roleOperations } from './roles.js'
import { serviceAccountOperations } from './service-accounts.js'
import { exportOperations, platformExportOperations } from './exports/index.js'
import { platformAuditOperations } from './platform/audit.js'
import { platformAccessOperations } from './platform/access.js'
import { administratorOperations } from './platform/administrators.js'
import { impersonationOperations } from './platform/impersonations.js'
import { installationOperations } from './platform/installation.js'
import { domainsOfPlatformOperations } from './platform/domains.js'
import { platformRoleOperations } from './platform/roles.js'
import { tenantsOfPlatformOperations } from './platform/tenants.js'
import { tenantLifeOperations } from './platform/tenant-life.js'
import { userOperations } from './platform/users.js'
import { settingsOperations } from './settings.js'
import { tenantOperations } from './tenants.js'

/** The operations of tenants and their members. */
export const operations: readonly Operation[] = [
  ...ownOperations,
  ...sessionOperations,
  ...ownInvitationOperations,
  ...tenantOperations,
  ...memberOperations,
  ...invitationOperations,
  ...ownershipOperations,
  ...roleOperations,
  ...permissionOperations,
  ...memberAccessOperations,
  ...serviceAccountOperations,
  ...apiKeyOperations,
  ...auditOperations,
  ...exportOperations,
  ...settingsOperations,
  ...domainOperations,
]

/** The operations of administrators of the installation, which are served where they are switched on. */
export const platformOperations: readonly Operation[] = [
  ...installationOperations,
  ...tenantsOfPlatformOperations,
  ...tenantLifeOperations,
  ...domainsOfPlatformOperations,
  ...impersonationOperations,
  ...userOperations,
  ...platformAccessOperations,
  ...platformRoleOperations,
  ...administratorOperations,
  ...platformAuditOperations,
  ...platformExportOperations,
]
