import type { StructureDifference } from '../../core/fleet/fleet-check.js'
import type { StructureFact } from './read-structure.js'

/**
 * Compares two descriptions. Sorted by object; within an object, the object itself first. When a whole object is missing
 * or unexpected, what belongs to it is not listed.
 */
export function compareStructures(
  expected: readonly StructureFact[],
  actual: readonly StructureFact[],
): StructureDifference[] {
  const wanted = new Map(expected.map((fact) => [keyOf(fact), fact]))
  const found = new Map(actual.map((fact) => [keyOf(fact), fact]))
  const differences: StructureDifference[] = []
  for (const [key, { object, kind, name, definition }] of wanted) {
    const other = found.get(key)
    if (other === undefined) {
      differences.push({ object, kind, name, change: 'missing', expected: definition })
    } else if (other.definition !== definition) {
      differences.push({ object, kind, name, change: 'different', expected: definition, actual: other.definition })
    }
  }
  for (const [key, { object, kind, name, definition }] of found) {
    if (!wanted.has(key)) differences.push({ object, kind, name, change: 'unexpected', actual: definition })
  }
  const whole = new Set(
    differences.filter((one) => isWhole(one) && one.change !== 'different').map(({ object }) => object),
  )
  return differences.filter((one) => isWhole(one) || !whole.has(one.object)).toSorted(inOrder)
}

const keyOf = ({ object, kind, name }: StructureFact) => JSON.stringify([object, kind, name])

/** Whether this is about the object itself and not about a part of it. */
export function isWhole({ object, kind, name }: Pick<StructureDifference, 'object' | 'kind' | 'name'>): boolean {
  return object === `${kind} ${name}`
}

// By code units: the order must not depend on the process's locale.
const compareTexts = (a: string, b: string) => (a < b ? -1 : Number(a > b))

function inOrder(a: StructureDifference, b: StructureDifference): number {
  return (
    compareTexts(a.object, b.object) ||
    Number(isWhole(b)) - Number(isWhole(a)) ||
    compareTexts(a.kind, b.kind) ||
    compareTexts(a.name, b.name)
  )
}
