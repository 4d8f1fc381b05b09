import type { Node, RangeVar, TypeName } from 'libpg-query'

/** Name of a kind of node. */
export type NodeType = Node extends infer Each ? (Each extends unknown ? keyof Each : never) : never

/** Content of a node. */
export type Body<Type extends NodeType> = Extract<Node, Record<Type, unknown>>[Type]

/** Takes a node apart. */
export function typeOf(node: Node): NodeType {
  return Object.keys(node)[0] as NodeType
}

/** The content of a node, if it is of this type. */
export function bodyOf<Type extends NodeType>(node: Node | undefined, type: Type): Body<Type> | undefined {
  return node !== undefined && type in node ? (node as unknown as Record<Type, Body<Type>>)[type] : undefined
}

/** The contents of those nodes of a list that are of this type. */
export function bodiesOf<Type extends NodeType>(nodes: readonly Node[] | undefined, type: Type): Body<Type>[] {
  return (nodes ?? []).flatMap((node) => bodyOf(node, type) ?? [])
}

/** The texts of a list of names. */
export function textsOf(names: readonly Node[] | undefined): string[] {
  return bodiesOf(names, 'String').map(({ sval }) => sval ?? '')
}

/** The name of a relation in messages. */
export function relationName({ schemaname, relname = '' }: RangeVar): string {
  return schemaname === undefined ? relname : `${schemaname}.${relname}`
}

/** One relation has one key; names without a schema count as of `public`. */
export function relationKey(relation: RangeVar): string {
  return keyOf([...(relation.schemaname === undefined ? [] : [relation.schemaname]), relation.relname ?? ''])
}

/** The same for a list of names. */
export function keyOf(names: readonly string[]): string {
  return names.length > 1 ? names.slice(-2).join('.') : `public.${names[0]}`
}

/** A type's name without `pg_catalog`. */
export function typeNameOf(type: TypeName | undefined): string {
  const names = textsOf(type?.names)
  return names[0] === 'pg_catalog' ? names.slice(1).join('.') : names.join('.')
}

/** Calls `visit` for every node in a tree. */
export function walk(value: unknown, visit: (type: string, body: unknown) => void): void {
  if (Array.isArray(value)) {
    for (const each of value) walk(each, visit)
    return
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, child] of Object.entries(value)) {
    // Types begin with a capital letter, fields do not.
    if (/^[A-Z]/.test(key)) visit(key, child)
    walk(child, visit)
  }
}
