import { countText } from '../../../../core/text.js'
import { createTenantDatabaseRecords } from '../../../../catalog/tenants/tenant-databases.js'
import { findUnfinishedTemplates } from '../../../../databases/building/template.js'
import { inspectServer } from '../../../../databases/lifecycle/inspection.js'
import { leaseMs } from '../../../../databases/server/database-lease.js'
import { type Check, combine, type Finding, problem, warning } from '../../check.js'
import type { DoctorContext } from '../../context.js'

/** What a reconciliation would find: lost and unknown databases, and work of processes that died. */
export const leases: Check = {
  name: 'leases-and-orphans',
  timeoutMs: 60_000,
  async run(context) {
    const { client } = await context.server()
    const catalog = await context.catalog()
    const records = createTenantDatabaseRecords(catalog)
    const installationId = await records.installationId()
    const { rows } = await catalog.query<{ id: string }>("select id from database_servers where name = 'default'")
    const serverId = rows[0]?.id
    const findings: Finding[] = []
    const names = context.names()
    if (serverId !== undefined) {
      const { missing, unknown } = await inspectServer({ records, admin: client, names, installationId, serverId })
      const lost = missing.filter(({ state }) => state !== 'ready')
      findings.push(...lostDatabases(lost.map(({ name }) => name)), ...unknownNames(unknown))
      const overdue = (await records.unfinished(serverId, leaseMs)).filter(({ isOverdue }) => isOverdue)
      const unusable = missing.length - lost.length
      if (overdue.length + unusable > 0) {
        findings.push(
          warning(
            `${countText(overdue.length + unusable, 'database was', 'databases were')} left half built, half dropped or unusable by a process that ended`,
            'An application that runs removes them by itself; or tenants2fast db reconcile',
            reconcile(context),
          ),
        )
      }
    }
    const templates = await findUnfinishedTemplates(client, { names, installationId })
    const what =
      templates.length === 0
        ? ''
        : `; ${countText(templates.length, 'template is', 'templates are')} being built or dropped`
    return combine(findings, `Catalog and server agree${what}`)
  },
}

function lostDatabases(names: readonly string[]): Finding[] {
  if (names.length === 0) return []
  return [
    problem(
      `${countText(names.length, 'database of a tenant is', 'databases of tenants are')} not on the server: ${some(names)}`,
      'Restore them from a backup: docs/disaster.md',
    ),
  ]
}

function unknownNames(names: readonly string[]): Finding[] {
  if (names.length === 0) return []
  return [
    warning(
      `${countText(names.length, 'database or role of this installation is', 'databases or roles of this installation are')} not in its catalog: ${some(names)}`,
      'They are never dropped by themselves: after a restore of an older catalog they may hold data. Look, then drop them by hand',
    ),
  ]
}

function reconcile(context: DoctorContext): Finding['fix'] {
  return {
    what: 'finishes what dead processes left (reconcile)',
    async apply() {
      const { dropped, templates, failed } = await (await context.tenancy()).reconcile()
      return `Dropped ${countText(dropped.length, 'database')} and ${countText(templates.length, 'template')}; ${failed.length} could not be dropped`
    },
  }
}

/** The first few of a list. */
export function some(names: readonly string[], limit = 5): string {
  const more = names.length - limit
  return `${names.slice(0, limit).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
