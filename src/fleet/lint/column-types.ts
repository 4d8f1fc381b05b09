import type { Node, TypeName } from 'libpg-query'
import { bodyOf, typeNameOf } from './nodes.js'

/** A column's type with its length or precision. */
export interface ColumnType {
  readonly name: string
  readonly limits: readonly number[]
  readonly isArray: boolean
}

/** Reads the type of a column. */
export function columnTypeOf(type: TypeName | undefined): ColumnType {
  const limits = (type?.typmods ?? []).map((node: Node) => bodyOf(node, 'A_Const')?.ival?.ival ?? 0)
  return { name: typeNameOf(type), limits, isArray: (type?.arrayBounds ?? []).length > 0 }
}

/** The type as SQL writes it. */
export function describeType({ name, limits, isArray }: ColumnType): string {
  return `${name}${limits.length > 0 ? `(${limits.join(', ')})` : ''}${isArray ? '[]' : ''}`
}

const texts: ReadonlySet<string> = new Set(['text', 'varchar'])

/**
 * Tells whether PostgreSQL changes the type without a look at the rows: the values stay as they are, byte for byte, and
 * none can become too long.
 */
export function isWidening(before: ColumnType, after: ColumnType): boolean {
  if (before.isArray !== after.isArray) return false
  if (texts.has(before.name) && texts.has(after.name)) return limitGrows(before, after, Infinity)
  if (before.name === 'cidr' && after.name === 'inet') return true
  if (before.name !== after.name) return false
  if (before.name === 'numeric') return numericGrows(before, after)
  if (before.name === 'varbit') return limitGrows(before, after, Infinity)
  if (/^(timestamp|timestamptz|time|timetz|interval)$/.test(before.name)) return limitGrows(before, after, 6)
  return before.limits.length === 0 && after.limits.length === 0
}

/** `unlimited`: the limit of a type without one. */
function limitGrows(before: ColumnType, after: ColumnType, unlimited: number): boolean {
  return (after.limits[0] ?? unlimited) >= (before.limits[0] ?? unlimited)
}

function numericGrows(before: ColumnType, after: ColumnType): boolean {
  if (after.limits.length === 0) return true
  if (before.limits.length === 0) return false
  const [beforeDigits = 0, beforeScale = 0] = before.limits
  const [afterDigits = 0, afterScale = 0] = after.limits
  return beforeScale === afterScale && afterDigits >= beforeDigits
}
