import type { Check } from '../check.js'
import { catalog } from './installation/catalog.js'
import { drift } from './installation/drift.js'
import { leases } from './installation/leases.js'
import { secretBinding } from './installation/secret-binding.js'
import { stock } from './installation/stock.js'
import { template } from './installation/template.js'
import { tenantRoles } from './installation/tenant-roles.js'
import { tenantsBehind } from './installation/tenants-behind.js'
import { configFile } from './machine/config-file.js'
import { configuration } from './machine/configuration.js'
import { disk } from './machine/disk.js'
import { envFile } from './machine/env-file.js'
import { node } from './machine/node.js'
import { packages } from './machine/packages.js'
import { secrets } from './machine/secrets.js'
import { budget } from './server/budget.js'
import { clock } from './server/clock.js'
import { locks } from './server/locks.js'
import { privileges } from './server/privileges.js'
import { server } from './server/server.js'
import { statementLog } from './server/statement-log.js'
import { tls } from './server/tls.js'
import { trust } from './server/trust.js'
import { mail } from './services/mail.js'
import { pooler } from './services/pooler.js'
import { redis } from './services/redis.js'

/** All checks, in the order in which they run: what others need comes first. */
export const checks: readonly Check[] = [
  ...[configuration, configFile, node, packages, envFile, secrets],
  ...[server, privileges, budget, tls, trust, statementLog, locks, disk],
  ...[catalog, secretBinding, template, stock, leases, tenantRoles, tenantsBehind, drift],
  ...[pooler, redis, mail, clock],
]
