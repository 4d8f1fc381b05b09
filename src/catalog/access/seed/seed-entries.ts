import type { AccessDefinition } from '../../../core/access/access.js'

/** Kinds of entries of an access definition, in the order of insertion: an entry may refer to entries of earlier kinds. */
export const seedKinds = ['category', 'permission', 'route', 'role', 'grant', 'include'] as const
export type SeedKind = (typeof seedKinds)[number]

/** One entry of an access definition. */
export interface SeedEntry {
  /** Its key in the ledger: the kind, a space, and a name that is unique within the kind. */
  readonly key: string
  readonly kind: SeedKind
  readonly values: Readonly<Record<string, string | null>>
}

/** Lists all entries of a definition. */
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

// Permissions, methods and paths contain no space, and names of roles contain no '>', so the parts are unambiguous.
const patterns: Partial<Record<string, RegExp>> = {
  permission: /^(?<name>.+)$/,
  route: /^(?<method>\S+) (?<path>\S+) (?<permission>\S+)$/,
  role: /^(?<name>.+)$/,
  grant: /^(?<role>.+) (?<permission>\S+)$/,
  include: /^(?<role>.+) > (?<included>.+)$/,
}

/**
 * Reads the ledger key of an entry that has left the definition. Returns undefined for one that cannot be retired: a
 * category stays, because it groups permissions that stay in the catalog.
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
