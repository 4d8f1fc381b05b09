import type { InspectedDatabase } from '../../core/fleet/fleet-check.js'
import { readStructure } from './read-structure.js'

export { structureSettings } from './structure-sql.js'

/** Describes a database's structure, as `fleet.check` compares it: equal texts for equal structures. */
export async function describeStructure(inspected: InspectedDatabase): Promise<string> {
  const facts = await readStructure(inspected)
  return facts
    .map(({ object, kind, name, definition }) => JSON.stringify([object, kind, name, definition]))
    .toSorted()
    .join('\n')
}
