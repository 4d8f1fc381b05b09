import { createHash } from 'node:crypto'
import type { LostStructure } from '../core/backup/backup.js'
import type { ContentStructure } from '../core/backup/ports.js'

/**
 * The structure of a database, as a manifest has it, which anybody can read who has the archive: definitions of indexes, and
 * hashes of all others.
 */
export function structureToKeep(structure: readonly ContentStructure[]): ContentStructure[] {
  return structure
    .map(({ object, kind, name, definition }) => {
      const kept = kind === 'index' ? definition : createHash('sha256').update(definition).digest('hex')
      return { object, kind, name, definition: kept }
    })
    .toSorted((a, b) => compareTexts(keyOf(a), keyOf(b)))
}

/** Whether two descriptions are of the same structure. */
export function isSameStructure(one: readonly ContentStructure[], other: readonly ContentStructure[]): boolean {
  return JSON.stringify(structureToKeep(one)) === JSON.stringify(structureToKeep(other))
}

/**
 * What is in the structure of an archive, and not in that of a database. When a whole object is not there, what belongs to it is
 * not listed.
 *
 * @param archived as {@link structureToKeep} gives it
 */
export function lostStructure(
  archived: readonly ContentStructure[],
  restored: readonly ContentStructure[],
): LostStructure[] {
  const there = new Map(structureToKeep(restored).map((fact) => [keyOf(fact), fact.definition]))
  const lost = archived.filter((fact) => there.get(keyOf(fact)) !== fact.definition)
  const objects = new Set(lost.filter((fact) => isWhole(fact) && !there.has(keyOf(fact))).map(({ object }) => object))
  return lost
    .filter((fact) => isWhole(fact) || !objects.has(fact.object))
    .map(({ object, kind, name, definition }) => ({
      ...{ object, kind, name, definition: kind === 'index' ? definition : null },
    }))
}

const isWhole = ({ object, kind, name }: ContentStructure) => object === `${kind} ${name}`
const keyOf = ({ object, kind, name }: ContentStructure) => JSON.stringify([object, kind, name])
// By code units: the order must not depend on the process's locale.
const compareTexts = (a: string, b: string) => (a < b ? -1 : Number(a > b))
