import { countText } from '../../core/text.js'
import type { FleetCheckReport, FleetCheckResult, StructureDifference } from '../../index.js'
import { defineCommand } from '../command.js'
import { exitCodes } from '../exit-codes.js'
import {
  type FailedTenant,
  failedTenant,
  failureShape,
  maxNamedFailures,
  renderFailures,
} from '../migrate/run-report.js'
import { wholeNumber } from '../values.js'

interface Input {
  readonly tenant?: readonly string[]
  readonly label?: string
  readonly anyVersion?: boolean
  readonly parallelism?: number
}

interface DifferentTenant {
  readonly id: string
  readonly slug: string
  readonly differences: readonly StructureDifference[]
}

interface Result extends FleetCheckReport {
  readonly differentTenants: readonly DifferentTenant[]
  readonly failures: readonly FailedTenant[]
  /** As `--json` leaves it out: the differences as text. */
  readonly text?: ReadonlyMap<string, string>
}

export const checkFleet = defineCommand<Input, Result>({
  name: 'check',
  summary: 'Compare the structure of tenant databases with the template',
  description:
    'Tables, columns, constraints, indexes, functions, policies, grants, owners and more. Changes nothing. Databases of another ' +
    'schema version are counted, not compared. Exit code 1: some differ, or cannot be read. The report names the first 1000.',
  options: [
    { flags: '--tenant TENANT', description: 'only this one, again for more', isRepeatable: true },
    { flags: '--label LABEL', description: 'only tenants with this label' },
    { flags: '--any-version', description: 'compare databases of another schema version, too' },
    { flags: '--parallelism N', description: 'tenants at a time, 1 to 64 (default: 2)', parse: wholeNumber(1, 64) },
  ],
  examples: [
    {
      command: 'fleet check',
      says: '`-` is what only the template has, `+` what only the database has, `~` what differs',
    },
    { command: 'fleet check --tenant acme --json', says: 'One tenant, for a program' },
  ],
  json: {
    databases: 'number',
    same: 'number',
    different: 'number',
    behind: 'number',
    ahead: 'number',
    failed: 'number',
    differentTenants: [
      {
        id: 'string',
        slug: 'string',
        differences: [
          {
            object: 'string',
            kind: 'string',
            name: 'string',
            change: "'missing' | 'unexpected' | 'different'",
            'expected?': 'string',
            'actual?': 'string',
          },
        ],
      },
    ],
    failures: [failureShape],
  },
  exitCodes: [3, 4],
  async run(context, { tenant: tenants, label, anyVersion, parallelism }) {
    const { tenancy } = await context.open('migrate')
    const { renderDifferences } = await import('../../index.js')
    const progress = await context.progress('Checking')
    const failures: FailedTenant[] = []
    const differentTenants: DifferentTenant[] = []
    const text = new Map<string, string>()
    const onResult = ({ tenant, outcome, differences, error }: FleetCheckResult) => {
      if (outcome === 'failed' && failures.length < maxNamedFailures) {
        failures.push(failedTenant({ tenant, ...(error === undefined ? {} : { error }) }))
      }
      if (outcome !== 'different' || differentTenants.length >= maxNamedFailures) return
      differentTenants.push({ ...tenant, differences })
      if (!context.isJson) text.set(tenant.id, renderDifferences(differences))
    }
    const report = await tenancy.fleet.check({
      ...{ tenants, label, anyVersion, parallelism, signal: context.signal, onResult },
      onProgress: ({ done, planned, failed }) => progress.update(done, planned, failed),
    })
    return { ...report, differentTenants, failures, ...(context.isJson ? {} : { text }) }
  },
  render({ databases, same, different, behind, ahead, failed, differentTenants, failures, text }, page) {
    for (const { id, slug } of differentTenants) {
      page.line(slug, 'bold')
      page.line(text?.get(id) ?? '')
      page.line()
    }
    const others = [
      [behind, 'behind'],
      [ahead, 'ahead'],
      [failed, 'not readable'],
    ] as const
    const counts = others.filter(([count]) => count > 0).map(([count, what]) => `, ${count} ${what}`)
    page.line(
      `${countText(databases, 'database')}: ${same} the same, ${different} different${counts.join('')}`,
      different + failed > 0 ? 'red' : 'green',
    )
    renderFailures(page, failures, failed)
  },
  exitCode: ({ different, failed }) => (different + failed > 0 ? exitCodes.failed : exitCodes.ok),
})
