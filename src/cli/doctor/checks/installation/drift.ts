import { type Check, ok, skipped, warning } from '../../check.js'
import { some } from './leases.js'

/** Every tenant database has the structure of the template. Opens each of them, so only on request. */
export const drift: Check = {
  name: 'drift',
  timeoutMs: 3_600_000,
  async run(context) {
    if (!context.isDeep) return skipped('Looks into every tenant database: --deep')
    await context.catalog()
    const tenancy = await context.tenancy()
    const different: string[] = []
    const failed: string[] = []
    const report = await tenancy.fleet.check({
      onResult({ tenant, outcome }) {
        if (outcome === 'different') different.push(tenant.slug)
        if (outcome === 'failed') failed.push(tenant.slug)
      },
    })
    const parts = [
      ...(different.length > 0 ? [`${different.length} differ from the template: ${some(different)}`] : []),
      ...(failed.length > 0 ? [`${failed.length} could not be read: ${some(failed)}`] : []),
    ]
    if (parts.length > 0)
      return warning(`Of ${report.databases} tenant databases ${parts.join('; ')}`, 'Run tenants2fast fleet check')
    return ok(
      `${report.same} of ${report.databases} tenant databases are as the template; the others have another version`,
    )
  },
}
