import type { FleetStatus } from '../../index.js'
import { defineCommand } from '../command.js'
import { wholeNumber } from '../values.js'

interface Input {
  readonly limit?: number
}

export const migrationStatus = defineCommand<Input, FleetStatus>({
  name: 'status',
  summary: 'Count tenants by the version of their schema',
  description: 'As the catalog knows it, without a connection to any tenant. Deleted tenants are not counted.',
  options: [
    {
      flags: '--limit N',
      description: 'how many that are behind to name, 0 to 1000 (default: 20)',
      parse: wholeNumber(0, 1000),
    },
  ],
  examples: [{ command: 'migrate status', says: 'Who is behind' }],
  json: {
    version: 'number',
    versions: [{ version: 'number | null', tenants: 'number' }],
    behind: 'number',
    tenantsBehind: [{ id: 'string', slug: 'string', version: 'number | null' }],
  },
  async run(context, { limit }) {
    const { tenancy } = await context.open()
    return tenancy.fleet.status({ limit })
  },
  render({ version, versions, behind, tenantsBehind }, page) {
    page.facts([
      ['Newest migration', version < 0 ? 'none' : version],
      ['Tenants behind', behind === 0 ? { text: '0', style: 'green' } : { text: behind, style: 'yellow' }],
    ])
    page.line()
    page.table(
      ['VERSION', 'TENANTS'],
      versions.map((row) => [shownVersion(row.version), row.tenants]),
    )
    if (tenantsBehind.length === 0) return
    page.line()
    page.table(
      ['BEHIND', 'VERSION'],
      tenantsBehind.map((tenant) => [tenant.slug, shownVersion(tenant.version)]),
    )
    if (behind > tenantsBehind.length) page.line(`… and ${behind - tenantsBehind.length} more`)
    page.hint('Migrate them: tenants2fast migrate up')
  },
})

function shownVersion(version: number | null): string | number {
  if (version === null) return 'not known yet'
  return version < 0 ? 'none' : version
}
