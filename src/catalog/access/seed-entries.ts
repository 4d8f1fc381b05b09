import type { AccessDefinition } from '../../core/access/access.js'

/** What an entry of an access definition is. In this order they go in: each may refer to those before it. */
export const seedKinds = ['category', 'permission', 'route', 'role', 'grant', 'include'] as const
export type SeedKind = (typeof seedKinds)[number]

/** One thing that a definition puts in. */
export interface SeedEntry {
  /** Its name in the ledger: the kind, a space, and what tells it from others of its kind. */
  readonly key: string
  readonly kind: SeedKind
  readonly values: Readonly<Record<string, string | null>>
}

/** Everything that a definition puts in. */
export function entriesOf({ categories, permissions, routes, roles }: AccessDefinition): SeedEntry[] {
  const all = permissions.map((permission) => permission.name)
  return [
    ...categories.map((values) => entry('category', values.name, values)),
    ...permissions.map((values) => entry('permission', values.name, values)),
    ...routes.map((values) => entry('route', `${values.method} ${values.path} ${values.permission}`, values)),
    ...roles.map(({ name, description }) => entry('role', name, { name, description })),
    ...roles.flatMap(({ name: role, permissions: held }) =>
      (held === '*' ? all : held).map((permission) => entry('grant', `${role} ${permission}`, { role, permission })),
    ),
    ...roles.flatMap(({ name: role, includes }) =>
      includes.map((included) => entry('include', `${role} > ${included}`, { role, included })),
    ),
  ]
}

// Permissions, methods and paths have no space in them, names of roles no '>'.
const patterns: Partial<Record<string, RegExp>> = {
  permission: /^(?<name>.+)$/,
  route: /^(?<method>\S+) (?<path>\S+) (?<permission>\S+)$/,
  role: /^(?<name>.+)$/,
  grant: /^(?<role>.+) (?<permission>\S+)$/,
  include: /^(?<role>.+) > (?<included>.+)$/,
}

/**
 * Reads a key of the ledger whose entry has left the definition; undefined for one that can't be retired: categories group
 * permissions that stay in the catalog.
 */
export function parseKey(key: string): SeedEntry | undefined {
  const space = key.indexOf(' ')
  const kind = key.slice(0, space)
  const groups = patterns[kind]?.exec(key.slice(space + 1))?.groups
  return groups && { key, kind: kind as SeedKind, values: groups }
}

function entry(kind: SeedKind, name: string, values: SeedEntry['values']): SeedEntry {
  return { key: `${kind} ${name}`, kind, values }
}
