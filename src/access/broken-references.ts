/**
 * Lists what is wrong with the names in an access definition: references to undefined names, role names that differ only in
 * case, roles that include themselves. Checks only the parts that have the right shape.
 */
export function brokenReferences(json: unknown): string[] {
  const { categories, permissions, routes, roles } = entriesOf(json)
  const known = new Set(Object.keys(entriesOf(permissions)))
  const problems: string[] = []
  const check = (where: string, names: unknown) => {
    for (const name of Array.isArray(names) ? names : [names]) {
      if (typeof name === 'string' && !known.has(name)) problems.push(`${where}: no permission "${shorten(name)}"`)
    }
  }
  for (const [name, value] of Object.entries(entriesOf(permissions))) {
    const { category } = entriesOf(value)
    if (typeof category === 'string' && !Object.hasOwn(entriesOf(categories), category)) {
      problems.push(`permissions.${shorten(name)}: no category "${shorten(category)}"`)
    }
  }
  for (const [key, value] of Object.entries(entriesOf(routes))) check(`routes.${shorten(key)}`, value)
  const seen = new Set<string>()
  const included = includedRoles(entriesOf(roles))
  for (const [name, value] of Object.entries(entriesOf(roles))) {
    const permissionsOfRole =
      typeof value === 'string' || Array.isArray(value) ? value : entriesOf(value)['permissions']
    if (permissionsOfRole !== '*') check(`roles.${shorten(name)}`, permissionsOfRole ?? [])
    for (const other of included.get(name) ?? []) {
      if (other !== 'Owner' && !included.has(other))
        problems.push(`roles.${shorten(name)}: no role "${shorten(other)}"`)
    }
    if (reaches(included, name)) problems.push(`roles.${shorten(name)}: includes itself`)
    if (seen.has(name.toLowerCase())) problems.push(`roles.${shorten(name)}: another role differs in case only`)
    if (name !== 'Owner' && name.toLowerCase() === 'owner') problems.push(`roles.${shorten(name)}: write it "Owner"`)
    seen.add(name.toLowerCase())
  }
  return problems
}

/** Lists the roles that each role includes directly. */
function includedRoles(roles: Record<string, unknown>): Map<string, string[]> {
  return new Map(
    Object.entries(roles).map(([name, value]) => {
      const { includes } = entriesOf(value)
      return [name, Array.isArray(includes) ? includes.filter((other) => typeof other === 'string') : []]
    }),
  )
}

/** Tells whether a role includes itself, directly or through others. */
function reaches(included: ReadonlyMap<string, readonly string[]>, name: string): boolean {
  const reached = new Set(included.get(name))
  // Iterating a set also visits what is added meanwhile.
  for (const other of reached) for (const next of included.get(other) ?? []) reached.add(next)
  return reached.has(name)
}

function entriesOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

/** Shortens and escapes text from outside for a message. */
export function shorten(text: string): string {
  return JSON.stringify(text.slice(0, 80)).slice(1, -1)
}
