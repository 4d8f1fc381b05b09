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
    { flags: '--any-version', description: 'compare databases of another schema version, too' },
    { flags: '--parallelism N', description: 'connections at a time, 1 to 11 (default: 4)', parse: wholeNumber(1, 11) },
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
  async run(context, { tenant: tenants, anyVersion, parallelism }) {
    const { tenancy } = await context.open('migrate')
    const { renderDifferences } = await import('../../index.js')
    const progress = await context.progress('Checking')
    const failures: FailedTenant[] = []
    const differentTenants: DifferentTenant[] = []
    const text = new Map<string, string>()
    let done = 0
    const all =
      tenants?.length ?? (await tenancy.fleet.status({ limit: 0 })).versions.reduce((sum, row) => sum + row.tenants, 0)
    const onResult = ({ tenant, outcome, differences, error }: FleetCheckResult) => {
      done += 1
      progress.update(done, all, failures.length)
      if (outcome === 'failed' && failures.length < maxNamedFailures) {
        failures.push(failedTenant({ tenant, ...(error === undefined ? {} : { error }) }))
      }
      if (outcome !== 'different' || differentTenants.length >= maxNamedFailures) return
      differentTenants.push({ ...tenant, differences })
      if (!context.isJson) text.set(tenant.id, renderDifferences(differences))
    }
    const report = await tenancy.fleet.check({ tenants, anyVersion, parallelism, signal: context.signal, onResult })
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
      `${databases} databases: ${same} the same, ${different} different${counts.join('')}`,
      different + failed > 0 ? 'red' : 'green',
    )
    renderFailures(page, failures, failed)
  },
  exitCode: ({ different, failed }) => (different + failed > 0 ? exitCodes.failed : exitCodes.ok),
})
