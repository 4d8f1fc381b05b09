import { isAtLeast } from '../../core/fleet/lock-modes.js'
import type { RehearsalProblem, RehearsedFile, RehearsedTenant } from '../../core/fleet/rehearsal.js'

/** Requests should not wait longer for a lock than that. */
const maxLockMs = 1000
/** So many rows that one transaction updates or deletes are locked for seconds, and leave as many dead ones. */
const maxWrittenRows = 10_000

/** Names everything in a tenant's rehearsal that speaks against the migration. */
export function findProblems({ tenant, rehearsal, error }: RehearsedTenant): RehearsalProblem[] {
  const about = (file: string | undefined, message: string) => ({ tenant: tenant.slug, file, message })
  if (error) return [about(undefined, `no copy could be made: ${error.message} (${error.code})`)]
  return (rehearsal?.files ?? []).flatMap((file) =>
    problemsOf(file).map((message) =>
      about(file.name, rehearsal?.isSample === true ? `${message} (of a sample)` : message),
    ),
  )
}

/** Names what speaks against a file. */
export function problemsOf({ error, rewritten, written, locks, durationMs }: RehearsedFile): string[] {
  if (error) return [`failed: ${error.message} (${error.code})`]
  const strong = locks.filter(({ mode }) => isAtLeast(mode, 'SHARE'))
  return [
    ...rewritten.map((relation) => `writes ${relation} anew`),
    ...written
      .filter(({ rows }) => rows >= maxWrittenRows)
      .map(({ relation, rows }) => `updates or deletes ${rows} rows of ${relation} in one transaction`),
    ...(durationMs < maxLockMs
      ? []
      : strong.map(({ relation, mode }) => `may hold ${mode} on ${relation} for ${(durationMs / 1000).toFixed(1)} s`)),
  ]
}
