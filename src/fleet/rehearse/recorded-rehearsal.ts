import type { FleetCatalog } from '../../core/fleet/ports.js'
import type { RecordedRehearsal, RehearsalReport } from '../../core/fleet/rehearsal.js'
import { retry } from '../../postgres/outages/retry.js'
import { retryRule } from '../run/transient-errors.js'

const action = 'fleet.rehearse'

/** What the entry of a rehearsal in the audit log holds. */
interface Entry extends Pick<RecordedRehearsal, 'version' | 'tenants' | 'problems'> {
  readonly estimate: RehearsalReport['estimate'] | null
  readonly stopped: RehearsalReport['stopped']
}

/** Writes the entry of a rehearsal to the audit log. */
export async function recordRehearsal(
  catalog: FleetCatalog,
  actor: string | null | undefined,
  { version, tenants, problems, estimate, stopped }: RehearsalReport,
): Promise<void> {
  const entry: Entry = {
    ...{ version, tenants: tenants.length, problems: problems.length, estimate: estimate ?? null, stopped },
  }
  await retry(
    () => catalog.recordRun(actor ?? null, action, entry),
    retryRule(() => true),
  )
}

/** Reads the last entry; see `Fleet.lastRehearsal`. */
export async function readLastRehearsal(catalog: FleetCatalog): Promise<RecordedRehearsal | undefined> {
  const found = await catalog.lastRun(action)
  if (found === undefined) return undefined
  const { version, tenants, problems, estimate } = found.after as Entry
  return { at: found.at, version, tenants, problems, estimate: estimate ?? undefined }
}
