import type { StructureDifference } from '../../core/fleet/fleet-check.js'
import { isWhole } from './compare-structures.js'

/**
 * Renders differences as plain text, grouped by object: `-` is what only the template has, `+` what only the database has,
 * `~` what both define differently. Characters of names and definitions that a terminal would act on are escaped.
 *
 * @example
 * renderDifferences(result.differences)
 * // table public.notes
 * //   - index notes_created: CREATE INDEX notes_created ON public.notes USING btree (created_at)
 * //   ~ column body
 * //       template: text not null
 * //       database: text
 */
export function renderDifferences(differences: readonly StructureDifference[]): string {
  const lines: string[] = []
  let object: string | undefined
  for (const difference of differences) {
    if (difference.object !== object) {
      object = difference.object
      lines.push(escapeText(object, ''))
    }
    lines.push(...linesOf(difference))
  }
  return lines.join('\n')
}

function linesOf(difference: StructureDifference): string[] {
  const { kind, name, change, expected = '', actual = '' } = difference
  const title = escapeText(isWhole(difference) || name === '' ? kind : `${kind} ${name}`, '    ')
  if (change === 'missing') return [`  - ${title}: ${escapeText(expected, '      ')}`]
  if (change === 'unexpected') return [`  + ${title}: ${escapeText(actual, '      ')}`]
  return [
    `  ~ ${title}`,
    `      template: ${escapeText(expected, '        ')}`,
    `      database: ${escapeText(actual, '        ')}`,
  ]
}

// Control characters, and format characters such as those that reverse the direction of a line.
const acted = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** Indents further lines, so that a definition cannot look like another difference. */
function escapeText(text: string, indent: string): string {
  return text
    .split('\n')
    .map((line) => line.replaceAll(acted, (letter) => `\\u{${(letter.codePointAt(0) ?? 0).toString(16)}}`))
    .join(`\n${indent}`)
}
