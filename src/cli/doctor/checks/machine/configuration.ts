import { loadConfig } from '../../../../core/config/load-config.js'
import { isServiceLink } from '../../../../core/config/service-links.js'
import { settings } from '../../../../core/config/settings.js'
import { findTenancyError } from '../../../../core/errors/errors.js'
import { type Check, ok, problem, warning } from '../../check.js'

const known = Object.keys(settings)

/** Every `TENANT_*` variable is a setting, and every value is valid. */
export const configuration: Check = {
  name: 'configuration',
  run({ env }) {
    const names = Object.keys(env).filter((name) => env[name] !== undefined)
    const unknown = names.filter(
      (name) => name.startsWith('TENANT_') && !known.includes(name) && !isServiceLink(name, env[name] ?? ''),
    )
    try {
      loadConfig(env)
    } catch (error) {
      const invalid = findTenancyError(error)
      if (invalid === undefined) throw error
      const lines = invalid.message.split('\n- ').slice(1)
      return problem(lines.join('; ') || invalid.message, adviceFor(unknown))
    }
    // A misspelled prefix: nothing refuses such a variable, and nothing reads it.
    const strangers = names.filter((name) => !name.startsWith('TENANT_') && name.length > 8 && nearest(name))
    if (strangers.length > 0) {
      return warning(
        `${strangers.join(', ')} ${strangers.length === 1 ? 'is' : 'are'} read by nobody`,
        adviceFor(strangers),
      )
    }
    const count = names.filter((name) => known.includes(name)).length
    return ok(`${count} of ${known.length} settings are set, and valid`)
  },
}

function adviceFor(names: readonly string[]): string {
  const hints = names.flatMap((name) => {
    const meant = nearest(name)
    return meant === undefined ? [] : [`${name}: did you mean ${meant}?`]
  })
  return [...hints, 'docs/config.md lists every setting'].join(' ')
}

/** The setting whose name is the most like this one; undefined: none is like it. */
export function nearest(name: string): string | undefined {
  const limit = name.length > 12 ? 3 : 2
  const [best] = known
    .map((setting) => ({ setting, distance: distanceOf(name, setting) }))
    .filter(({ distance }) => distance <= limit)
    .toSorted((one, other) => one.distance - other.distance)
  return best?.setting
}

/** Levenshtein's distance: insertions, removals and replacements of one character. */
function distanceOf(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [index, character] of one.split('').entries()) {
    const next = [index + 1]
    for (let column = 1; column <= other.length; column += 1) {
      const isSame = other[column - 1] === character
      next.push(
        Math.min((next[column - 1] ?? 0) + 1, (row[column] ?? 0) + 1, (row[column - 1] ?? 0) + (isSame ? 0 : 1)),
      )
    }
    row = next
  }
  return row.at(-1) ?? 0
}
