import { countText } from '../../core/text.js'
import type { FleetReport } from '../../core/fleet/fleet.js'
import type { CommandContext } from '../context.js'
import { describeFailure } from '../report-failure.js'
import { findBlankMigration } from './blank-migration.js'

/**
 * Brings every tenant up to date with the files of the folder, and says what happened. A file that fails is shown, and changes
 * nothing; false then. While a file that tenants lack has no statement yet, nothing is applied.
 */
export async function applySchema(context: CommandContext, folder: string | undefined): Promise<boolean> {
  const startedMs = performance.now()
  const applied = new Map<string, number>()
  const failures: string[] = []
  try {
    // A process reads the folder once: each change is a new opening. A file that fails does so here, in the template.
    const tenancy = await context.openAnother('migrate')
    let report: FleetReport
    try {
      const blank = folder === undefined ? undefined : await findBlankMigration(folder, tenancy.fleet)
      if (blank !== undefined) {
        context.say(`${clock()}  ${blank} has no statement yet: it is applied when you have written it`)
        return true
      }
      report = await tenancy.fleet.migrate({
        // Also where the catalog says that nothing is missing: a file may have been edited after it was applied.
        verify: true,
        signal: context.signal,
        onResult(result) {
          for (const name of result.applied) applied.set(name, (applied.get(name) ?? 0) + 1)
          if (result.error) failures.push(`${result.tenant.slug}: ${describeFailure(result.error).message}`)
        },
      })
    } finally {
      await tenancy.close()
    }
    for (const [name, tenants] of applied) context.say(`  ${name} applied to ${countText(tenants, 'tenant')}`)
    for (const failure of failures.slice(0, 5)) context.say(`  failed for ${failure}`)
    if (failures.length > 5) context.say(`  … and for ${failures.length - 5} more`)
    const tenants = report.migrated + report.current
    const ms = Math.round(performance.now() - startedMs)
    context.say(
      `${clock()}  ${countText(tenants, 'tenant')} at schema version ${report.version < 0 ? '-' : report.version} (${ms} ms)` +
        (report.failed > 0 ? `, ${report.failed} failed` : ''),
    )
    return report.failed === 0
  } catch (error) {
    if (context.signal.aborted) return false
    const { message, fix } = describeFailure(error)
    context.say(
      `${clock()}  ${message}\n  ${fix}\n  Nothing was applied. Correct the file; it is tried again when you save it.`,
    )
    return false
  }
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8)
}
