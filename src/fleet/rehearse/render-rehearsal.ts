import { countText } from '../../core/text.js'
import { isAtLeast } from '../../core/fleet/lock-modes.js'
import type { RehearsalReport, RehearsedFile, RehearsedTenant } from '../../core/fleet/rehearsal.js'
import { problemsOf } from './find-problems.js'

/**
 * Renders a rehearsal as text for a terminal or a log: a paragraph for each tenant, what speaks against the migration, and the
 * estimate. Locks below SHARE UPDATE EXCLUSIVE are left out.
 *
 * @example
 * console.log(renderRehearsal(await tenancy.fleet.rehearse()))
 */
export function renderRehearsal(report: RehearsalReport): string {
  const { tenants, problems, estimate, stopped } = report
  const lines = tenants.flatMap(renderTenant)
  if (tenants.length === 0 && stopped === undefined) lines.push('No tenant is behind: there is nothing to rehearse.')
  if (stopped !== undefined) lines.push('Stopped before the last tenant.')
  if (tenants.length > 0) lines.push(problems.length === 0 ? 'No problems.' : `Problems: ${problems.length}.`)
  if (estimate) lines.push(`Estimate: ${countText(estimate.tenants, 'tenant')} in about ${duration(estimate.ms)}.`)
  return plain(lines)
}

function renderTenant({ tenant, bytes, chosenBy, rehearsal, error }: RehearsedTenant): string[] {
  const why = chosenBy === 'size' ? 'one of the largest' : 'unlike the others'
  const title = `${tenant.slug}: ${megabytes(bytes)}, ${why}`
  if (rehearsal === undefined) return [title, `  ! no copy: ${error?.message ?? ''} (${error?.code})`, '']
  const { isSample, copyBytes, copyMs, files } = rehearsal
  const copy = `${isSample ? 'sample' : 'copy'} of ${megabytes(copyBytes)} in ${duration(copyMs)}`
  return [`${title}; ${copy}`, ...files.flatMap(renderFile), '']
}

function renderFile(file: RehearsedFile): string[] {
  const locks = file.locks
    .filter(({ mode }) => isAtLeast(mode, 'SHARE UPDATE EXCLUSIVE'))
    .map(({ relation, mode }) => `${mode} on ${relation}`)
  return [
    `  ${file.name}  ${duration(file.durationMs)}${locks.length === 0 ? '' : `  ${locks.join(', ')}`}`,
    ...problemsOf(file).map((problem) => `    ! ${problem}`),
  ]
}

/** Messages may hold what a tenant has written: it must not steer a terminal. */
const plain = (lines: readonly string[]) =>
  lines.map((line) => line.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, ' ').trimEnd()).join('\n')

const megabytes = (bytes: number) => `${(bytes / 1_000_000).toFixed(bytes < 10_000_000 ? 1 : 0)} MB`
const duration = (ms: number) => (ms < 1000 ? `${Math.ceil(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)
